"""The facts as shipped, word for word as in the instruction, and every fault that a file may have."""

import re
import shutil
from dataclasses import FrozenInstanceError

import pytest

from waitlist import paths
from waitlist.exceptions import MappingError
from waitlist.facts.mappings import category_key, list_key, load_mappings, read_mappings

RAISABLE = {"AGE_MISMATCH": "warning", "TEXT_CLEANED": "info", "ID_MISSING": "blocks"}

CHAPTER_3 = """
SDV Bhv Ssk Återbesök (6-8 v)
SDV Bhv Ssk Återbesök (3 mån)
SDV Bhv Ssk Återbesök (4 mån)
SDV Bhv Ssk Återbesök (5 mån)
SDV Bhv Ssk Återbesök (6 mån)
SDV Bhv Ssk Återbesök (8 mån)
SDV Bhv Ssk Återbesök (10 mån)
SDV Bhv Ssk Återbesök (12 mån)
SDV Bhv Ssk Återbesök (18 mån)
SDV Bhv Ssk Återbesök (2,5 år)
SDV Bhv Ssk Återbesök (3 år)
SDV Bhv Ssk Återbesök (4 år)
SDV Bhv Ssk Återbesök (5-6 år)
SDV Um Bm Återbesök
SDV Um Kur Återbesök
SDV Um Läk Återbesök
SDV Um Ssk Återbesök
SDV Um Usk Återbesök
SDV Um Övr Återbesök
SDV Pv Arb Återbesök
SDV Pv Die Återbesök
SDV Pv Fys Återbesök
SDV Pv Kur Återbesök
SDV Pv Läk Återbesök
SDV Pv Läk Telefon Återbesök
SDV Pv Läk Video Återbesök
SDV Pv Läk Hembesök
SDV Pv Arb Hembesök
SDV Pv Psyk Återbesök
SDV Pv Ssk Återbesök
SDV Pv Usk Återbesök
SDV Pv Övr Återbesök
SDV Pv Fys Återbesök (artrosskola)
SDV Pv Läk Återbesök (gastric bypass)
SDV Pv Läk Återbesök (NOAK)
SDV Pv Ssk Återbesök (astma/KOL)
SDV Pv Ssk Återbesök (diabetes)
SDV Pv Läk Återbesök (diabetes)
SDV Pv Ssk Återbesök (hjärtsvikt)
SDV Pv Ssk Återbesök (hypertoni)
SDV Pv Läk Återbesök (hypertoni)
SDV Pv Ssk Återbesök (minne)
SDV Pv Ssk Återbesök (vaccination)
SDV Pv Usk Provtagning Barn
SDV Pv Usk Provtagning Vuxen
SDV Pv Övr Återbesök (beroende)
SDV Pv Övr Återbesök (läkemedelsgenomgång)
"""

CHAPTER_4 = """
24-timmars blodtrycksmätning --> SDV Pv Övr Återbesök
Arbetsterapeutmottagning --> SDV Pv Arb Återbesök
Artrosskola --> SDV Pv Fys Återbesök (artrosskola)
Astma/KOL-mottagning --> SDV Pv Ssk Återbesök (astma/KOL)
Basal kroppskännedom --> SDV Pv Övr Återbesök
Bassäng --> SDV Pv Övr Återbesök
Beroendemottagning --> SDV Pv Övr Återbesök (beroende)
Diabetesmottagning --> SDV Pv Ssk Återbesök (diabetes)
Dietistmottagning --> SDV Pv Die Återbesök
Distriktssköterskemottagning --> SDV Pv Ssk Återbesök
Gastric bypass --> SDV Pv Läk Återbesök (gastric bypass)
Gynekologisk mottagning --> SDV Pv Övr Återbesök
Hembesök (läkare) --> SDV Pv Läk Hembesök
Hembesök (arbetsterapeut) --> SDV Pv Arb Hembesök
Hjärtsviktsmottagning --> SDV Pv Ssk Återbesök (hjärtsvikt)
Hypertonimottagning --> SDV Pv Ssk Återbesök (hypertoni)
Inkontinensmottagning --> SDV Pv Övr Återbesök
Kuratorsmottagning --> SDV Pv Kur Återbesök
Lab/provtagning (barn) --> SDV Pv Usk Provtagning Barn
Lab/provtagning (vuxen) --> SDV Pv Usk Provtagning Vuxen
Levnadsvanemottagning --> SDV Pv Övr Återbesök
Läkarmottagning --> SDV Pv Läk Återbesök
Läkemedelsgenomgång, tvärprof --> SDV Pv Övr Återbesök (läkemedelsgenomgång)
Minnesmottagning --> SDV Pv Ssk Återbesök (minne)
NOAK --> SDV Pv Läk Återbesök (NOAK)
Psykologmottagning --> SDV Pv Psyk Återbesök
Rehabkoordinator --> SDV Pv Övr Återbesök
Seniormottagning --> SDV Pv Ssk Återbesök
Sjukgymnastmottagning --> SDV Pv Fys Återbesök
Telefontid --> SDV Pv Läk Telefon Återbesök
--> SDV Pv Läk Video Återbesök
Undersköterskemottagning --> SDV Pv Usk Återbesök
Vaccination --> SDV Pv Ssk Återbesök (vaccination)
"""

AGES = """
6-8 v 1-3, 3 mån 2-5, 4 mån 3-6, 5 mån 4-7, 6 mån 5-8, 8 mån 7-11, 10 mån 9-13, 12 mån 11-16, 18 mån 16-24,
2,5 år 28-35, 3 år 34-47, 4 år 46-59, 5-6 år 58-83
"""


@pytest.fixture(scope="module")
def shipped():
    return load_mappings(paths.MAPPINGS, raisable=RAISABLE)


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped files that a test may spoil."""
    return shutil.copytree(paths.MAPPINGS, tmp_path / "mappings")


def faults(folder):
    with pytest.raises(MappingError) as caught:
        load_mappings(folder, raisable=RAISABLE)
    first, *faults = str(caught.value).splitlines()
    assert first == f"mapping files at fault in {folder}:"
    return [fault.strip() for fault in faults]


def append(folder, name, *rows):
    with (folder / name).open("a", encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in rows)


# The facts as shipped


def test_the_47_lists_have_the_instructions_names(shipped):
    names = [row.sdv_lista for row in shipped.sdv_lists]
    assert names == CHAPTER_3.strip().splitlines()
    areas = [row.vardomrade for row in shipped.sdv_lists]
    assert {area: areas.count(area) for area in areas} == {"Bhv": 13, "Um": 6, "Pv": 28}
    assert all(name.startswith(f"SDV {area} ") for name, area in zip(names, areas, strict=True))


def test_the_profession_is_the_one_in_the_name(shipped):
    professions = {}
    for row in shipped.sdv_lists:
        professions.setdefault(row.sdv_lista.split()[2], set()).add(row.yrkeskategori)
    assert professions == {
        "Arb": {"Arbetsterapeut"},
        "Bm": {"Barnmorska"},
        "Die": {"Dietist"},
        "Fys": {"Fysioterapeut"},
        "Kur": {"Kurator"},
        "Läk": {"Läkare"},
        "Psyk": {"Psykolog"},
        "Ssk": {"Sjuksköterska"},
        "Usk": {"Undersköterska"},
        "Övr": {"Övrig"},
    }


def test_the_reason_is_the_one_in_the_name_in_one_spelling(shipped):
    for row in shipped.sdv_lists:
        _, _, in_name = row.sdv_lista.rstrip(")").partition(" (")
        if row.vardomrade == "Bhv":
            assert row.vardkontaktsorsak == f"uppföljning {in_name} basprogram"
        elif in_name:
            assert row.vardkontaktsorsak == in_name
        elif "Provtagning" in row.sdv_lista:
            assert row.vardkontaktsorsak == "provtagning"
        else:
            unspecified = {"Um": "bedömning ospecificerad", "Pv": "primärvård ospecificerat"}
            assert row.vardkontaktsorsak == unspecified[row.vardomrade]


def test_a_list_has_a_contact_form_exactly_when_its_name_has_one(shipped):
    assert {row.sdv_lista: row.kontaktform for row in shipped.sdv_lists if row.kontaktform} == {
        "SDV Pv Läk Telefon Återbesök": "telefon",
        "SDV Pv Läk Video Återbesök": "video",
        "SDV Pv Läk Hembesök": "hembesok",
        "SDV Pv Arb Hembesök": "hembesok",
    }


def test_ages_are_those_decided(shipped):
    expected = {
        f"SDV Bhv Ssk Återbesök ({age})": (int(low), int(high))
        for age, low, high in re.findall(r"([\d,-]+ (?:v|mån|år)) (\d+)-(\d+)", AGES)
    }
    expected["SDV Pv Usk Provtagning Barn"] = (None, 215)
    expected["SDV Pv Usk Provtagning Vuxen"] = (216, None)
    bounded = {
        row.sdv_lista: (row.alder_fran_man, row.alder_till_man)
        for row in shipped.sdv_lists
        if (row.alder_fran_man, row.alder_till_man) != (None, None)
    }
    assert bounded == expected


def test_the_33_recommendations_are_the_instructions(shipped):
    rows = [f"{row.kategori} --> {row.sdv_lista}".strip() for row in shipped.base_categories if not row.kontaktform]
    assert rows == CHAPTER_4.strip().splitlines()
    named = [row for row in shipped.base_categories if row.kategori and not row.kontaktform]
    reached = {row.sdv_lista for row in named}
    assert (len(named), len(reached), {name.split()[1] for name in reached}) == (32, 25, {"Pv"})


def test_the_post_s_contact_form_leads_to_the_lists_that_name_one(shipped):
    rows = [(row.kategori, row.kontaktform, row.sdv_lista) for row in shipped.base_categories if row.kontaktform]
    assert rows == [
        ("Läkarmottagning", "telefon", "SDV Pv Läk Telefon Återbesök"),
        ("Läkarmottagning", "video", "SDV Pv Läk Video Återbesök"),
        ("Läkarmottagning", "hembesok", "SDV Pv Läk Hembesök"),
        ("Telefontid", "video", "SDV Pv Läk Video Återbesök"),
    ]


@pytest.mark.parametrize(
    ("name", "decision"),
    [
        ("SDV Bhv Ssk Återbesök (3 mån)", "Bvc"),
        ("SDV Bhv Ssk Återbesök (5-6 år)", "5 år"),
        ("SDV Um Bm Återbesök", "teckenförklaring"),
        ("SDV Um Usk Återbesök", "Underssköterska"),
        ("SDV Pv Arb Hembesök", "Arbetsterapeut"),
        ("SDV Pv Läk Hembesök", "ospecificerad"),
        ("SDV Pv Psyk Återbesök", "Psy"),
        ("SDV Pv Läk Återbesök (diabetes)", "Ingen baskategori"),
        ("SDV Pv Läk Återbesök (hypertoni)", "Ingen baskategori"),
        ("Bassäng", "Fysioterapeut"),
        ("Beroendemottagning", "Sjuksköterska"),
        ("", "träffar därför ingen post"),
    ],
)
def test_each_decision_is_recorded_in_its_row(shipped, name, decision):
    notes = {row.sdv_lista: row.note for row in shipped.sdv_lists}
    notes |= {row.kategori: row.note for row in shipped.base_categories if not row.kontaktform}
    assert decision in notes[name]


def test_every_row_has_an_owner(shipped):
    assert all(row.owner for row in (*shipped.sdv_lists, *shipped.base_categories, *shipped.reserve_numbers))


def test_reserve_formats_have_their_oids(shipped):
    assert {row.namn: row.oid for row in shipped.reserve_numbers} == {
        "Nationellt reservid (NRID)": "1.2.752.74.9.1",
        "Stockholm": "1.2.752.97.3.1.3",
        "Västra Götaland": "1.2.752.113.11.0.2.1.1.1",
        "Värmland": None,
        "Skåne": None,
        "Carelink": None,
    }


@pytest.mark.parametrize(
    ("namn", "fits", "does_not_fit"),
    [
        (
            "Nationellt reservid (NRID)",
            ["19850512BC12", "19850512BCD2"],
            ["850512BC12", "19850512BI12", "19850512BCDE"],
        ),
        ("Stockholm", ["992024123456"], ["892024123456", "99202412345", "99202412345A"]),
        ("Västra Götaland", ["19850512K123", "19850512X123"], ["19850512A123", "850512K123"]),
        ("Värmland", ["19850512SF1Z", "198505127L12"], ["19850512AF12", "19850512SA12", "850512SF12"]),
        ("Skåne", ["850512DA0B", "19850512FZ1Q"], ["850512GA0B", "850512DA2B", "850512DA01"]),
        ("Carelink", ["198505321234", "8505591234"], ["198505311234", "198505601234", "19850532123A"]),
    ],
)
def test_reserve_formats_fit_their_numbers(shipped, namn, fits, does_not_fit):
    (monster,) = [row.monster for row in shipped.reserve_numbers if row.namn == namn]
    assert all(monster.fullmatch(number) for number in fits)
    assert not any(monster.fullmatch(number) for number in does_not_fit)


def test_the_test_patient_of_every_system_is_known_by_both_readings_of_its_number(shipped):
    assert [row.nummer.numbers for row in shipped.test_persons] == [("191212121212",), ("201212121212",)]
    assert all(row.owner and row.note for row in shipped.test_persons)


def test_a_region_names_its_test_patients_one_by_one_or_by_a_pattern_of_at_most_a_thousand(folder):
    (folder / "test_persons.csv").write_text(
        f"nummer,owner,note\n198001011234,,\n19121212\\d{{3}}2,,\n{',,'}\n", "utf-8"
    )
    one, thousand = load_mappings(folder, raisable=RAISABLE).test_persons
    assert (one.nummer.numbers, len(thousand.nummer.numbers)) == (("198001011234",), 1_000)


def test_a_units_file_of_an_earlier_release_is_whole_without_the_visits_a_week(folder):
    path = folder / "units.csv"
    path.write_text(path.read_text("utf-8").replace(",besok_per_vecka,huvudman", ""), "utf-8")
    append(folder, "units.csv", "SE2321000016-demo1,Ett,Pv,2025-03-03,1,,,,")
    (unit,) = load_mappings(folder, raisable=RAISABLE).units.values()
    assert (unit.enhet, unit.besok_per_vecka, unit.huvudman) == ("Ett", None, None)


def test_the_visits_a_week_are_a_whole_number_and_change_no_digest(folder):
    append(folder, "units.csv", "SE2321000016-demo1,Ett,Pv,2025-03-03,1,,,,,,")
    before = digests(folder)
    path = folder / "units.csv"
    without = path.read_text("utf-8")
    path.write_text(without.replace("2025-03-03,1,,,,", "2025-03-03,1,,,35,"), "utf-8")
    (unit,) = load_mappings(folder, raisable=RAISABLE).units.values()
    assert unit.besok_per_vecka == 35
    # No disposition depends on them: a wave that awaits its answer is not refused for them.
    assert digests(folder) == before
    path.write_text(without.replace("2025-03-03,1,,,,", "2025-03-03,1,,,35.5,"), "utf-8")
    assert faults(folder) == ["units.csv:2: besok_per_vecka: '35.5' is no whole number 0-9999"]


def test_who_runs_a_unit_and_whom_its_staff_ask_change_no_digest(folder):
    append(folder, "units.csv", "SE2321000016-demo1,Ett,Pv,2025-03-03,1,,,,,,")
    before = digests(folder)
    path = folder / "units.csv"
    path.write_text(path.read_text("utf-8").replace("2025-03-03,1,,,,,", "2025-03-03,1,,,,privat,"), "utf-8")
    (folder / "contacts.csv").write_text(
        "vardomrade,huvudman,adress,owner,note\nPv,region,a@example.invalid,,\n,privat,b@example.invalid,,\n", "utf-8"
    )
    mappings = load_mappings(folder, raisable=RAISABLE)
    assert mappings.addresses_of("SE2321000016-DEMO1") == ("b@example.invalid",)
    assert mappings.digests == before


def test_a_fault_of_a_contact_is_named(folder):
    (folder / "contacts.csv").write_text(
        "vardomrade,huvudman,adress,owner,note\nXx,stat,ingen adress,,\n,,,,\nPv,,,,\n", "utf-8"
    )
    assert faults(folder) == [
        "contacts.csv:2: adress: 'ingen adress' is no e-mail address",
        "contacts.csv:2: vardomrade: 'Xx' is not one of Bhv, Um, Pv",
        "contacts.csv:2: huvudman: 'stat' is not one of region, privat",
        "contacts.csv:4: adress: empty",
    ]


def test_a_folder_of_an_earlier_release_has_the_project_s_own_test_patients(folder, shipped):
    (folder / "test_persons.csv").unlink()
    found = load_mappings(folder, raisable=RAISABLE)
    assert (found.test_persons, found.digests) == (shipped.test_persons, shipped.digests)


def test_units_and_raised_severities_are_for_a_deployment_to_fill_in(shipped):
    assert (shipped.units, shipped.raised) == ({}, {})


# Edits by a lead


@pytest.mark.parametrize("again", ["se2321000016-DEMO1", " SE2321000016-demo1\u00a0", "\u202fSE2321000016-Demo1\t"])
def test_two_units_whose_ids_become_one_are_a_fault_with_both_lines(folder, again):
    append(folder, "units.csv", "SE2321000016-demo1,Ett,Pv,,,,,,,,", f"{again},Två,Pv,,,,,,,,")
    assert faults(folder) == ["units.csv:3: hsa_id: the same as on line 2"]


def test_two_contact_forms_that_become_one_are_a_fault_with_both_lines(folder):
    append(
        folder,
        "base_categories.csv",
        "Läkarmottagning,Telefon,SDV Pv Läk Telefon Återbesök,,",
        "Ny mottagning,\u00a0VIDEO\t,SDV Pv Läk Telefon Återbesök,,",
    )
    (first,) = faults(folder)
    assert re.fullmatch(r"base_categories.csv:39: kategori and kontaktform: the same as on line \d+", first)


def test_units_are_found_by_their_hsa_id(folder):
    append(
        folder,
        "units.csv",
        " se2321000016-demo1\u00a0,Vårdcentralen Ett,Pv;Bhv,2025-03-03,1,Ett plats,Ett inrättning,40,region,Lead,",
        "SE165560000000-Demo2,Mottagningen Två,Um,,,,,,,Lead,ännu inte beslutad",
    )
    units = load_mappings(folder, raisable=RAISABLE).units
    first, second = units["SE2321000016-DEMO1"], units["SE165560000000-DEMO2"]
    assert (first.enhet, first.vardomraden, first.vag) == ("Vårdcentralen Ett", {"Pv", "Bhv"}, "1")
    assert (first.driftstart.isoformat(), first.begard_plats, first.vardinrattning) == (
        "2025-03-03",
        "Ett plats",
        "Ett inrättning",
    )
    assert (second.driftstart, second.vag, second.begard_plats, second.vardinrattning) == (None, None, None, None)


def test_a_visit_type_replaces_the_list_s_name(folder, shipped):
    assert all(row.visit_type == row.sdv_lista for row in shipped.sdv_lists)
    path = folder / "sdv_lists.csv"
    row = "SDV Pv Die Återbesök,Pv,Dietist,primärvård ospecificerat,,,,"
    path.write_text(path.read_text("utf-8").replace(row, f"{row}Dietist uppföljning"), "utf-8")
    (changed,) = [row for row in load_mappings(folder, raisable=RAISABLE).sdv_lists if row.besokstyp]
    assert (changed.sdv_lista, changed.visit_type) == ("SDV Pv Die Återbesök", "Dietist uppföljning")


def test_a_warning_may_be_raised(folder):
    append(folder, "rule_severities.csv", "AGE_MISMATCH,blocks,Lead,")
    assert load_mappings(folder, raisable=RAISABLE).raised == {"AGE_MISMATCH": "blocks"}


def test_loaded_mappings_cannot_be_changed(shipped):
    with pytest.raises(FrozenInstanceError):
        shipped.digests = {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SDV Pv Läk Återbesök (NOAK)", "  sdv  pv\u00a0la\u0308k a\u030aterbesök(noak) "),
        ("SDV Bhv Ssk Återbesök (3 mån)", "SDV BVC Ssk Återbesök (3 mån)"),
        ("SDV Pv Psyk Återbesök", "SDV Pv Psy Återbesök"),
    ],
)
def test_names_that_mean_the_same_list_have_the_same_key(one, other):
    assert list_key(one) == list_key(other)


@pytest.mark.parametrize("other", ["SDV Pv Psykolog Återbesök", "SDV Pv Psys Återbesök", "SDVPv Psyk Återbesök"])
def test_aliases_are_whole_words(other):
    assert list_key("SDV Pv Psyk Återbesök") != list_key(other)


def test_a_base_category_has_no_aliases():
    assert category_key("Bvc") != category_key("Bhv")


# Faults


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "sdv_lists",
            "SDV Pv Ny,Pv,Läkare,ny,besok,,,,,",
            "49: kontaktform: 'besok' is not one of telefon, video, hembesok",
        ),
        ("sdv_lists", "SDV Pv Ny,Bvc,Läkare,ny,,,,,,", "49: vardomrade: 'Bvc' is not one of Bhv, Um, Pv"),
        ("sdv_lists", "SDV Pv Ny,Pv,Läkare,ny,,12,11,,,", "49: alder_fran_man: 12 is above alder_till_man 11"),
        ("sdv_lists", "SDV Pv Ny,Pv,Läkare,ny,,1 år,,,,", "49: alder_fran_man: '1 år' is no whole number 0-9999"),
        ("sdv_lists", "SDV Pv Ny,Pv,,ny,,,,,,", "49: yrkeskategori: empty"),
        ("sdv_lists", "SDV Pv Ny,Pv,Läkare,,,,,,,", "49: vardkontaktsorsak: empty"),
        ("sdv_lists", "sdv pv läk  hembesök,Pv,Läkare,ny,,,,,,", "49: sdv_lista: the same as on line 28"),
        ("sdv_lists", "SDV Pv Psy Återbesök,Pv,Psykolog,ny,,,,,,", "49: sdv_lista: the same as on line 30"),
        ("base_categories", "Ny,,SDV Pv Läk,,", "39: sdv_lista: 'SDV Pv Läk' is not in sdv_lists.csv"),
        ("base_categories", "Ny,,,,", "39: sdv_lista: empty"),
        (
            "base_categories",
            "Ny,brev,SDV Pv Läk Återbesök,,",
            "39: kontaktform: 'brev' is not one of besok, telefon, video, hembesok",
        ),
        ("base_categories", "noak ,,SDV Pv Läk Återbesök,,", "39: kategori and kontaktform: the same as on line 26"),
        (
            "base_categories",
            "Telefontid,video,SDV Pv Läk Återbesök,,",
            "39: kategori and kontaktform: the same as on line 38",
        ),
        (
            "base_categories",
            "SDV Bvc Ssk Återbesök (3 mån),,SDV Pv Läk Återbesök,,",
            "39: kategori: 'SDV Bvc Ssk Återbesök (3 mån)' is the name of an SDV list",
        ),
        ("units", "SE2321000016_demo1,Ett,Pv,,,,,,,,", "2: hsa_id: 'SE2321000016_DEMO1' is no HSA-id"),
        ("units", "SE232100001-demo1,Ett,Pv,,,,,,,,", "2: hsa_id: 'SE232100001-DEMO1' is no HSA-id"),
        ("units", f"SE2321000016-{'x' * 19},Ett,Pv,,,,,,,,", f"2: hsa_id: 'SE2321000016-{'X' * 19}' is no HSA-id"),
        ("units", ",Ett,Pv,,,,,,,,", "2: hsa_id: empty"),
        ("units", "SE2321000016-demo1,,Pv,,,,,,,,", "2: enhet: empty"),
        ("units", "SE2321000016-demo1,Ett,,,,,,,,,", "2: vardomraden: empty"),
        ("units", "SE2321000016-demo1,Ett,Pv;Bvc,,,,,,,,", "2: vardomraden: 'Bvc' not among Bhv, Um, Pv"),
        ("units", "SE2321000016-demo1,Ett,Pv,3/3 2025,,,,,,,", "2: driftstart: '3/3 2025' is no date YYYY-MM-DD"),
        (
            "reserve_numbers",
            r"Ny,[0-9,,,",
            "8: monster: '[0-9' is no regular expression: unterminated character set at position 0",
        ),
        ("reserve_numbers", "Ny,,,,", "8: monster: empty"),
        ("reserve_numbers", r"skåne,\d,,,", "8: namn: the same as on line 6"),
        ("test_persons", ",Lead,", "4: nummer: empty"),
        ("test_persons", "191212121212,,", "4: nummer: the same as on line 2"),
        ("test_persons", "19121212,,", "4: nummer: '19121212' matches no number of 12 digits"),
        (
            "test_persons",
            "121212-1212,,",
            "4: nummer: '121212-1212' is no regular expression over digits: '-' is no digit after '121212'",
        ),
        ("test_persons", "19121212\\d{4},,", "4: nummer: '19121212\\\\d{4}' matches more than 1000 numbers"),
        ("test_persons", ".*,,", "4: nummer: '.*' matches more than 1000 numbers"),
        (
            "test_persons",
            "(?:(?:(?:\\d?){9}){9}){9},,",
            "4: nummer: '(?:(?:(?:\\\\d?){9}){9}){9}' is no regular expression over digits: too many repetitions",
        ),
        ("millennium_refs", "enhet,Ny,1,,", "3: art: 'enhet' is not one of plats, besokstyp"),
        ("millennium_refs", "plats,,1,,", "3: namn: empty"),
        ("millennium_refs", "plats,Ny,,,", "3: referens: empty"),
        ("millennium_refs", "plats,Ny,Location/1,,", "3: referens: 'Location/1' is no id of a Location"),
        ("millennium_refs", "plats,Mottagningen,4712,,", "3: art and namn: the same as on line 2"),
        ("millennium_refs", "besokstyp,Ny,4711,,", "3: referens: '4711' is not written as system|code"),
        ("millennium_refs", "besokstyp,Ny,a|b|c,,", "3: referens: 'a|b|c' is not written as system|code"),
        ("rule_severities", "NO_SUCH_RULE,blocks,,", "2: rule: 'NO_SUCH_RULE' does not exist"),
        ("rule_severities", "ID_MISSING,blocks,,", "2: rule: ID_MISSING is blocks; only a warning may be raised"),
        ("rule_severities", "TEXT_CLEANED,blocks,,", "2: rule: TEXT_CLEANED is info; only a warning may be raised"),
        ("rule_severities", "AGE_MISMATCH,error,,", "2: severity: 'error' is not one of blocks"),
        ("rule_severities", "AGE_MISMATCH,,,", "2: severity: empty"),
    ],
)
def test_a_faulty_row_is_named_with_file_and_line(folder, name, row, expected):
    (folder / "millennium_refs.csv").write_text("art,namn,referens,owner,note\nplats,Mottagningen,4711,,\n", "utf-8")
    append(folder, f"{name}.csv", row)
    assert faults(folder) == [f"{name}.csv:{expected}"]


def test_references_of_the_receiver_are_a_fact_once_there_is_one(folder):
    before = load_mappings(folder, raisable=RAISABLE)
    (folder / "millennium_refs.csv").write_text("art,namn,referens,owner,note\n", "utf-8")
    assert load_mappings(folder, raisable=RAISABLE).digests == before.digests
    append(folder, "millennium_refs.csv", "plats,Mottagningen,4711,,", "besokstyp,Mottagningen,urn:oid:1|2,,")
    found = load_mappings(folder, raisable=RAISABLE)
    assert found.references == {("plats", "Mottagningen"): "4711", ("besokstyp", "Mottagningen"): "urn:oid:1|2"}
    assert set(found.digests) - set(before.digests) == {"millennium_refs.csv"}


def test_a_unit_occurs_once(folder):
    append(folder, "units.csv", "SE2321000016-a1,Ett,Pv,,,,,,,,", "SE2321000016-A1,Ett,Pv,,,,,,,,")
    assert faults(folder) == ["units.csv:3: hsa_id: the same as on line 2"]


def test_a_longest_hsa_id_is_taken(folder):
    append(folder, "units.csv", f"SE2321000016-{'x' * 18},Ett,Pv,,,,,,,,")
    assert len(load_mappings(folder, raisable=RAISABLE).units) == 1


def test_all_faults_of_all_files_are_named_at_once(folder):
    (folder / "sdv_lists.csv").write_text("sdv_lista\n", "utf-8")
    append(folder, "base_categories.csv", "Ny,brev,SDV Pv Läk,,")
    append(folder, "units.csv", "x,Ett,Pv,snart,,,,,,,")
    (folder / "reserve_numbers.csv").write_bytes(b"\xff")
    (folder / "rule_severities.csv").unlink()
    assert faults(folder) == [
        "sdv_lists.csv:1: columns missing: 'alder_fran_man', 'alder_till_man', 'besokstyp', 'kontaktform', 'note',"
        " 'owner', 'vardkontaktsorsak', 'vardomrade', 'yrkeskategori'",
        "base_categories.csv:39: kontaktform: 'brev' is not one of besok, telefon, video, hembesok",
        "units.csv:2: hsa_id: 'X' is no HSA-id",
        "units.csv:2: driftstart: 'snart' is no date YYYY-MM-DD",
        "reserve_numbers.csv:1: not UTF-8",
        "reserve_numbers.csv:1: columns missing: 'monster', 'namn', 'note', 'oid', 'owner'; columns unknown: 'ÿ'",
        "rule_severities.csv:1: the file is missing",
    ]


def test_the_rows_without_faults_can_be_read_beside_the_faults(folder, shipped):
    append(folder, "units.csv", "SE2120009999-A,Ett,Pv,2025-01-13,,,,,,,", "SE2120009999-B,Två,Pv,snart,,,,,,,")
    read, found = read_mappings(folder, raisable=RAISABLE)
    assert found == ["units.csv:3: driftstart: 'snart' is no date YYYY-MM-DD"]
    assert list(read.units) == ["SE2120009999-A"]
    assert read.sdv_lists == shipped.sdv_lists


def test_an_empty_folder_misses_every_file(tmp_path):
    assert [fault.split(":")[0] for fault in faults(tmp_path)] == [
        "sdv_lists.csv",
        "base_categories.csv",
        "units.csv",
        "reserve_numbers.csv",
        "rule_severities.csv",
    ]


# The digest


def digests(folder):
    return load_mappings(folder, raisable=RAISABLE).digests


def test_the_digest_is_that_of_the_facts_not_of_the_files(folder, shipped):
    for path in folder.iterdir():
        content = path.read_text("utf-8").replace("Migreringsledningen", "Någon annan").replace("Beslut:", "Obs:")
        path.write_text("\ufeff" + content.replace("\n", "\r\n"), "utf-8", newline="")
    assert digests(folder) == shipped.digests
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in shipped.digests.values())


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("sdv_lists.csv", ",46,59,", ",46,60,"),
        ("sdv_lists.csv", ",Dietist,", ",dietist,"),
        ("base_categories.csv", "NOAK,,SDV Pv Läk Återbesök (NOAK)", "NOAK,,SDV Pv Läk Återbesök"),
        ("units.csv", "Ett,Pv,2025-03-03,1", "Ett,Pv,2025-03-04,1"),
        ("units.csv", "Ett,Pv,2025-03-03,1", "Ett,Pv;Um,2025-03-03,1"),
        ("reserve_numbers.csv", "[DEF]", "[DEFG]"),
        ("rule_severities.csv", "AGE_MISMATCH,blocks,Lead,\n", ""),
        ("test_persons.csv", "191212121212", "19121212121[2-3]"),
    ],
)
def test_a_files_digest_follows_every_fact_in_it(folder, name, old, new):
    append(folder, "units.csv", "SE2321000016-demo1,Ett,Pv,2025-03-03,1,,,,,,")
    append(folder, "rule_severities.csv", "AGE_MISMATCH,blocks,Lead,")
    before = digests(folder)
    path = folder / name
    content = path.read_text("utf-8")
    assert content.count(old) == 1
    path.write_text(content.replace(old, new), "utf-8")
    after = digests(folder)
    assert {file for file in before if after[file] != before[file]} == {name}
