"""The hand-off of a released batch: what is written, that it is what was approved, and what leaves nothing behind."""

import datetime as dt
import hashlib
import json
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
from tests.support import batches, fhir, posts, releases
from tests.support.releases import LATER, REASON
from upath import UPath

from waitlist import __version__, files, paths
from waitlist.exceptions import (
    HandOffError,
    ReconciliationError,
    RefusedError,
    SettingsError,
    StagingError,
    WaitlistError,
)
from waitlist.release import decisions as release
from waitlist.release.handoff import writing
from waitlist.release.handoff.content import Content
from waitlist.release.references import missing_references
from waitlist.reports import approval
from waitlist.reports.pages import batch as batch_page
from waitlist.settings import RuleSettings, Settings
from waitlist.staging import StagingStore, checkpoints, handoffs, retention, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

WAVE = "vecka-1"
POSTS = [post for post in range(1, 60) if post % 3 != 2]
"""Posts of the two units that have a name."""
MIGRATING = releases.migrating(POSTS)
REFERENCES = {
    ("plats", "Vårdcentralen Demo"): "4711",
    ("besokstyp", "SDV Pv Ssk Återbesök (diabetes)"): "urn:oid:1.2.3|diabetes",
}
WHOLE = Content("urn:waitlist:post", REFERENCES)
FILES = {"appointments.ndjson", "bokningsbegaran.csv", "millennium.ndjson"}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StagingStore:
    store = batches.empty_store(request, tmp_path)
    releases.awaiting(store, WAVE, POSTS, wave="1")
    release.release(store, WAVE, "Eva Öberg", None, LATER)
    return store


@pytest.fixture
def of_sqlite(tmp_path: Path) -> StagingStore:
    store = batches.migrated_file(tmp_path / "staging.sqlite")
    releases.awaiting(store, WAVE, POSTS, wave="1")
    release.release(store, WAVE, "Eva Öberg", None, LATER)
    return store


def hand_off(store: StagingStore, folder: Path, content: Content = WHOLE, now: dt.datetime = LATER) -> handoffs.HandOff:
    return writing.hand_off(store, UPath(folder / "out"), WAVE, content, now)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out" / WAVE).iterdir()}


def kept(store: StagingStore) -> list[dict[str, Any]]:
    return batches.rows(store, schema.hand_off)


def of_wave(store: StagingStore) -> checkpoints.Checkpoint:
    with store.engine.connect() as connection:
        made = checkpoints.of_batch(connection, WAVE)
    assert made is not None
    return made


def logged(store: StagingStore) -> list[dict[str, Any]]:
    return sorted(batches.rows(store, schema.access_log), key=lambda row: row["post_id"])


def test_every_file_has_every_approved_post_and_the_manifest_says_so(store: StagingStore, tmp_path: Path) -> None:
    handed = hand_off(store, tmp_path)
    found = written(tmp_path)
    assert found.keys() == FILES | {"manifest.json"}
    manifest = json.loads(found["manifest.json"])
    asked = next(event for event in store.events(WAVE) if event.event == "awaiting_approval")
    assert manifest == {
        "format": 1,
        "batch_id": WAVE,
        "wave": "1",
        "as_of": "2024-10-01",
        "posts": len(MIGRATING),
        "rows_sha256": asked.details["rows_hash"],
        "approved_by": "Eva Öberg",
        "released_at": LATER.isoformat(),
        "software": __version__,
        "post_system": "urn:waitlist:post",
        "files": {
            name: {
                "sha256": hashlib.sha256(found[name]).hexdigest(),
                "bytes": len(found[name]),
                "posts": len(MIGRATING),
            }
            for name in FILES
        },
        "references_missing": {"plats": 0, "besokstyp": 0},
        "audit": of_wave(store).told(),
    }
    appointments = [fhir.appointment(line) for line in found["appointments.ndjson"].splitlines()]
    millennium = [json.loads(line) for line in found["millennium.ndjson"].splitlines()]
    table = found["bokningsbegaran.csv"].decode("utf-8-sig").splitlines()[1:]
    assert [int(told["identifier"][0]["value"]) for told in appointments] == MIGRATING
    assert [told["post_id"] for told in millennium] == MIGRATING
    assert [int(line.split(",")[0]) for line in table] == MIGRATING
    assert [("meta" in told) for told in appointments] == [post % 5 == 0 for post in MIGRATING]
    assert handed.manifest_sha256 == hashlib.sha256(found["manifest.json"]).hexdigest()


def test_written_again_it_has_the_same_bytes_under_any_version_and_at_any_time(
    store: StagingStore, tmp_path: Path
) -> None:
    hand_off(store, tmp_path)
    before, told = written(tmp_path), kept(store)
    with mock.patch("waitlist.__version__", "9.9.9"), mock.patch("waitlist.release.decisions.__version__", "9.9.9"):
        hand_off(store, tmp_path, now=LATER + dt.timedelta(days=90))
    assert (written(tmp_path), kept(store)) == (before, told)


def test_a_batch_that_an_earlier_release_has_handed_off_keeps_its_manifest(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    batches.execute(
        of_sqlite,
        schema.hand_off.insert().values(
            batch_id=WAVE, manifest_sha256="0" * 64, at=LATER, posts=1, files={}, references_missing=0
        ),
    )
    hand_off(of_sqlite, tmp_path)
    assert "audit" not in json.loads(written(tmp_path)["manifest.json"])


def test_each_patient_is_in_the_access_log_once_for_the_same_bytes(store: StagingStore, tmp_path: Path) -> None:
    with mock.patch("waitlist.staging.database._READ_ROWS", 5):
        hand_off(store, tmp_path)
    once = logged(store)
    persons = {row["post_id"]: row["person_id"] for row in batches.rows(store, schema.bokningsbegaran)}
    assert [(row["post_id"], row["person_id"]) for row in once] == [(post, persons[post]) for post in MIGRATING]
    assert {(row["user_id"], row["action"], row["batch_id"], row["at"]) for row in once} == {
        ("pipeline (Eva Öberg)", "hand_off", WAVE, LATER)
    }
    assert all(row["enhet_hsa_id"] for row in once)
    hand_off(store, tmp_path, now=LATER + dt.timedelta(days=1))
    assert logged(store) == once
    hand_off(store, tmp_path, Content("urn:other", REFERENCES))
    assert len(logged(store)) == 2 * len(once)


def test_no_file_gets_its_name_before_its_patients_are_in_the_access_log(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    with (
        mock.patch.object(writing, "record_hand_off", side_effect=StagingError("the log")),
        pytest.raises(StagingError, match="the log"),
    ):
        hand_off(of_sqlite, tmp_path)
    with (
        mock.patch.object(writing, "record_hand_off", return_value=len(MIGRATING) - 1),
        pytest.raises(ReconciliationError, match="entries about them"),
    ):
        hand_off(of_sqlite, tmp_path)
    assert written(tmp_path) == {}
    with (
        mock.patch.object(files, "_rename", side_effect=OSError(5, "killed")),
        pytest.raises(HandOffError, match="killed"),
    ):
        hand_off(of_sqlite, tmp_path)
    assert len(logged(of_sqlite)) == len(MIGRATING)
    hand_off(of_sqlite, tmp_path)
    assert len(logged(of_sqlite)) == len(MIGRATING)


def test_only_the_owner_can_read_it(of_sqlite: StagingStore, tmp_path: Path) -> None:
    hand_off(of_sqlite, tmp_path)
    folder = tmp_path / "out" / WAVE
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes == {WAVE: 0o700, **dict.fromkeys([*FILES, "manifest.json"], 0o600)}


def test_a_missing_reference_leaves_millenniums_file_out_and_removes_an_older_one(
    store: StagingStore, tmp_path: Path
) -> None:
    hand_off(store, tmp_path)
    missing = missing_references(store, WAVE, {("plats", "Vårdcentralen Demo")})
    assert missing == [("besokstyp", "SDV Pv Ssk Återbesök (diabetes)")]
    after = LATER + dt.timedelta(hours=1)
    handed = hand_off(store, tmp_path, Content("urn:waitlist:post", {}, missing), after)
    found = written(tmp_path)
    assert found.keys() == FILES - {"millennium.ndjson"} | {"manifest.json"}
    assert json.loads(found["manifest.json"])["references_missing"] == {"plats": 0, "besokstyp": 1}
    assert handed.references_missing == 1
    with store.database.connected() as connection:
        assert handoffs.read_latest(connection, WAVE) == handed


CHANGES: dict[str, Callable[[sa.Table, sa.Table], sa.Update]] = {
    "do not match their row_hash": lambda request, _: request.update().values(beskrivning="Orsak: annan"),
    "rows of disposition": lambda _, place: place.update().values(enhet_hsa_id="SE2120009999-OTHER"),
}


@pytest.mark.parametrize("said", CHANGES)
def test_what_was_not_approved_is_not_handed_off(store: StagingStore, tmp_path: Path, said: str) -> None:
    hand_off(store, tmp_path)
    before, told = written(tmp_path), kept(store)
    change = CHANGES[said](schema.bokningsbegaran, schema.disposition)
    batches.execute(store, change.where(sa.column("post_id") == MIGRATING[2]))
    with pytest.raises(ReconciliationError, match=said) as refused:
        hand_off(store, tmp_path)
    assert "Testsson" not in str(refused.value)
    assert (written(tmp_path), kept(store)) == (before, told)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (schema.bokningsbegaran.update().values(beskrivning="Orsak: annan"), "do not match their row_hash: 1"),
        (schema.bokningsbegaran.delete(), "approved were"),
        (schema.disposition.update().values(enhet_hsa_id=None), "posts without a unit: 1"),
        (schema.disposition.delete(), "posts without a unit: 1"),
    ],
)
def test_rows_that_change_after_the_proof_are_noticed_while_they_are_written(
    of_sqlite: StagingStore, tmp_path: Path, change: Any, said: str
) -> None:
    def prove_and_change(store: StagingStore, batch_id: str) -> int:
        posts = release.verify_released(store, batch_id)
        batches.execute(store, change.where(sa.column("post_id") == MIGRATING[2]))
        return posts

    with (
        mock.patch.object(writing, "verify_released", prove_and_change),
        pytest.raises(ReconciliationError, match=f"was not handed off:\n  .*{said}"),
    ):
        hand_off(of_sqlite, tmp_path)
    assert written(tmp_path) == {}
    assert kept(of_sqlite) == []


def test_a_withdrawal_during_the_writing_leaves_no_manifest(of_sqlite: StagingStore, tmp_path: Path) -> None:
    stream = writing._stream

    def withdrawn_meanwhile(*args: Any) -> Any:
        found = stream(*args)
        release.withdraw(of_sqlite, WAVE, "Eva Öberg", REASON, LATER)
        return found

    with mock.patch.object(writing, "_stream", withdrawn_meanwhile), pytest.raises(RefusedError, match="is withdrawn"):
        hand_off(of_sqlite, tmp_path)
    assert written(tmp_path) == {}


def test_the_manifest_goes_before_the_first_file_that_does_not_fit_it(of_sqlite: StagingStore, tmp_path: Path) -> None:
    hand_off(of_sqlite, tmp_path)
    seen: list[set[str]] = []

    def killed(*args: Any) -> None:
        seen.append({path.name for path in (tmp_path / "out" / WAVE).iterdir() if not path.name.endswith(".aside")})
        raise OSError(5, "killed")

    with mock.patch.object(files, "_rename", killed), pytest.raises(HandOffError, match="killed"):
        hand_off(of_sqlite, tmp_path, Content("urn:other", REFERENCES))
    assert seen[0] == FILES
    assert written(tmp_path).keys() == FILES


def test_a_batch_that_is_not_released_is_refused(store: StagingStore, tmp_path: Path) -> None:
    release.withdraw(store, WAVE, "Eva Öberg", REASON, LATER)
    with pytest.raises(RefusedError, match="is withdrawn"):
        hand_off(store, tmp_path)
    assert not (tmp_path / "out").exists()


def as_link(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "out").mkdir()
    (folder / "out" / WAVE).symlink_to(folder / "elsewhere")


def as_file(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / WAVE).write_text("x")


def as_folder(folder: Path) -> None:
    (folder / "out" / WAVE / "bokningsbegaran.csv").mkdir(parents=True)


@pytest.mark.parametrize("prepared", [as_link, as_file, as_folder])
def test_a_folder_that_is_something_else_is_refused(
    of_sqlite: StagingStore, tmp_path: Path, prepared: Callable[[Path], None]
) -> None:
    prepared(tmp_path)
    with pytest.raises(HandOffError, match="could not be written"):
        hand_off(of_sqlite, tmp_path)
    assert not any(path.name == "manifest.json" for path in tmp_path.rglob("*"))
    assert not any((tmp_path / "elsewhere").glob("*"))
    assert kept(of_sqlite) == []


@pytest.mark.parametrize("name", ["../vecka-1", "vecka-1/..", "", "/etc"])
def test_no_batch_id_is_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(WaitlistError, match="is no batch id"):
        writing.remove(UPath(tmp_path), name)


def test_it_is_removed_with_the_batchs_rows_and_on_withdrawal(of_sqlite: StagingStore, tmp_path: Path) -> None:
    writing.remove(UPath(tmp_path / "out"), WAVE)
    hand_off(of_sqlite, tmp_path)
    writing.remove(UPath(tmp_path / "out"), WAVE)
    assert not (tmp_path / "out" / WAVE).exists()
    hand_off(of_sqlite, tmp_path)
    places = retention.Places(UPath(tmp_path / "snapshots"), None, UPath(tmp_path / "out"))
    held = retention.remove(of_sqlite, of_sqlite.batch(WAVE), places, reason="old", now=LATER)
    assert held is not None
    assert held.files["hand_off_files"] == 4
    assert not (tmp_path / "out" / WAVE).exists()


def test_rows_are_streamed(of_sqlite: StagingStore, tmp_path: Path) -> None:
    sizes: list[int] = []

    def counted(content: Content) -> Any:
        def lines(rows: Sequence[Any]) -> bytes:
            sizes.append(len(rows))
            return b""

        return writing.Handed("counted.txt", lines)

    with mock.patch.object(writing, "PROFILES", (counted,)), mock.patch("waitlist.staging.database._READ_ROWS", 5):
        hand_off(of_sqlite, tmp_path)
    assert max(sizes) <= 5
    assert sum(sizes) == len(MIGRATING)


# The steps


def pipeline(store: StagingStore, folder: Path, **settings: Any) -> Pipeline:
    hand_offs = None if settings.pop("off", False) else UPath(folder / "out")
    shutil.copytree(paths.MAPPINGS, folder / "mappings", dirs_exist_ok=True)
    chosen = Settings(mappings_dir=folder / "mappings", rules=RuleSettings(**settings))
    url = store.engine.url.render_as_string(hide_password=False)
    return Pipeline(chosen, snapshots=UPath(folder), pmo=str, staging=lambda: url, hand_offs=hand_offs)


def opened_with(store: StagingStore, steps: Pipeline) -> Run:
    """Return the run of the released batch, as if it had been opened with the facts as they are."""
    batches.execute(store, schema.batch.update().values(facts=dict(steps.facts.digests)))
    return steps.opened(WAVE)


def test_without_a_place_nothing_is_handed_off_or_taken_back(of_sqlite: StagingStore, tmp_path: Path) -> None:
    steps = pipeline(of_sqlite, tmp_path, off=True)
    assert steps.hand_off(opened_with(of_sqlite, steps), now=LATER) is None
    assert steps.take_back_hand_off(WAVE) is None
    assert kept(of_sqlite) == []


def test_the_step_writes_by_the_references_that_the_batch_was_opened_with(
    of_sqlite: StagingStore, tmp_path: Path
) -> None:
    pipeline(of_sqlite, tmp_path)
    refs = tmp_path / "mappings" / "millennium_refs.csv"
    rows = [f'{kind},"{name}",{text},Ledningen,' for (kind, name), text in REFERENCES.items()]
    refs.write_text("\n".join(["art,namn,referens,owner,note", *rows]), encoding="utf-8")
    run = opened_with(of_sqlite, pipeline(of_sqlite, tmp_path))
    told = pipeline(of_sqlite, tmp_path).hand_off(run, now=LATER)
    assert told == {"posts": len(MIGRATING), "files": sorted(FILES), "references_missing": 0}
    before = written(tmp_path)
    refs.write_text(refs.read_text(encoding="utf-8").replace("4711", "4712"), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"changed since: millennium_refs\.csv; its hand-off would have other"):
        pipeline(of_sqlite, tmp_path).hand_off(run, now=LATER)
    assert written(tmp_path) == before


def test_the_step_refuses_another_post_system_and_takes_another_gate(of_sqlite: StagingStore, tmp_path: Path) -> None:
    run = opened_with(of_sqlite, pipeline(of_sqlite, tmp_path))
    with pytest.raises(SettingsError, match="changed since: WAITLIST_POST_SYSTEM; its hand-off"):
        pipeline(of_sqlite, tmp_path, post_system="urn:oid:1.2.3").hand_off(run, now=LATER)
    gates = tmp_path / "mappings" / "gates.csv"
    steps = pipeline(of_sqlite, tmp_path)
    gates.write_text(gates.read_text(encoding="utf-8").replace("0.05", "0.06"), encoding="utf-8")
    assert steps.facts.of_hand_off_differing(of_sqlite.batch(WAVE).facts or {}) == []
    assert steps.hand_off(run, now=LATER) is not None


def test_only_a_withdrawn_batch_is_taken_back(of_sqlite: StagingStore, tmp_path: Path) -> None:
    steps = pipeline(of_sqlite, tmp_path)
    steps.hand_off(opened_with(of_sqlite, steps), now=LATER)
    with pytest.raises(RefusedError, match="is released: its hand-off stays"):
        steps.take_back_hand_off(WAVE)
    release.withdraw(of_sqlite, WAVE, "Eva Öberg", REASON, LATER)
    assert steps.take_back_hand_off(WAVE) == {"taken_back": True}
    assert steps.take_back_hand_off(WAVE) == {"taken_back": True}
    assert not (tmp_path / "out" / WAVE).exists()


# The pages


def test_the_page_says_what_was_handed_off(of_sqlite: StagingStore, tmp_path: Path) -> None:
    assert batch_page.read_batch(of_sqlite, WAVE, suites=()).handed is None
    handed = hand_off(of_sqlite, tmp_path)
    assert batch_page.read_batch(of_sqlite, WAVE, suites=(), hands_off=True).handed == handed


def test_a_gate_that_is_off_is_shown_as_off(of_sqlite: StagingStore) -> None:
    mappings = posts.context(units=()).mappings
    body = approval.summary(of_sqlite, WAVE, mappings, None)
    assert "Av, utan gräns i `gates.csv`: Platser och besökstyper utan referens" not in body
    table = schema.gate_result
    batches.execute(of_sqlite, table.delete().where(table.c.gate == "target_refs_missing"))
    assert "Av, utan gräns i `gates.csv`: Platser och besökstyper utan referens" in approval.summary(
        of_sqlite, WAVE, mappings, None
    )
