"""A real Airflow in a folder of its own, driven by its command line as a data engineer would."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_KEPT = (
    "PATH", "HOME", "LANG", "TMPDIR", "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
)  # fmt: skip


def odbc_sqlite(file: Path) -> str:
    """Return the connection ``pmo`` over a SQLite file, as Airflow reads it from the environment."""
    return json.dumps({"conn_type": "odbc", "extra": {"driver": "SQLite3", "Database": str(file), "StepAPI": "1"}})


def sqlite_connection(file: Path) -> str:
    """Return the connection ``millennium_staging`` over a SQLite file."""
    return json.dumps({"conn_type": "sqlite", "host": str(file)})


@dataclass
class AirflowHome:
    """An Airflow home with its own database; of the caller's environment only paths and memory settings are used."""

    folder: Path
    given: Mapping[str, str]
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.env = kept | {
            "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
            "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}",
            "PYTHONUTF8": "1",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder / 'airflow.db'}",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GX_ANALYTICS_ENABLED": "false",
            "WAITLIST_SNAPSHOT_URL": f"file://{self.folder / 'snapshots'}",
            "WAITLIST_DATA_DOCS_DIR": str(self.folder / "data_docs"),
            **self.given,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cli("db", "migrate")

    def cli(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command; its output is kept in the result and in ``cli.log``."""
        done = subprocess.run(
            ["airflow", *command], env=self.env, cwd=ROOT, text=True, capture_output=True, check=False, timeout=600
        )
        with (self.folder / "cli.log").open("a", encoding="utf-8") as log:
            log.write(f"$ airflow {' '.join(command)}\n{done.stdout}\n{done.stderr}\n")
        if check and done.returncode:
            said = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise AssertionError(f"airflow {' '.join(command)} ended with {done.returncode}:\n{said}")
        return done

    def python(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run Python with this home's environment."""
        return subprocess.run(
            [sys.executable, *command], env=self.env, cwd=ROOT, text=True, capture_output=True, check=True
        )

    def dry_run(self, *, as_of: str, check: bool = True, **params: Any) -> subprocess.CompletedProcess[str]:
        """Run the dry-run DAG synchronously."""
        return self.cli(
            "dags", "test", "waitlist_dry_run", "--conf", json.dumps({"as_of": as_of, **params}), check=check
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query Airflow's own database."""
        with sqlite3.connect(self.folder / "airflow.db") as connection:
            return connection.execute(sql).fetchall()
