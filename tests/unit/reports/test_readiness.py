"""The readiness table: counts beside shares and denominators, in Swedish, wave by wave."""

import dataclasses
import datetime as dt
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from tests.support import batches

from waitlist import paths
from waitlist.deployment import Facts
from waitlist.exceptions import StagingError
from waitlist.facts.mappings import Mappings, Unit
from waitlist.reports.readiness import LATEST, Progress, RuleCount, main, read_readiness, render
from waitlist.settings import PersonCheck, RuleSettings, Settings
from waitlist.staging import StagingStore
from waitlist.staging.schema import batch, finding, unit_summary
from waitlist.swedish.formats import number, share

AS_OF = batches.AS_OF
ASKING = Settings(rules=RuleSettings(pu=PersonCheck.REQUIRED))


def unit(hsa_id: str, name: str, go_live: dt.date | None, wave: str | None) -> Unit:
    return Unit(hsa_id, name, frozenset({"Pv"}), go_live, wave, None, None, None, None, "", "")


UNITS = {
    row.hsa_id: row
    for row in (
        unit("SE1-A", "Älvdalens vårdcentral", dt.date(2024, 11, 4), "2"),
        unit("SE1-B", "Åby vårdcentral", dt.date(2024, 11, 11), "2"),
        unit("SE1-C", "Bergs barnavårdscentral", dt.date(2024, 10, 1), "Våg 1"),
        unit("SE1-D", "Dals ungdomsmottagning", None, "3"),
        unit("SE1-E", "Enskilda mottagningen", dt.date(2024, 10, 14), None),
        unit("SE1-F", "Utan poster", dt.date(2024, 10, 14), "2"),
    )
}
SUMMARY: Mapping[str, Mapping[str, int]] = {
    "SE1-A": {"migrate": 412, "fix_in_pmo": 200, "already_released": 1, "move_to_sdv_list": 42},
    "SE1-B": {"migrate": 2500},
    "SE1-C": {"leave": 3, "book_in_millennium": 9_997, "migrate": 4},
    "SE1-D": {"plan_unit": 7},
    "SE1-E": {"migrate": 1, "handle_manually": 1},
    "SE1-X": {"plan_unit": 2},
    "": {"plan_unit": 1},
}


@pytest.fixture
def mappings() -> Mappings:
    return Mappings((), (), UNITS, (), {}, {})


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    """A verified batch with the summary above; the ready-made rows give the findings."""
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    batches.put_verified(store)
    batches.execute(store, unit_summary.delete())
    rows = [
        {"batch_id": "natt-1", "enhet_hsa_id": hsa_id, "disposition": disposition, "posts": posts}
        for hsa_id, counts in SUMMARY.items()
        for disposition, posts in counts.items()
    ]
    batches.execute(store, unit_summary.insert().values(rows))
    return store


def printed(store: StagingStore, mappings: Mappings, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(render(read_readiness(store, "natt-1", mappings)))
    return console.file.getvalue()


# Figures


def test_waves_go_by_go_live_and_units_by_swedish_name(store: StagingStore, mappings: Mappings) -> None:
    waves = read_readiness(store, "natt-1", mappings).waves
    assert [(wave.wave, wave.go_live) for wave in waves] == [
        ("Våg 1", dt.date(2024, 10, 1)),
        ("2", dt.date(2024, 11, 4)),
        ("3", None),
        (None, dt.date(2024, 10, 14)),
    ]
    assert [unit.name for unit in waves[1].units] == ["Åby vårdcentral", "Älvdalens vårdcentral"]
    assert [unit.name for unit in waves[3].units] == ["", "Enskilda mottagningen", "SE1-X"]


def test_unit_has_the_ready_posts_and_the_remaining_ones(store: StagingStore, mappings: Mappings) -> None:
    waves = {wave.wave: wave for wave in read_readiness(store, "natt-1", mappings).waves}
    aby, alvdalen = waves["2"].units
    assert alvdalen.progress == Progress(655, 412, {"already_released": 1, "fix_in_pmo": 200, "move_to_sdv_list": 42})
    assert list(alvdalen.progress.left) == ["already_released", "fix_in_pmo", "move_to_sdv_list"]
    assert aby.progress == Progress(2500, 2500, {})
    assert (alvdalen.days_left, waves["Våg 1"].units[0].days_left, waves["3"].units[0].days_left) == (34, 0, None)


def test_totals_are_the_sums_of_their_units(store: StagingStore, mappings: Mappings) -> None:
    readiness = read_readiness(store, "natt-1", mappings)
    assert readiness.progress.posts == sum(sum(counts.values()) for counts in SUMMARY.values())
    assert readiness.progress.ready == 412 + 2500 + 4 + 1
    assert readiness.progress.left["plan_unit"] == 7 + 2 + 1
    for wave in readiness.waves:
        assert wave.progress.posts == sum(unit.progress.posts for unit in wave.units)
        assert wave.progress.ready == sum(unit.progress.ready for unit in wave.units)
        assert wave.progress.posts == wave.progress.ready + sum(wave.progress.left.values())


def test_findings_are_counted_by_rule_the_most_frequent_first(store: StagingStore, mappings: Mappings) -> None:
    found = batches.rows(store, finding)
    moved = sum(row["rule"] == "CATEGORY_NOT_MOVED" for row in found)
    assert read_readiness(store, "natt-1", mappings).findings == (
        RuleCount("CATEGORY_NOT_MOVED", "Inte flyttad till SDV-väntelista", moved),
        RuleCount("PROTECTED_IDENTITY", "Sekretessmarkering", len(found) - moved),
    )


# The batch


def test_only_a_batch_that_counts_for_readers_is_read(store: StagingStore, mappings: Mappings) -> None:
    for state in ("open", "staged", "failed"):
        batches.set_state(store, state)
        with pytest.raises(StagingError, match=f"batch natt-1 is {state}: it counts only once it is verified"):
            read_readiness(store, "natt-1", mappings)
        with pytest.raises(StagingError, match="no dry run has been verified yet"):
            read_readiness(store, LATEST, mappings)
    for state in ("verified", "awaiting_approval", "released", "withdrawn", "rejected"):
        batches.set_state(store, state)
        assert read_readiness(store, "natt-1", mappings).batch.batch_id == "natt-1"
    with pytest.raises(StagingError, match="batch natt-7 is unknown"):
        read_readiness(store, "natt-7", mappings)


def verified(store: StagingStore, batch_id: str, **told: object) -> None:
    batches.open_batch(store, batch_id, **told)
    batches.set_state(store, "verified", batch_id)


def test_latest_is_the_dry_run_as_of_the_latest_day_and_of_these_the_one_begun_last(
    store: StagingStore, mappings: Mappings
) -> None:
    hour = dt.timedelta(hours=1)
    verified(store, "again", started_at=batches.NOW + hour)
    verified(store, "backfilled", as_of=AS_OF - dt.timedelta(days=3), started_at=batches.NOW + 3 * hour)
    batches.open_batch(store, "under-way", as_of=AS_OF + dt.timedelta(days=1), started_at=batches.NOW + 4 * hour)
    assert read_readiness(store, LATEST, mappings).batch.batch_id == "again"


def test_a_replay_a_wave_and_a_run_over_some_units_are_read_when_named(store: StagingStore, mappings: Mappings) -> None:
    later = batches.NOW + dt.timedelta(hours=1)
    verified(store, "what-if", started_at=later, reuse_snapshot="natt-1")
    verified(store, "wave", started_at=later, kind="migration", wave="2", units=["SE1-A", "SE1-B"])
    verified(store, "some", started_at=later, units=["SE1-A"])
    assert read_readiness(store, LATEST, mappings).batch.batch_id == "natt-1"
    for batch_id in ("what-if", "wave", "some"):
        assert read_readiness(store, batch_id, mappings).batch.batch_id == batch_id
    batches.set_state(store, "failed")
    assert read_readiness(store, LATEST, mappings).batch.batch_id == "some"


# Words and numbers


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 655, "0 %"),
        (412, 655, "63 %"),
        (655, 655, "100 %"),
        (4, 10_000, "<1 %"),
        (99, 10_000, "<1 %"),
        (1, 100, "1 %"),
        (15, 1_000, "2 %"),
        (99, 100, "99 %"),
        (9_997, 10_000, ">99 %"),
        (999_999, 1_000_000, ">99 %"),
        (0, 0, "–"),
    ],
)
def test_share_is_shown_as_none_or_all_only_when_it_is(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said


def test_large_numbers_are_grouped() -> None:
    assert [number(count) for count in (7, 999, 12_345, 1_000_000)] == ["7", "999", "12 345", "1 000 000"]


def test_table_reads_unit_by_unit(store: StagingStore, mappings: Mappings) -> None:
    lines = [" ".join(line.split()) for line in printed(store, mappings).splitlines()]
    assert lines[0] == "Torrkörning per 2024-10-01: vad kan migreras, och vad återstår?"
    place = lines.index("Älvdalens vårdcentral 2024-11-04 34 412 av 655 (63 %)")
    assert lines[place + 1] == "Redan överförd 1 · Åtgärda i PMO 200 · Flytta till SDV-väntelista 42"
    place = lines.index("Åby vårdcentral 2024-11-11 41 2 500 av 2 500 (100 %)")
    assert lines[place + 1] == "Inget återstår"
    assert "Bergs barnavårdscentral 2024-10-01 i drift 4 av 10 004 (<1 %)" in lines
    assert "Dals ungdomsmottagning saknas – 0 av 7 (0 %)" in lines
    assert "Okänd enhet saknas – 0 av 1 (0 %)" in lines
    assert "Summa Våg 2 2 912 av 3 155 (92 %)" in lines
    assert "Summa 2 917 av 13 171 (22 %)" in lines
    assert [line.split(" ─")[0] for line in lines if "──" in line][:5] == [
        "Våg 1", "Våg 2", "Våg 3", "Utan våg", "Alla enheter",
    ]  # fmt: skip
    place = lines.index("Vanligaste anmärkningarna")
    assert "Inte flyttad till SDV-väntelista CATEGORY_NOT_MOVED 33" in lines[place:]


def lines_after(title: str, text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return lines[lines.index(title) + 1 :]


PERSONS = "Kontroll mot folkbokföringen (Personuppgiftstjänsten)"


def test_table_says_that_nobody_was_checked_where_the_person_service_is_off(
    store: StagingStore, mappings: Mappings
) -> None:
    assert lines_after(PERSONS, printed(store, mappings)) == ["Ingen patient är kontrollerad: WAITLIST_PU är off."]


def test_table_names_what_the_person_service_brought_about(store: StagingStore, mappings: Mappings) -> None:
    batches.execute(store, batch.update().values(facts=dict(Facts.read(ASKING).digests)))
    assert lines_after(PERSONS, printed(store, mappings)) == ["Inga anmärkningar."]
    batches.execute(store, finding.update().where(finding.c.rule == "CATEGORY_NOT_MOVED").values(rule="PU_DECEASED"))
    text = printed(store, mappings)
    assert "Avliden enligt folkbokföringen PU_DECEASED 33" in lines_after(PERSONS, text)
    assert "PU_DECEASED" not in text.partition(PERSONS)[0], "it is named once"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_table_keeps_whole_figures_at_any_width(store: StagingStore, mappings: Mappings, width: int) -> None:
    long = dataclasses.replace(UNITS["SE1-A"], enhet="Älvdalens vårdcentral och barnavårdscentral i norra kommundelen")
    text = printed(store, dataclasses.replace(mappings, units={**UNITS, "SE1-A": long}), width)
    assert max(map(len, text.splitlines())) <= width
    for whole in (
        "2024-11-04",
        "412 av 655 (63 %)",
        "2 917 av 13 171 (22 %)",
        "Flytta till SDV-väntelista 42",
        "i drift",
    ):
        assert whole in text


# The command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "waitlist.reports.readiness", *arguments],
        cwd=paths.PROJECT / "include", capture_output=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip


def test_command_prints_the_latest_batch_and_fails_without_one(store: StagingStore) -> None:
    url = str(store.engine.url)
    done = run("--staging", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Torrkörning per 2024-10-01" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    batches.set_state(store, "open")
    assert main(["--staging", url]) == 1


def test_command_says_why_it_fails(store: StagingStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--staging", str(store.engine.url), "--batch", "natt-9"]) == 1
    assert "batch natt-9 is unknown" in capsys.readouterr().err
    assert main(["--staging", str(store.engine.url), "--mappings", str(tmp_path / "saknas")]) == 1
    assert "saknas" in capsys.readouterr().err
