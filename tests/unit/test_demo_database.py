"""Airflow's database of the demo, to which Airflow's parts and a command beside them write at once."""

import subprocess
import threading
from pathlib import Path

import sqlalchemy as sa

from waitlist import paths


def test_a_command_beside_the_demo_waits_for_the_database_and_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "airflow").mkdir()
    told = f"source scripts/env.sh; demo_site '{tmp_path}'; printf %s \"$AIRFLOW__DATABASE__SQL_ALCHEMY_CONN\""
    root = paths.MAPPINGS.parents[1]
    url = subprocess.run(["bash", "-c", told], cwd=root, text=True, capture_output=True, check=True).stdout
    engine, other = sa.create_engine(url), sa.create_engine(url)
    with engine.begin() as connection:
        # As Airflow keeps it.
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("CREATE TABLE dag_run (run_id TEXT)")
    with engine.connect() as connection:
        seconds = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() / 1_000
    assert seconds >= 60

    with engine.begin() as scheduler:
        scheduler.exec_driver_sql("INSERT INTO dag_run VALUES ('of the scheduler')")
        command = threading.Thread(target=lambda: backfill(other))
        command.start()
        command.join(0.3)
        assert command.is_alive()
    command.join(10)
    assert not command.is_alive()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM dag_run").scalar_one() == 2


def backfill(engine: sa.Engine) -> None:
    """Read and write, as Airflow's command does."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM dag_run").all()
        connection.exec_driver_sql("INSERT INTO dag_run VALUES ('of the backfill')")
