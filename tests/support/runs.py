"""A whole dry run by the pipeline's own steps, without Airflow."""

import datetime as dt
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from upath import UPath

from waitlist import paths
from waitlist.quality import Looks
from waitlist.settings import Settings
from waitlist.source.batch_files import BatchFiles
from waitlist.source.snapshot import SnapshotPart
from waitlist.staging.signing import Signer
from waitlist.steps import looked_at
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run

AS_OF = dt.date(2024, 10, 1)
NOW = dt.datetime(2024, 10, 1, 4, 0, tzinfo=dt.UTC)


def request(run_id: str = "run", *, as_of: dt.date = AS_OF, **asked: Any) -> Request:
    """Return the request for a dry run."""
    return Request("waitlist_dry_run", run_id, "dry_run", as_of, **asked)


def pipeline(
    folder: Path | UPath, *, pmo: str, staging: str, mappings: Path, signer: Signer | None = None, **settings: object
) -> Pipeline:
    """Return a pipeline with its snapshots in a folder."""
    chosen = Settings(mappings_dir=mappings, **settings)
    snapshots = UPath(folder / "snapshots")
    return Pipeline(chosen, snapshots=snapshots, pmo=lambda: pmo, staging=lambda: staging, signer=signer)


def planned(folder: Path, units: Mapping[str, str]) -> Path:
    """Return a folder of mapping files in which units, HSA-id and wave, go live in five weeks."""
    shutil.copytree(paths.MAPPINGS, folder / "mappings")
    with (folder / "mappings" / "units.csv").open("a", encoding="utf-8") as file:
        for hsa_id, wave in units.items():
            file.write(f"{hsa_id},Enligt plan,Pv,{AS_OF + dt.timedelta(35)},{wave},,,,,,\n")
    return folder / "mappings"


def assessed(steps: Pipeline, asked: Request) -> tuple[Run, list[int]]:
    """Take the steps up to the assessment; they are fast, since they run no expectation suites."""
    run = steps.open_batch(asked, now=NOW)
    numbers = steps.plan_extract(run)
    for number in numbers:
        steps.extract(run, number)
    steps.find_duplicates(run)
    for number in numbers:
        steps.check_persons(run, number, now=NOW)
        steps.assess(run, number, now=NOW)
    return run, numbers


def parts(steps: Pipeline, folder: Path, run: Run) -> list[SnapshotPart]:
    """Return the parts of a run's snapshot, of a pipeline over a folder."""
    files = BatchFiles(steps.store, UPath(folder / "snapshots"), run.batch_id)
    return files.parts(files.plan())


def verified(steps: Pipeline, folder: Path, run: Run) -> None:
    """Reconcile and verify a run that is assessed, of a pipeline over a folder; its suites say nothing."""
    files, staged = BatchFiles(steps.store, UPath(folder / "snapshots"), run.batch_id), steps.store.staged_ranges
    read = parts(steps, folder, run)
    seen = {
        Looks.SNAPSHOT: looked_at.of_parts(read, run.rules_version),
        Looks.ANSWERS: looked_at.of_answers(files, read, run.rules_version),
        Looks.STAGED: looked_at.of_staged(staged(run.batch_id), run.rules_version),
    }
    for suite in steps.facts.suites.values():
        files.keep_results(suite.name, seen[suite.looks], [])
    steps.reconcile(run, now=NOW)
    steps.verify(run, now=NOW)


def dry_run(steps: Pipeline, asked: Request, *, now: dt.datetime = NOW) -> str:
    """Take every step in its order and return the batch's id."""
    run = steps.take_night(asked, now=now)
    steps.report(run, lambda _: None)
    steps.watch_gates(run, lambda _: None)
    return run.batch_id


def never_asked(posts: object) -> NoReturn:
    """Replace the search for posts at other units: a run over every unit has read all posts and must not search."""
    raise AssertionError(f"a run over every unit searched for {posts}")
