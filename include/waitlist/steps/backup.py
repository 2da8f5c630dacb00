"""Backs up and restores what cannot be made again: the staging database, and the files of its batches.

A backup is a folder with the database's own dump, the files that the table ``batch_file`` lists, and a manifest with
the size and checksum of each of them, written last. Database and list are read in one state, and a file is copied only
if it is the one in the list, so that a backup is never half of one night and half of the next. It holds personal data
and nothing to decrypt: keep it as the database itself is kept.

A restore goes into an empty database alone. It checks the whole backup first, copies the files, then fills the
database in one transaction: a restore that is killed leaves an empty database, and is begun again.
"""

import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from upath import UPath

from waitlist.exceptions import RefusedError, SettingsError, SnapshotError, StagingError, reason_of
from waitlist.files import CheckedFile, make_folder, open_checked, writing_aside
from waitlist.staging import StagingStore, schema
from waitlist.staging.database import Database, refusals_named
from waitlist.staging.migrate import Standing, standing

MANIFEST: Final = "manifest.json"

_FORMAT: Final = 1
_DUMPS: Final = {"postgresql": "staging.dump", "sqlite": "staging.sqlite"}
_SNAPSHOTS: Final = "snapshots"
_COPY_BYTES: Final = 2**20
_FEW: Final = 20

Tell = Callable[[str], None]
"""Takes a line about the progress; it has batch ids and counts alone."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a backup."""

    path: str
    """Relative to the backup's folder, with slashes."""
    size: int
    """In bytes."""
    sha256: str
    """Lower-case hex."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup contains."""

    made_at: str
    """ISO, with offset."""
    dialect: str
    revision: str
    """Of the staging schema."""
    rows: Mapping[str, int]
    """By table."""
    files: tuple[File, ...]


def back_up(store: StagingStore, snapshots: UPath, folder: Path, *, made_at: dt.datetime, tell: Tell) -> Manifest:
    """Write a backup.

    Args:
        store: the staging database.
        snapshots: the folder of the batches' folders.
        folder: the backup's folder, which must not exist; it appears when it is whole.
        made_at: the moment, for the manifest.
        tell: receives a line for each part.

    Raises:
        RefusedError: the folder exists.
        SettingsError: the database has no way to be dumped here.
        SnapshotError: files that the database lists are missing or are others; all of them are named.
        StagingError: the database cannot be read.
    """
    database = store.database
    dump = _dump_of(database)
    if folder.exists():
        raise RefusedError(f"{folder} exists: a backup gets a new folder")
    if standing(database) is not Standing.CURRENT:
        raise RefusedError("the staging schema is not that of this release: run `make migrate` first")
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    with _folder_named(aside):
        aside.mkdir(mode=0o700, parents=True)
        try:
            tell(f"the database, to {dump}")
            rows, revision, listed = _dumped(database, aside / dump)
            files = [_measured(aside, dump), *_copied(listed, snapshots, aside, tell)]
            manifest = Manifest(made_at.isoformat(), database.dialect, revision, rows, tuple(files))
            with writing_aside(UPath(aside / MANIFEST)) as sink:
                sink.write(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1, sort_keys=True).encode())
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return manifest


def restore(store: StagingStore, snapshots: UPath, folder: Path, *, tell: Tell) -> Manifest:
    """Fill an empty database and the batches' folders from a backup.

    Args:
        store: the staging database, without tables.
        snapshots: the folder of the batches' folders; files that it already has must be those of the backup.
        folder: the backup's folder.
        tell: receives a line for each part.

    Raises:
        RefusedError: the database has tables, or is of another kind than the one that was backed up.
        SettingsError: the database has no way to be filled here.
        SnapshotError: the backup is not whole; every fault is named.
        StagingError: the database refused; it is as empty as before.
    """
    database = store.database
    manifest = read_manifest(folder)
    if manifest.dialect != database.dialect:
        raise RefusedError(f"the backup is of {manifest.dialect}, and the staging database is {database.dialect}")
    dump = folder / _dump_of(database)
    if standing(database) is not Standing.NONE:
        raise RefusedError("the staging database has tables already: a backup is restored into an empty database")
    tell(f"checking {len(manifest.files)} files")
    targets = _targets(snapshots, manifest.files)
    kept = [(UPath(folder / file.path), file) for file in manifest.files]
    faults = [*_faults(kept, may_be_missing=False), *_faults(targets, may_be_missing=True)]
    if faults:
        raise SnapshotError(f"nothing was restored: {_summary(faults)}")
    for target, file in targets:
        tell(file.path)
        with (
            _folder_named(folder),
            open_checked(UPath(folder / file.path), size=file.size, sha256=file.sha256) as whole,
        ):
            make_folder(target.parent)
            _copy(whole, target)
    tell(f"the database, from {dump.name}")
    _filled(database, dump)
    with refusals_named("counting what was restored"), database.connected() as connection:
        rows = _counted(connection, database.schema)
    if rows != dict(manifest.rows):
        raise StagingError(
            f"the restored database is not what was backed up: {_summary(_differing(rows, manifest.rows))}"
        )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup contains.

    Raises:
        SnapshotError: there is no manifest, or it is not one of this release.
    """
    try:
        with open_checked(UPath(folder / MANIFEST), size=None, sha256=None) as file:
            found = json.loads(file.read())
        if found.pop("format") != _FORMAT:
            raise SnapshotError(f"{folder / MANIFEST}: another release's format")
        files = tuple(File(**file) for file in found.pop("files"))
        manifest = Manifest(files=files, **found)
    except OSError as error:
        raise SnapshotError(f"{folder / MANIFEST}: {reason_of(error)}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SnapshotError(f"{folder / MANIFEST}: it is no manifest of a backup") from None
    strange = [file.path for file in files if not _is_inside(file.path)]
    if strange:
        raise SnapshotError(f"{folder / MANIFEST}: paths that no backup has: {_summary(strange)}")
    return manifest


def _dump_of(database: Database) -> str:
    try:
        return _DUMPS[database.dialect]
    except KeyError:
        raise SettingsError(f"{database.dialect} is backed up with its own tools: see docs/operations.md") from None


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    if len(parts) == 1:
        return path in _DUMPS.values()
    return len(parts) == 3 and parts[0] == _SNAPSHOTS and not {"", ".", ".."} & set(parts) and "\0" not in path


def _dumped(database: Database, to: Path) -> tuple[dict[str, int], str, list[tuple[str, str, int, str]]]:
    """Dump the database; return its row counts, its revision and its list of files, all of the same state."""
    with refusals_named("backing up"), database.connected() as connection:
        if database.dialect == "sqlite":
            with closing(sqlite3.connect(to)) as target:
                to.chmod(0o600)
                connection.connection.driver_connection.backup(target)  # type: ignore[union-attr]
            with Database(f"sqlite:///{to}").connected() as copy:
                return _counted(copy, None), _revision(copy, None), _listed(copy)
        connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            # A large database takes longer to dump than a transaction may otherwise be idle.
            connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            state = connection.execute(sa.text("SELECT pg_export_snapshot()")).scalar_one()
            command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={state}"]
            _run(database, [*command, f"--schema={database.schema}", f"--file={to}"], "backing up")
            to.chmod(0o600)
            return _counted(connection, database.schema), _revision(connection, database.schema), _listed(connection)


def _filled(database: Database, dump: Path) -> None:
    if database.dialect == "sqlite":
        with (
            refusals_named("restoring"),
            closing(sqlite3.connect(f"{dump.resolve().as_uri()}?mode=ro", uri=True)) as source,
            database.connected() as connection,
        ):
            # One transaction of the target: a reader sees the empty database or the whole one.
            source.backup(connection.connection.driver_connection)  # type: ignore[arg-type]
        return
    command = ["pg_restore", "--no-owner", "--no-privileges", "--clean", "--if-exists", "--exit-on-error"]
    _run(
        database, [*command, "--single-transaction", f"--dbname={database.engine.url.database}", str(dump)], "restoring"
    )


def _run(database: Database, command: Sequence[str], doing: str) -> None:
    if shutil.which(command[0]) is None:
        raise SettingsError(f"{command[0]} is not installed: install PostgreSQL's client (postgresql-client)")
    url = database.engine.url
    given: dict[str, object] = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
    }
    given |= {name: value for name, value in url.normalized_query.items() if name.startswith("ssl") or name == "host"}
    libpq = {f"PG{name.upper()}": ",".join(v) if isinstance(v, tuple) else str(v) for name, v in given.items() if v}
    # Its messages may quote rows: only the exit code is reported. No shell, and no word of it comes from outside.
    ended = subprocess.run(command, env={**os.environ, **libpq}, capture_output=True, check=False)  # noqa: S603
    if ended.returncode:
        raise StagingError(f"{doing}: {command[0]} ended with {ended.returncode}; {_reason(ended.stderr)}")


def _reason(stderr: bytes) -> str:
    """Return what kind of error it was, without the text, which may quote values."""
    text = stderr.decode("utf-8", "replace")
    for sign, reason in (
        ("server version mismatch", "it is older than the server: install the client of the server's version"),
        ("permission denied", "the account may not read or write all tables: use the owner's"),
        ("could not connect", "the server cannot be reached"),
        ("connection to server", "the server cannot be reached"),
        ("No space left", "no space is left"),
    ):
        if sign in text:
            return reason
    return "run it by hand to see why"


def _counted(connection: sa.Connection, schema_name: str | None) -> dict[str, int]:
    names = sorted(set(sa.inspect(connection).get_table_names(schema=schema_name)))
    tables = {name: sa.table(name, schema=schema_name) for name in names}
    return {
        name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for name, table in tables.items()
    }


def _revision(connection: sa.Connection, schema_name: str | None) -> str:
    version = sa.table(schema.VERSION_TABLE, sa.column("version_num"), schema=schema_name)
    return str(connection.execute(sa.select(version.c.version_num)).scalar_one())


def _listed(connection: sa.Connection) -> list[tuple[str, str, int, str]]:
    columns = schema.batch_file.c
    query = sa.select(columns.batch_id, columns.name, columns.size, columns.sha256).order_by(
        columns.batch_id, columns.name
    )
    return [(row.batch_id, row.name, row.size, row.sha256) for row in connection.execute(query)]


def _copied(listed: Iterable[tuple[str, str, int, str]], snapshots: UPath, to: Path, tell: Tell) -> Iterator[File]:
    faults, told = [], ""
    for batch_id, name, size, sha256 in listed:
        if batch_id != told:
            told = batch_id
            tell(batch_id)
        path = f"{_SNAPSHOTS}/{batch_id}/{name}"
        try:
            with open_checked(snapshots / batch_id / name, size=size, sha256=sha256) as file:
                for place in (to / _SNAPSHOTS, to / _SNAPSHOTS / batch_id):
                    make_folder(UPath(place))
                _copy(file, UPath(to / path))
        except OSError as error:
            faults.append(f"{batch_id}/{name}: {reason_of(error)}")
        else:
            yield File(path, size, sha256)
    if faults:
        raise SnapshotError(
            f"no backup was made, since files are not as the database lists them: {_summary(faults)}. "
            "A run or the retention may have been at work: try again when none is"
        )


def _copy(file: CheckedFile, target: UPath) -> None:
    with writing_aside(target) as sink:
        while content := file.read(_COPY_BYTES):
            sink.write(content)


def _measured(folder: Path, name: str) -> File:
    with open_checked(UPath(folder / name), size=None, sha256=None) as file:
        return File(name, file.size, file.sha256)


def _targets(snapshots: UPath, files: Iterable[File]) -> list[tuple[UPath, File]]:
    """Return where the files of batches belong; the database's dump is not among them."""
    parts = ((file.path.split("/"), file) for file in files)
    return [(snapshots.joinpath(*path[1:]), file) for path, file in parts if len(path) > 1]


def _faults(places: Iterable[tuple[UPath, File]], *, may_be_missing: bool) -> Iterator[str]:
    for place, file in places:
        try:
            open_checked(place, size=file.size, sha256=file.sha256).close()
        except OSError as error:
            if not (may_be_missing and isinstance(error, FileNotFoundError)):
                yield f"{place}: {reason_of(error)}"


def _differing(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    names = sorted({*found, *wanted})
    return [f"{n}: {found.get(n, 0)} rows, not {wanted.get(n, 0)}" for n in names if found.get(n) != wanted.get(n)]


def _summary(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _FEW} more" if len(faults) > _FEW else ""
    return "; ".join(faults[:_FEW]) + more


@contextmanager
def _folder_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SnapshotError(f"{folder}: {reason_of(error)}") from None
