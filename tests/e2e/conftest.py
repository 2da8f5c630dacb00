"""One Airflow as in production, over a synthetic PMO and an empty staging database, for all tests of a file."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.support.airflow_home import odbc_sqlite, sqlite_connection
from tests.support.mail import MailServer, serving, text_of
from tests.support.postgres import PostgresServer
from tests.support.running_airflow import DAG, RunningAirflow, running_airflow

from waitlist import demo
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, TRUTH, Order, generate
from waitlist.source.pmo import PmoSource
from waitlist.staging import Batch, StagingStore
from waitlist.steps.run import Request

POSTS = 600
AS_OF = dt.date(2024, 10, 1)
HAND_OFFS, RECEIPTS = "hand-offs", "receipts"
"""The folders of what goes to the receiver and of what comes from it."""


@dataclass(frozen=True)
class Site:
    """Airflow, and the systems on both sides of it."""

    airflow: RunningAirflow
    folder: Path
    pmo: Path
    staging: Path
    store: StagingStore
    mail: MailServer

    def batch_id(self, run_id: str) -> str:
        return Request(DAG, run_id, "dry_run", AS_OF).batch_id

    def batch(self, run_id: str) -> Batch:
        return self.store.batch(self.batch_id(run_id))

    def ask(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Query the staging database, as a reader would."""
        with closing(sqlite3.connect(self.staging)) as connection:
            return connection.execute(sql, values).fetchall()

    def ask_pmo(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.pmo)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def mails(self, subject: str) -> list[str]:
        """Return the leads' mails with a subject; no mail may name a patient."""
        found = [text_of(message) for message in self.mail.messages if message["Subject"] == subject]
        persons = self.ask_pmo("SELECT personnummer, namn FROM patient WHERE personnummer <> '' AND namn <> ''")
        assert not [text for text in found for number, name in persons if str(number) in text or str(name) in text]
        return found

    @property
    def truth(self) -> dict[int, str]:
        """The disposition that each post must get."""
        rows = pq.read_table(self.folder / TRUTH, columns=["post_id", "disposition"]).to_pylist()
        return {row["post_id"]: row["disposition"] for row in rows}

    def dispositions(self, run_id: str) -> dict[object, object]:
        query = "SELECT post_id, disposition FROM disposition WHERE batch_id = ?"
        return dict(self.ask(query, self.batch_id(run_id)))


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("e2e")
    pmo, staging = folder / "pmo.sqlite", folder / "staging.sqlite"
    generate(Order(getattr(request.module, "POSTS", POSTS), seed=3, as_of=AS_OF), folder, sqlite=pmo)
    store = StagingStore(f"sqlite:///{staging}")
    store.migrate()
    demo.release_pilot(PmoSource(f"Driver={{SQLite3}};Database={pmo}", Settings()), store, folder)
    given = {
        "AIRFLOW_CONN_PMO": odbc_sqlite(pmo),
        "AIRFLOW_CONN_MILLENNIUM_STAGING": sqlite_connection(staging),
        "WAITLIST_MAPPINGS_DIR": str(folder / MAPPINGS),
        "WAITLIST_PARTITION_POSTS": "200",
        "WAITLIST_APPROVERS": "lead",
        "WAITLIST_PERSON_READERS": "lead",
        "WAITLIST_LEADS": "lead,viewer,other",
        "WAITLIST_LOG_READERS": "lead",
        "WAITLIST_HANDOFF_URL": f"file://{folder}/{HAND_OFFS}",
        "WAITLIST_RECEIPTS_URL": f"file://{folder}/{RECEIPTS}",
    }
    database = postgres.libpq(postgres.create_database())
    with serving(MailServer()) as mail:
        given["AIRFLOW_CONN_WAITLIST_MESSAGES"] = mail.connection()
        runs_tasks = getattr(request.module, "RUNS_TASKS", True)
        with running_airflow(folder / "airflow", database, given, runs_tasks=runs_tasks) as airflow:
            yield Site(airflow, folder, pmo, staging, store, mail)
    store.engine.dispose()
