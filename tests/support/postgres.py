"""A real PostgreSQL server for the tests, started by the tests and gone with them."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg


@dataclass(frozen=True)
class PostgresServer:
    """A running server on the loopback interface; user ``postgres`` with a password."""

    port: int
    password: str

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.libpq("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0")
        return name

    def libpq(self, database: str) -> str:
        """Return a URI for psycopg, ADBC and Airflow."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def odbc(self, database: str, *, password: str | None = None, port: int | None = None) -> str:
        """Return a connection string for psqlODBC's Unicode driver."""
        return (
            f"Driver={{PostgreSQL Unicode}};Server=127.0.0.1;Port={port or self.port};Database={database};"
            f"Uid=postgres;Pwd={password or self.password};"
            "UseDeclareFetch=1;Fetch=10000;BoolsAsChar=0"
        )


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL's server is not installed: run `make setup`")
    return Path(initdb).parent


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start a server in a folder of its own and stop it at the end; as root, as user ``postgres``."""
    binaries = _binaries()
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    home = Path(tempfile.mkdtemp(prefix="waitlist-postgres-"))
    password = uuid.uuid4().hex
    port = free_port()
    secret = home / "password"
    secret.write_text(password, encoding="utf-8")
    if become:
        shutil.chown(home, "postgres")
        shutil.chown(secret, "postgres")
    data = home / "data"

    def run(*command: str | Path) -> None:
        subprocess.run([*become, *command], check=True, cwd=home, stdout=subprocess.DEVNULL)

    run(
        binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8",
        "--locale=C.UTF-8", f"--pwfile={secret}", "--no-sync",
    )  # fmt: skip
    options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    run(binaries / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
    try:
        yield PostgresServer(port, password)
    finally:
        run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(home)
