"""A queue and an object store that every worker reaches by URL: Redis and SeaweedFS, which end with the tests."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3fs import S3FileSystem

from tests.support.postgres import free_port

_PATIENCE_SECONDS = 60
_REGION = "us-east-1"


@contextmanager
def running_redis() -> Iterator[str]:
    """Start a Redis that keeps nothing on disk; yields its URL."""
    port, password = free_port(), secrets.token_hex()
    settings = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\n'
    with (
        tempfile.TemporaryDirectory(prefix="waitlist-redis-") as folder,
        # Settings are sent by standard input, since everybody can see arguments.
        _serving("redis-server", ["-"], Path(folder), settings) as server,
    ):
        _wait_for(server, lambda: socket.create_connection(("127.0.0.1", port)).close())
        yield f"redis://:{password}@127.0.0.1:{port}/0"


@dataclass(frozen=True)
class ObjectStore:
    """A running S3 server with one bucket."""

    endpoint: str
    key: str
    secret: str = field(repr=False)
    bucket: str = "snapshots"

    @property
    def options(self) -> dict[str, Any]:
        """The options for fsspec."""
        return {
            "key": self.key, "secret": self.secret, "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": _REGION},
        }  # fmt: skip

    @property
    def connection(self) -> str:
        """The connection for Airflow's environment."""
        extra = {"endpoint_url": self.endpoint, "region_name": _REGION}
        return json.dumps({"conn_type": "aws", "login": self.key, "password": self.secret, "extra": extra})


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Start SeaweedFS with its S3 gateway on the loopback interface, and make the bucket."""
    names = ("master", "volume", "filer", "s3")
    ports = {f"-{name}.port{kind}": str(free_port()) for name in names for kind in ("", ".grpc")}
    store = ObjectStore(f"http://127.0.0.1:{ports['-s3.port']}", secrets.token_hex(8), secrets.token_hex())
    identity = {
        "name": "waitlist",
        "credentials": [{"accessKey": store.key, "secretKey": store.secret}],
        "actions": ["Admin"],
    }
    with tempfile.TemporaryDirectory(prefix="waitlist-objects-") as home:
        folder = Path(home)
        known = folder / "s3.json"
        known.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        arguments = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={known}"]
        arguments += [f"{option}={port}" for option, port in ports.items()]
        arguments += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=0", "-volume.preStopSeconds=0"]
        arguments += ["-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
        try:
            with _serving("weed", ["-logtostderr", "server", *arguments], folder) as server:
                _wait_for(server, lambda: _make_bucket(store))
                yield store
        finally:
            # It always creates its sockets here, and leaves them.
            for port in ports.values():
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink()


def _make_bucket(store: ObjectStore) -> None:
    S3FileSystem(**store.options, skip_instance_cache=True).mkdir(store.bucket)


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[str]
    log: Path


@contextmanager
def _serving(program: str, arguments: Sequence[str], folder: Path, told: str = "") -> Iterator[_Server]:
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise RuntimeError(f"{program} is not installed: run `make setup`, or `make scale-out` for redis-server")
    log = folder / "log"
    with log.open("wb") as kept:
        process = subprocess.Popen(
            # If the tests themselves are killed, nothing else ends it.
            ["setpriv", "--pdeathsig", "KILL", found, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=kept,
            stderr=subprocess.STDOUT,
            text=True,
            # Ctrl-C is meant for the tests, which still need the server to end well.
            start_new_session=True,
        )
    try:
        process.stdin.write(told)
        process.stdin.close()
        yield _Server(process, log)
    finally:
        process.kill()  # nothing of it is kept
        process.wait()


def _wait_for(server: _Server, ask: Callable[[], None]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            ask()
        except Exception:  # noqa: BLE001 - a client has many errors for a server that is not ready
            if server.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the server does not answer:\n{server.log.read_text()[-4000:]}") from None
            time.sleep(0.2)
        else:
            return
