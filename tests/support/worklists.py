"""Verified batches of hand-made posts, with their snapshots, and workbooks read back."""

import csv
import datetime as dt
import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
from openpyxl.worksheet.worksheet import Worksheet
from upath import UPath

from tests.support import batches, posts
from tests.support.postgres import PostgresServer
from waitlist.judge import duplicates
from waitlist.judge.assess import Assessment, assess
from waitlist.judge.posts import RuleContext
from waitlist.reports.readiness import LATEST, read_readiness
from waitlist.reports.worklist import OutFolder, Written, find_snapshot, unit_keys, write_work_lists
from waitlist.reports.worklist.workbook import OWN_LISTS
from waitlist.source.batch_files import BatchFiles, Plan
from waitlist.source.pmo import Selection
from waitlist.source.snapshot import Partition, write_part
from waitlist.staging import StagingStore
from waitlist.staging.reconcile import PartitionEvidence, reconcile

BATCH = "natt-1"
AS_OF = posts.AS_OF
_PARTITION = 5
_CHUNK = 2


@dataclass(frozen=True)
class Site:
    """A staging database and the snapshots beside it."""

    store: StagingStore
    snapshots: Path
    context: RuleContext

    def stage(
        self, *given: Mapping[str, Any], batch_id: str = BATCH, released: tuple[int, ...] = (), **told: Any
    ) -> None:
        """Write a snapshot of posts, a few in each partition and chunk, and bring its batch to verified.

        Each post is of another person unless a number is given.
        """
        table = posts.table(*({"personnummer": person(number), **post} for number, post in enumerate(given)))
        doubles = duplicates.find([table], self.context)
        batches.open_batch(self.store, batch_id, as_of=self.context.as_of, **told)
        ids = table["post_id"].to_pylist()
        starts = range(0, len(ids), _PARTITION)
        bounds = [None, *(ids[start] for start in starts[1:]), None]
        evidence = []
        partitions = [
            Partition(number, bounds[number], bounds[number + 1], min(_PARTITION, len(ids) - start))
            for number, start in enumerate(starts)
        ]
        files = BatchFiles(self.store, UPath(self.snapshots), batch_id)
        plan = Plan(Selection(self.context.as_of), tuple(partitions))
        files.write_plan(plan)
        for number, start in enumerate(starts):
            tables = [
                table.slice(at, min(_CHUNK, start + _PARTITION - at)) for at in range(start, start + _PARTITION, _CHUNK)
            ]
            partition = partitions[number]
            part = write_part(files.folder, partition, tables)
            files.keep_part(part, plan)

            def assessed(tables: list[pa.Table] = tables) -> Iterator[Assessment]:
                for table in tables:
                    yield assess(
                        table, self.context, duplicates=doubles, released=pa.array(released, pa.int64()).to_numpy()
                    )

            self.store.stage_partition(batch_id, partition.lower, partition.upper, assessed(), part_sha256=part.sha256)
            evidence.append(PartitionEvidence(partition.lower, partition.upper, partition.posts))
        self.store.mark_staged(batch_id, batches.NOW)
        reconcile(self.store, batch_id, source_posts=len(ids), evidence=evidence, now=batches.NOW)
        self.store.mark_verified(batch_id, batches.NOW)

    def write(
        self, out: Path, *, batch_id: str = LATEST, units: tuple[str, ...] = (), replace: bool = False, **asked: Any
    ) -> Written:
        """Write the work lists of a batch."""
        readiness = read_readiness(self.store, batch_id, self.context.mappings)
        snapshot = find_snapshot(self.store, readiness.batch, UPath(self.snapshots))
        only = unit_keys(readiness, self.context.mappings, units)
        folder = OutFolder(out, units=only, replace=replace)
        asked = {"recording": unrecorded, **asked}
        return write_work_lists(self.store, readiness, snapshot, self.context.mappings, folder, only=only, **asked)


def unrecorded(_unit: str, _patients: Mapping[int, str | None]) -> None:
    """Take the patients of a work list, and write no entry in the access log."""


def site(folder: Path, context: RuleContext | None = None, *, url: str | None = None) -> Site:
    """Return an empty site in a folder; its staging database is at ``url``, in a file of the folder unless given."""
    if url is None:
        batches.migrated_file(folder / "staging.sqlite")
        return replace(open_site(folder), context=context or posts.context())
    store = StagingStore(url)
    store.migrate()
    return Site(store, folder / "snapshots", context or posts.context())


def open_site(folder: Path) -> Site:
    """Return a site that was made in a folder."""
    return Site(StagingStore(f"sqlite:///{folder / 'staging.sqlite'}"), folder / "snapshots", posts.context())


def copy_of(site: Site, folder: Path, server: PostgresServer | None) -> Site:
    """Return a copy of a site in another folder, which a test may change: staging it again would take longer.

    Args:
        site: its staging database is in its folder, or the whole of a database on a server.
        folder: the copy's, empty.
        server: the server; None for a database in the folder.
    """
    if site.snapshots.exists():
        shutil.copytree(site.snapshots, folder / "snapshots")
    site.store.engine.dispose()
    if server is None:
        shutil.copy(site.snapshots.parent / "staging.sqlite", folder)
        store = StagingStore(f"sqlite:///{folder / 'staging.sqlite'}")
    else:
        store = StagingStore(server.libpq(server.copy_database(site.store.engine.url.database or "")))
    return Site(store, folder / "snapshots", site.context)


def person(number: int) -> str:
    """Return the personnummer of a post by its position in its batch."""
    return posts.PERSON if not number else posts.official(dt.date(1981, 1, 1) + dt.timedelta(days=number))


Workbook = openpyxl.Workbook
Row = dict[str, Any]


def file_of(out: Path, unit: str = posts.UNIT, suffix: str = "xlsx") -> Path:
    """Return where a unit's work list is; a unit of ``units.csv`` has its name in the file's."""
    end = f"{unit}-{AS_OF.isoformat()}.{suffix}"
    return next(out.glob(f"arbetslista-*--{end}"), out / f"arbetslista-{end}")


def book_of(out: Path, unit: str = posts.UNIT) -> Workbook:
    """Open a unit's workbook."""
    return openpyxl.load_workbook(file_of(out, unit))


def rows_of(page: Worksheet) -> list[Row]:
    """Return the rows of a sheet of posts by column name."""
    header, *rows = page.iter_rows(min_row=3, values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def sheets_of(book: Workbook) -> dict[str, list[Row]]:
    """Return the rows of every sheet of posts by its title."""
    return {page.title: rows_of(page) for page in book.worksheets[1:] if page.title != OWN_LISTS}


def post_ids_of(book: Workbook) -> dict[str, list[int]]:
    """Return the post ids on every sheet of posts, in their order."""
    return {title: [row["Post-id"] for row in rows] for title, rows in sheets_of(book).items()}


def facts_of(book: Workbook) -> Row:
    """Return the lines above the counts on the first sheet."""
    lines = book.worksheets[0].iter_rows(min_row=3, max_col=2, values_only=True)
    return dict(iter(lambda: next(lines), (None, None)))


def counts_of(book: Workbook) -> dict[str, int]:
    """Return the counts on the first sheet by their names."""
    lines = list(book.worksheets[0].iter_rows(max_col=2, values_only=True))
    start = next(place for place, line in enumerate(lines) if line[1] == "Poster")
    counts = {}
    for name, posts_of_it in lines[start + 1 :]:
        if not isinstance(posts_of_it, int):
            break
        counts[name] = posts_of_it
    return counts


def csv_of(out: Path, unit: str = posts.UNIT) -> list[Row]:
    """Return a CSV file's rows by column name."""
    text = file_of(out, unit, "csv").read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def day(text: str) -> dt.datetime:
    """Return a day as openpyxl gives a date cell."""
    return dt.datetime.fromisoformat(text)
