"""A unit or a contact form that PMO writes in several ways is one unit or one form in every comparison.

A second row of the same unit had an HSA-id with a trailing space. The dry run migrated its posts and the wave's run did
not read them: a patient was left out without a message, and so was a duplicate between the two.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import runs
from tests.support.pmo import SmallPmo, official_number, post, postgres_pmo, sqlite_pmo

from waitlist.facts.mappings import load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.reports.worklist.posts import unit_key
from waitlist.source.pmo import PmoSource
from waitlist.source.pmo.connection import BulkReadError
from waitlist.staging import schema
from waitlist.steps.pipeline import Pipeline

UNIT, OTHER = "SE0000000000-TEST1", "SE0000000000-TEST10"
WRITTEN = [
    UNIT, f"{UNIT} ", f"  {UNIT}", UNIT.lower(), UNIT.title(), f"{UNIT}\u00a0", f"\u202f{UNIT}\u2007", f"{UNIT}\t",
    f" \t\u00a0{UNIT.lower()} \u00a0\t",
]  # fmt: skip
NOT_ITS_OWN = [OTHER, f"{OTHER} ", "SE0000000000-TEST", f"{UNIT}\u2003", f"{UNIT}x", "", " ", None]
ONE_FORM = {f"{UNIT}\u2003".upper(), f"{UNIT}X", "SE0000000000-TEST", OTHER, None}

Build = Callable[[], SmallPmo]


def _posts_of_one_patient() -> list[dict[str, object]]:
    """Return posts of one patient, each at a unit row of its own; posts from 100 on are at other units."""
    where = [*enumerate(WRITTEN, start=10), *enumerate(NOT_ITS_OWN, start=100)]
    return [post(number, patient_id=number, enhet_id=number, personnummer=official_number()) for number, _ in where]


def _add_units(pmo: SmallPmo) -> SmallPmo:
    where = [*enumerate(WRITTEN, start=10), *enumerate(NOT_ITS_OWN, start=100)]
    pmo.run(("INSERT INTO enhet VALUES (?, ?, ?)", [(number, written, "Enheten") for number, written in where]))
    return pmo


@pytest.fixture(params=["sqlite", "postgres", "postgres, padded"])
def pmo(request: pytest.FixtureRequest, tmp_path: Path) -> SmallPmo:
    if request.param == "sqlite":
        return _add_units(sqlite_pmo(tmp_path, _posts_of_one_patient()))
    built = _add_units(postgres_pmo(request.getfixturevalue("postgres"), _posts_of_one_patient()))
    if request.param == "postgres, padded":
        built.run("ALTER TABLE enhet ALTER COLUMN hsa_id TYPE char(40)")
    return built


@pytest.fixture(params=["by column", "by row"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by arrow-odbc, or by pyodbc because arrow-odbc cannot."""

    def unreadable(*_: object) -> None:
        raise BulkReadError("not this time")

    if request.param == "by row":
        monkeypatch.setattr(PmoSource, "_by_column", unreadable)


def pipeline(folder: Path, pmo: SmallPmo) -> Pipeline:
    mappings = runs.planned(folder, {f"{UNIT.lower()}\u00a0": "1", OTHER: "2"})
    return runs.pipeline(folder, pmo=pmo.odbc, staging=f"sqlite:///{folder / 'staging.db'}", mappings=mappings)


def staged(steps: Pipeline, name: str, **asked: tuple[str, ...]) -> dict[int, tuple[str | None, str, bool]]:
    """Run a dry run; return each post's unit, disposition, and whether it has a duplicate."""
    run, _ = runs.assessed(steps, runs.request(name, **asked))
    steps.reconcile(run, now=runs.NOW)
    kept, found = schema.disposition.c, schema.finding.c
    with steps.store.database.connected() as connection:
        query = sa.select(found.post_id).where(found.batch_id == run.batch_id, found.rule == "DUPLICATE_POST")
        twice = set(connection.scalars(query))
        rows = connection.execute(
            sa.select(kept.post_id, kept.enhet_hsa_id, kept.disposition).where(kept.batch_id == run.batch_id)
        )
        return {row.post_id: (row.enhet_hsa_id, row.disposition, row.post_id in twice) for row in rows}


def test_a_wave_reads_its_unit_however_pmo_writes_it_and_finds_the_duplicates(pmo: SmallPmo, tmp_path: Path) -> None:
    steps = pipeline(tmp_path, pmo)

    dry_run = staged(steps, "dry-run")
    wave = staged(steps, "wave", waves=("1",))

    assert list(wave) == list(range(10, 10 + len(WRITTEN)))
    assert set(wave.values()) == {(UNIT, "migrate", True)}
    assert {post_id: dry_run[post_id] for post_id in wave} == wave
    assert {unit for unit, _, _ in dry_run.values()} == {UNIT, *ONE_FORM}


def test_a_unit_that_is_asked_for_is_found_however_it_is_written(pmo: SmallPmo, tmp_path: Path) -> None:
    steps = pipeline(tmp_path, pmo)

    asked = staged(steps, "unit", units=(f" {UNIT.lower()}\t",))

    assert list(asked) == list(range(10, 10 + len(WRITTEN)))


def test_a_snapshot_gives_a_unit_s_posts_again_and_work_lists_count_them_as_one(pmo: SmallPmo, tmp_path: Path) -> None:
    steps = pipeline(tmp_path, pmo)
    whole = runs.request("dry-run")
    staged(steps, "dry-run")
    again = runs.request("again", units=(UNIT,), reuse_snapshot=whole.batch_id)

    run, _ = runs.assessed(steps, again)
    parts = runs.parts(steps, tmp_path, run)

    assert sum(part.posts for part in parts) == sum(part.counted for part in parts) == len(WRITTEN)
    mappings = load_mappings(tmp_path / "mappings", raisable=BUILT_IN_SEVERITIES)
    with steps.store.database.connected() as connection:
        units = connection.scalars(
            sa.select(schema.disposition.c.enhet_hsa_id).where(schema.disposition.c.batch_id == run.batch_id)
        )
        assert Counter(unit_key(unit, mappings) for unit in units) == {UNIT: len(WRITTEN)}


FORMS = {"telefon": "Telefon ", "Telefon   ": "Telefon ", "\u00a0TELEFON\t": "Telefon ", "video ": "Video ", "": ""}


@pytest.mark.parametrize("in_postgres", [False, True], ids=["sqlite", "postgres"])
def test_a_padded_contact_form_gets_the_list_of_its_form(
    request: pytest.FixtureRequest, tmp_path: Path, *, in_postgres: bool
) -> None:
    rows = [post(n, kategori="Läkarmottagning", kontaktform=form) for n, form in enumerate(FORMS, start=1)]
    if in_postgres:
        pmo = postgres_pmo(request.getfixturevalue("postgres"), rows)
        pmo.run("ALTER TABLE vantelistepost ALTER COLUMN kontaktform TYPE char(10)")
    else:
        pmo = sqlite_pmo(tmp_path, rows)
    steps = pipeline(tmp_path, pmo)

    run, _ = runs.assessed(steps, runs.request("dry-run"))

    kept, found = schema.disposition.c, schema.finding.c
    with steps.store.database.connected() as connection:
        lists = connection.scalars(
            sa.select(kept.recommended_list).where(kept.batch_id == run.batch_id).order_by(kept.post_id)
        ).all()
        unknown = connection.scalars(
            sa.select(found.post_id).where(found.batch_id == run.batch_id, found.rule == "CONTACT_FORM_UNKNOWN")
        ).all()
    assert lists == [f"SDV Pv Läk {form}Återbesök" for form in FORMS.values()]
    assert unknown == [len(FORMS)]
