"""A real Airflow in a folder of its own, driven by its command line as a data engineer would."""

import functools
import json
import os
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import postgres
from tests.support.shared import made_once

ROOT = Path(__file__).resolve().parents[2]
_KEPT = (
    "PATH", "HOME", "LANG", "TMPDIR", "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
)  # fmt: skip
_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_PATIENCE_SECONDS = 600


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
            _DATABASE: f"sqlite:///{self.folder / 'airflow.db'}",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GX_ANALYTICS_ENABLED": "false",
            "WAITLIST_SNAPSHOT_URL": f"file://{self.folder / 'snapshots'}",
            "WAITLIST_DATA_DOCS_DIR": str(self.folder / "data_docs"),
            **self.given,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        # Making Airflow's tables takes far longer than copying them.
        database = self.given.get(_DATABASE)
        if database is None:
            shutil.copyfile(made_once("airflow.db", _migrated_sqlite)[0], self.folder / "airflow.db")
        elif database.startswith("postgresql:"):
            kept, is_migrated = made_once("airflow.sql", self._migrated_postgres)
            if not is_migrated:
                postgres.load(kept, database)
        else:
            self.cli("db", "migrate")

    def _migrated_postgres(self, kept: Path) -> None:
        self.cli("db", "migrate")
        postgres.dump(self.given[_DATABASE], kept)

    def cli(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command; its output is kept in the result and in ``cli.log``."""
        done = subprocess.run(
            ["airflow", *command], env=self.env, cwd=ROOT, text=True, capture_output=True, check=False,
            timeout=_PATIENCE_SECONDS,
        )  # fmt: skip
        return self._kept(done, check=check)

    def test(self, dag: str, *logical_date: str, check: bool = True, **params: Any) -> subprocess.CompletedProcess[str]:
        """Run a DAG synchronously by ``airflow dags test``, in the one process of this home for such commands."""
        arguments = ["dags", "test", dag, *logical_date, "--conf", json.dumps(params)]
        output, errors = self.folder / "test.out", self.folder / "test.err"
        asked = {"arguments": arguments, "environment": self.env, "output": str(output), "errors": str(errors)}
        process = self._commands
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout.fileno()], [], [], _PATIENCE_SECONDS)[0]:
            process.kill()
        code = process.stdout.readline()
        said = (file.read_text(encoding="utf-8") if file.exists() else "" for file in (output, errors))
        done = subprocess.CompletedProcess(["airflow", *arguments], int(code or -1), *said)
        return self._kept(done, check=check)

    @functools.cached_property
    def _commands(self) -> subprocess.Popen[str]:
        # If the tests themselves are killed, nothing else ends it in the middle of a command.
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.support.airflow_commands"]
        env = {**self.env, "PYTHONPATH": f"{self.env['PYTHONPATH']}:{ROOT}"}
        process = subprocess.Popen(command, env=env, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        weakref.finalize(self, _end, process)
        return process

    def _kept(self, done: subprocess.CompletedProcess[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        command = done.args[1:]
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
        return self.test("waitlist_dry_run", check=check, as_of=as_of, **params)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query Airflow's own database."""
        with sqlite3.connect(self.folder / "airflow.db") as connection:
            return connection.execute(sql).fetchall()


def _migrated_sqlite(kept: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="waitlist-airflow-") as folder:
        file = Path(folder, "airflow.db")
        AirflowHome(Path(folder), {_DATABASE: f"sqlite:///{file}"})
        shutil.copyfile(file, kept)


def _end(process: subprocess.Popen[str]) -> None:
    process.stdin.close()
    process.stdout.close()
    process.wait(_PATIENCE_SECONDS)
