"""A synthetic PMO of a size on a database, and an empty staging database of the same kind."""

import datetime as dt
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tests.support.postgres import PostgresServer

AS_OF = dt.date(2024, 10, 1)
DATABASES = ("postgresql", "sqlite")
_SEED = 2
_TEXTS = ("orsak", "planerade_atgarder", "anvandare")
_LONGEST = 4_000
_LOG_FILES = 400
"""Each of 16 MB; together more than a few runs of a million posts write."""


@dataclass(frozen=True)
class Site:
    """The databases on which the work is measured."""

    database: str
    posts: int
    folder: Path
    pmo: str
    """ODBC connection string."""
    staging: str
    """SQLAlchemy URL."""

    @property
    def mappings(self) -> Path:
        return self.folder / "mappings"


def build(database: str, posts: int, folder: Path, server: PostgresServer) -> Site:
    """Make the PMO in a process of its own, so that it uses no memory or processor time of the measured process."""
    command = [sys.executable, "-m", "waitlist.simulator", "--posts", str(posts), "--seed", str(_SEED)]
    command += ["--as-of", AS_OF.isoformat(), "--out", str(folder)]
    # The synthetic PMO has two texts that arrow-odbc cannot read; the unit is arrow-odbc alone, so they are cut.
    cut = [f"UPDATE vantelistepost SET {text} = substr({text}, 1, 1000) WHERE length({text}) > 2000" for text in _TEXTS]
    if database == "sqlite":
        file = folder / "pmo.sqlite"
        subprocess.run([*command, "--sqlite", str(file)], check=True, stdout=subprocess.DEVNULL)
        with closing(sqlite3.connect(file)) as connection, connection:
            for statement in cut:
                connection.execute(statement)
        return Site(database, posts, folder, f"Driver={{SQLite3}};Database={file}", "")
    name = server.create_database()
    address = f"postgresql://postgres@127.0.0.1:{server.port}/{name}"
    known = os.environ | {"PGPASSWORD": server.password}
    subprocess.run([*command, "--postgres", address], check=True, stdout=subprocess.DEVNULL, env=known)
    with psycopg.connect(server.libpq(name), autocommit=True) as connection:
        # A server that has run for a day writes its log into existing files.
        log_files = ["SELECT pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()"] * _LOG_FILES
        for statement in (*cut, "VACUUM ANALYZE", *log_files, "CHECKPOINT"):
            connection.execute(statement)
    return Site(database, posts, folder, server.odbc(name), "")


def with_staging(site: Site, server: PostgresServer, number: int) -> Site:
    """Give the site an unused staging database."""
    if site.database == "sqlite":
        staging = f"sqlite:///{site.folder / f'staging-{number}.sqlite'}"
    else:
        staging = server.libpq(server.create_database())
    return Site(site.database, site.posts, site.folder, site.pmo, staging)
