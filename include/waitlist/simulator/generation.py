"""Generates the database, its mapping files and the truth: all of them or nothing."""

import csv
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from waitlist import paths
from waitlist.simulator import truth
from waitlist.simulator.orders import Order, SimulatorError
from waitlist.simulator.person_service.people import write_people
from waitlist.simulator.postgres import PostgresWriter, check_postgres, writing_postgres
from waitlist.simulator.posts import SyntheticPmo
from waitlist.simulator.sqlite import SqliteWriter, check_sqlite, writing_sqlite
from waitlist.simulator.units import write_units

MAPPINGS: Final = "mappings"
TRUTH: Final = "truth.parquet"
RELEASED: Final = "released_posts.csv"
PEOPLE: Final = "people.parquet"
_FILES: Final = (MAPPINGS, TRUTH, RELEASED, PEOPLE)
_COPIED: Final = ("sdv_lists.csv", "base_categories.csv", "reserve_numbers.csv", "test_persons.csv", "contacts.csv")
_EMPTIED: Final = "rule_severities.csv"
"""Copied without its rows: the truth assumes the built-in severities."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The counts of what was generated."""

    posts: int
    extracted: int
    """Posts in an extract at the as-of date; the truth has a row for each of them."""
    units: int
    released: int
    dispositions: Mapping[str, int]
    out: Path


def generate(
    order: Order,
    out: Path,
    *,
    sqlite: Path | None = None,
    postgres: str | None = None,
    mappings: Path = paths.MAPPINGS,
    replace: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Generation:
    """Generate a synthetic PMO in SQLite, PostgreSQL or both, and write the truth beside it.

    Args:
        order: size, seed and as-of date.
        out: folder that gets ``mappings/``, ``truth.parquet``, ``released_posts.csv`` and ``people.parquet``.
        sqlite: the database file to write.
        postgres: URL of the database to write.
        mappings: the project's mapping files; ``units.csv`` is made, not copied.
        replace: whether to replace earlier output.
        progress: called after each chunk with the number of posts done.

    Raises:
        SimulatorError: a target has rows already, cannot be reached, or there are too few test persons. No target
            has changed then.
    """
    check_targets(out, sqlite=sqlite, postgres=postgres, replace=replace)
    pmo = SyntheticPmo(order, mappings)
    out.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    released: list[int] = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as folder:
        aside = Path(folder)
        _write_mappings(pmo, mappings, aside / MAPPINGS)
        with ExitStack() as databases:
            writers: list[SqliteWriter | PostgresWriter] = []
            if sqlite is not None:
                writers.append(databases.enter_context(writing_sqlite(sqlite)))
            if postgres is not None:
                writers.append(databases.enter_context(writing_postgres(postgres)))
            with pq.ParquetWriter(aside / TRUTH, truth.SCHEMA.with_metadata(_described(order))) as truths:
                for writer in writers:
                    writer.add("enhet", pmo.unit_table())
                    writer.add("patient", pmo.patient_table())
                done = 0
                for chunk in pmo.chunks():
                    for writer in writers:
                        writer.add("patient", chunk.patients)
                        writer.add("vantelistepost", chunk.posts)
                        writer.add("bilaga", chunk.attachments)
                    truths.write_table(chunk.truth)
                    counts.update(chunk.truth.column("disposition").to_pylist())
                    released += chunk.released.to_pylist()
                    done += chunk.posts.num_rows
                    progress(done)
        _write_released(released, aside / RELEASED)
        write_people(pmo.register.records(), aside / PEOPLE)
        _put_in_place(aside, out)
    return Generation(
        posts=order.posts,
        extracted=counts.total(),
        units=len(pmo.units),
        released=len(released),
        dispositions=dict(sorted(counts.items())),
        out=out,
    )


def check_targets(out: Path, *, sqlite: Path | None, postgres: str | None, replace: bool) -> None:
    """Refuse to overwrite earlier output unless this was requested.

    Raises:
        SimulatorError: with every target that has earlier output.
    """
    faults = []
    if sqlite is None and postgres is None:
        faults.append("no database was named: a SQLite file, a PostgreSQL URL or both")
    existing = sorted(name for name in _FILES if (out / name).exists())
    if existing and not replace:
        faults.append(f"{out} has {', '.join(existing)}: pass --replace to replace them")
    checks: list[Callable[[], None]] = []
    if sqlite is not None:
        checks.append(lambda: check_sqlite(sqlite, replace=replace))
    if postgres is not None:
        checks.append(lambda: check_postgres(postgres, replace=replace))
    for check in checks:
        try:
            check()
        except SimulatorError as fault:
            faults.append(str(fault))
    if faults:
        raise SimulatorError("; ".join(faults))


def _described(order: Order) -> dict[str, str]:
    return {"posts": str(order.posts), "seed": str(order.seed), "as_of": order.as_of.isoformat()}


def _write_mappings(pmo: SyntheticPmo, mappings: Path, folder: Path) -> None:
    folder.mkdir()
    for name in _COPIED:
        shutil.copyfile(mappings / name, folder / name)
    header = (mappings / _EMPTIED).read_text(encoding="utf-8").splitlines()[0]
    (folder / _EMPTIED).write_text(header + "\n", encoding="utf-8")
    write_units(pmo.units, folder / "units.csv")


def _write_released(posts: list[int], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("post_id",))
        rows.writerows((post,) for post in posts)


def _put_in_place(aside: Path, out: Path) -> None:
    if (out / MAPPINGS).exists():
        (out / MAPPINGS).rename(aside / "old")
    for name in _FILES:
        (aside / name).replace(out / name)
