"""A real PostgreSQL server for the tests, which the tests start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

_AS_FILES: Final = "STRATEGY FILE_COPY"
"""How databases are copied: page by page through the log takes a third of a second of processor time."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server on the loopback interface; user ``postgres`` with a password."""

    port: int
    password: str

    def create_database(self, encoding: str = "UTF8") -> str:
        """Create an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.libpq("postgres"), autocommit=True) as connection:
            # Only the locale C, which has no rules for letters, works with every encoding.
            locale = "" if encoding == "UTF8" else "LOCALE 'C'"
            made = f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' {locale} TEMPLATE template0 {_AS_FILES}"
            connection.execute(made)
        return name

    def copy_database(self, database: str, name: str | None = None) -> str:
        """Copy a database to which nobody is connected, in place of one with the given name, and return the name."""
        name = name or f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.libpq("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{database}" {_AS_FILES}')
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


def dump(database: str, file: Path) -> None:
    """Write all of a database, given by its URI, to a file."""
    subprocess.run([_binaries() / "pg_dump", "--no-owner", "--file", file, database], check=True)


def load(file: Path, database: str) -> None:
    """Fill an empty database, given by its URI, from a file that ``dump`` has written."""
    command = [_binaries() / "psql", "--no-psqlrc", "--quiet", "--output", os.devnull, "--set", "ON_ERROR_STOP=1"]
    subprocess.run([*command, "--single-transaction", "--file", file, database], check=True)


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The first wait is ended by the signal, the second by the server's end; then the folder goes, which nobody waits for.
_SERVE: Final = 'trap "kill -QUIT \\$!" TERM; "$@" & wait $!; wait $!; rm -rf "$0" &'


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    if initdb is None:
        raise RuntimeError("PostgreSQL's server is not installed: run `make setup`")
    return Path(initdb).parent


@contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """Start a server in a folder of its own and stop it at the end; as root, as user ``postgres``.

    Args:
        settings: of the server, as in ``postgresql.conf``.
    """
    binaries = _binaries()
    # If the tests themselves are killed, nothing else ends it.
    become = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() == 0:
        become += ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    home = Path(tempfile.mkdtemp(prefix="waitlist-postgres-"))
    password = uuid.uuid4().hex
    port = free_port()
    secret = home / "password"
    secret.write_text(password, encoding="utf-8")
    if become:
        shutil.chown(home, "postgres")
        shutil.chown(secret, "postgres")
    data = home / "data"
    initdb = (
        # Not scram-sha-256, which takes a client longer than all else that it does to connect.
        binaries / "initdb", "-D", data, "-U", "postgres", "-A", "md5", "-E", "UTF8",
        "--locale=C.UTF-8", f"--pwfile={secret}", "--no-sync",
    )  # fmt: skip
    subprocess.run([*become, *initdb], check=True, cwd=home, stdout=subprocess.DEVNULL)
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **settings}
    serve = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home]
    serve += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*become, "sh", "-c", _SERVE, home, *serve],
            cwd="/",
            stdout=log,
            stderr=log,
            # Ctrl-C is meant for the tests, which still need the server to end well.
            start_new_session=True,
        )
    try:
        _wait_for(server, port, password, home / "log")
        yield PostgresServer(port, password)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            # Its session holds every process of the server: none is left behind when the test says so.
            os.killpg(server.pid, signal.SIGKILL)
            raise


def _wait_for(server: subprocess.Popen[bytes], port: int, password: str, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(PostgresServer(port, password).libpq("postgres")).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not answer:\n{log.read_text()}") from None
            time.sleep(0.05)
        else:
            return
