"""A small PMO made by hand, a few posts in SQLite or PostgreSQL, read through its real ODBC driver."""

import datetime as dt
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.postgres import PostgresServer
from waitlist import paths
from waitlist.settings import Settings
from waitlist.source.pmo.connection import OdbcSource
from waitlist.source.pmo.query import SourceQuery

AS_OF = dt.date(2024, 10, 1)
UNITS = {1: ("SE0000000000-TEST1", "Vårdcentralen Ådalen"), 2: ("SE0000000000-TEST2", "Barnavårdscentralen Ön")}

_TABLES: Mapping[str, Sequence[str]] = {
    "enhet": ("enhet_id {key}", "hsa_id {text}", "namn {text}"),
    "patient": ("patient_id {key}", "personnummer {text}", "namn {text}", "sekretess {flag}"),
    "vantelistepost": (
        "post_id {key}", "patient_id {integer}", "enhet_id {integer}", "kategori {text}", "kontaktform {text}",
        "vantar_pa_besok {flag}", "nybesok {flag}", "boka_from {booking}", "boka_fore {booking}", "orsak {text}",
        "planerade_atgarder {text}", "anvandare {text}", "tidsatgang_min {number}", "filial {text}",
        "registrerad {moment}", "andrad {moment}", "avslutad {moment}",
    ),
    "bilaga": ("bilaga_id {key}", "post_id {integer}", "filnamn {text}"),
}  # fmt: skip

SQLITE_TYPES = {
    "key": "INTEGER PRIMARY KEY", "integer": "INTEGER", "text": "TEXT", "flag": "INTEGER", "booking": "TEXT",
    "number": "INTEGER", "moment": "TEXT",
}  # fmt: skip
POSTGRES_TYPES = {
    "key": "bigint PRIMARY KEY", "integer": "bigint", "text": "text", "flag": "smallint", "booking": "text",
    "number": "integer", "moment": "timestamp",
}  # fmt: skip


def official_number(birth: dt.date = dt.date(1985, 4, 17), serial: int = 238) -> str:
    """Return a number of the Tax Agency's test list: serials 238 and 239, births 1976 to 2013."""
    nine = f"{birth:%y%m%d}{serial}"
    doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(nine))
    check = -sum(product // 10 + product % 10 for product in doubled) % 10
    return f"{birth:%Y%m%d}-{serial}{check}"


def post(post_id: int | str, **changes: Any) -> dict[str, Any]:
    """Return an ordinary post, one patient of its own; keys are the tables' columns, ``bilagor`` a count."""
    return {
        "post_id": post_id,
        "patient_id": post_id,
        "personnummer": official_number(),
        "namn": "Tolvan Tolvansson",
        "sekretess": 0,
        "enhet_id": 1,
        "kategori": "SDV Pv Ssk Återbesök (diabetes)",
        "kontaktform": "besok",
        "vantar_pa_besok": 1,
        "nybesok": 0,
        "boka_from": "2025-03-01",
        "boka_fore": "2025-03-31",
        "orsak": "Uppföljning",
        "planerade_atgarder": None,
        "anvandare": "Ssk Åsa",
        "tidsatgang_min": 30,
        "filial": None,
        "registrerad": "2024-09-01 08:30:00",
        "andrad": None,
        "avslutad": None,
        "bilagor": 0,
        **changes,
    }


def posts(ids: Iterable[int], **changes: Any) -> list[dict[str, Any]]:
    """Return ordinary posts with these ids."""
    return [post(post_id, **changes) for post_id in ids]


@dataclass(frozen=True)
class SmallPmo:
    """A PMO and the ODBC connection string that leads to it."""

    odbc: str
    native: str

    def connect(self) -> Any:
        """Open the database without ODBC, to change it behind the reader's back."""
        if self.native.startswith("postgresql:"):
            return psycopg.connect(self.native)
        return sqlite3.connect(self.native)

    def run(self, *statements: str | tuple[str, Iterable[Sequence[Any]]]) -> None:
        """Execute SQL, or SQL with ``?`` markers once a row, and commit."""
        with closing(self.connect()) as database:
            cursor = database.cursor()
            for statement in statements:
                sql, rows = (statement, [()]) if isinstance(statement, str) else statement
                marked = sql.replace("?", "%s") if self.native.startswith("postgresql:") else sql
                cursor.executemany(marked, list(rows))
            database.commit()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add posts with their patients and attachments."""
        self.run(*_inserts(list(rows)))

    def build(self, types: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Create the tables and fill them."""
        self.run(
            *(f"CREATE TABLE {table} ({', '.join(columns).format(**types)})" for table, columns in _TABLES.items()),
            "CREATE INDEX bilaga_post ON bilaga (post_id)",
            ("INSERT INTO enhet VALUES (?, ?, ?)", [(number, *unit) for number, unit in UNITS.items()]),
            *_inserts(list(rows)),
        )


def _inserts(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    for table in ("patient", "vantelistepost"):
        columns = [column.split()[0] for column in _TABLES[table]]
        yield (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            [tuple(row[column] for column in columns) for row in rows],
        )
    files = [(row["post_id"], f"{number}.pdf") for row in rows for number in range(row["bilagor"])]
    yield (
        "INSERT INTO bilaga (bilaga_id, post_id, filnamn) VALUES (?, ?, ?)",
        [(number, *file) for number, file in enumerate(files)],
    )


def sqlite_pmo(folder: Path, rows: Iterable[Mapping[str, Any]], **types: str) -> SmallPmo:
    """Build a PMO in a SQLite file; ``types`` replaces column types (``flag``, ``booking``, ...)."""
    file = folder / "pmo.db"
    pmo = SmallPmo(f"Driver={{SQLite3}};Database={file}", str(file))
    pmo.build({**SQLITE_TYPES, **types}, rows)
    return pmo


def postgres_pmo(server: PostgresServer, rows: Iterable[Mapping[str, Any]], **types: str) -> SmallPmo:
    """Build a PMO in a database of its own; ``types`` as in ``sqlite_pmo``."""
    database = server.create_database()
    pmo = SmallPmo(server.odbc(database), server.libpq(database))
    pmo.build({**POSTGRES_TYPES, **types}, rows)
    return pmo


def source_settings(folder: Path, query: str | None = None, **values: Any) -> Settings:
    """Return settings for reading; ``query`` replaces the shipped query file."""
    if query is None:
        return Settings(**values)
    file = folder / "sql" / "pmo" / "select_waitlist.sql"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(query, encoding="utf-8")
    return Settings(sql_dir=folder / "sql", **values)


def read_by_row(pmo: SmallPmo) -> str:
    """Return why this machine's driver always reads row by row; empty if it does not."""
    source = OdbcSource(pmo.odbc, SourceQuery.load(paths.SQL))
    with source.rows() as connection:
        return source.dialect(connection).by_row


def shipped_query() -> str:
    """Return the text of the query file that a deployment gets."""
    return (paths.SQL / "pmo" / "select_waitlist.sql").read_text(encoding="utf-8")
