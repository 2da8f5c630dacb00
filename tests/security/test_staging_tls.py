"""A staging database over a network without TLS: always with a warning, and refused where the setting says so."""

import datetime as dt
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.silence import silent_proxy

from waitlist.exceptions import RefusedError
from waitlist.settings import ConnectionSettings, Tls
from waitlist.staging import StagingStore, encryption
from waitlist.staging.encryption import with_tls

REQUIRE = ConnectionSettings(staging_tls=Tls.REQUIRE)


@pytest.fixture(scope="module")
def address() -> str:
    """An address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        return str(asking.getsockname()[0])


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    encryption._warn_once.cache_clear()
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.fixture(scope="module")
def with_certificate() -> Iterator[PostgresServer]:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "staging")])
    now = dt.datetime.now(dt.UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1)
    ).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory(prefix="waitlist-tls-") as folder:
        files = {"ssl_cert_file": Path(folder) / "cert.pem", "ssl_key_file": Path(folder) / "key.pem"}
        files["ssl_cert_file"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files["ssl_key_file"].write_bytes(private)
        files["ssl_key_file"].chmod(0o600)
        if os.geteuid() == 0:
            for path in (Path(folder), *files.values()):
                shutil.chown(path, "postgres")
        with running_postgres(ssl="on", **{name: str(file) for name, file in files.items()}) as server:
            yield server


def store_at(server: PostgresServer, address: str, port: int, connections: ConnectionSettings) -> StagingStore:
    url = replace(server, port=port).libpq("postgres").replace("127.0.0.1", address)
    return StagingStore(url, connections=connections)


def is_encrypted(store: StagingStore) -> list[bool]:
    """Return whether each of the two ways to the database is encrypted."""
    asked = sa.text("SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
    with store.database.connected() as connection:
        small = connection.scalar(asked)
    with store.database.adbc() as connection, connection.cursor() as cursor:
        cursor.execute(str(asked))
        return [bool(small), bool(cursor.fetchone()[0])]


def test_without_tls_a_warning_says_so_once(
    postgres: PostgresServer, address: str, log: pytest.LogCaptureFixture
) -> None:
    with silent_proxy(postgres.port, address) as network:
        store = store_at(postgres, address, network.port, ConnectionSettings())
        assert is_encrypted(store) == [False, False]
        store.knows("x")
    (said,) = [record.getMessage() for record in log.records if "without TLS" in record.getMessage()]
    assert address in said
    assert postgres.password not in said


def test_where_tls_is_required_nothing_is_sent_without_it(postgres: PostgresServer, address: str) -> None:
    with silent_proxy(postgres.port, address) as network:
        store = store_at(postgres, address, network.port, REQUIRE)
        for way in (store.database.connected, store.database.adbc):
            with pytest.raises(RefusedError, match="does not support SSL") as refused, way():
                pass
            assert postgres.password not in str(refused.value)


@pytest.mark.parametrize("connections", [ConnectionSettings(), REQUIRE])
def test_a_server_that_offers_tls_is_used_with_tls(
    with_certificate: PostgresServer, address: str, log: pytest.LogCaptureFixture, connections: ConnectionSettings
) -> None:
    with silent_proxy(with_certificate.port, address) as network:
        assert is_encrypted(store_at(with_certificate, address, network.port, connections)) == [True, True]
    assert "without TLS" not in log.text


def test_a_connection_on_this_machine_needs_no_tls(
    postgres: PostgresServer, log: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert is_encrypted(StagingStore(postgres.libpq("postgres"), connections=REQUIRE)) == [False, False]
    StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}", connections=REQUIRE).migrate()
    assert "without TLS" not in log.text


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgresql://db.example.invalid/x", "require"),
        ("postgresql://db.example.invalid/x?sslmode=disable", "require"),
        ("postgresql://db.example.invalid/x?sslmode=verify-full", "verify-full"),
        ("postgresql:///x?host=db.example.invalid", "require"),
        ("postgresql://localhost/x?hostaddr=192.0.2.7", "require"),
        ("postgresql:///x?host=localhost&host=db.example.invalid", "require"),
        ("postgresql://localhost/x", None),
        ("postgresql://[::1]/x", None),
        ("postgresql:///x?host=/var/run/postgresql", None),
    ],
)
def test_no_url_switches_off_the_requirement_of_tls_over_a_network(url: str, asked: str | None) -> None:
    assert with_tls(sa.make_url(url), Tls.REQUIRE).query.get("sslmode") == asked


@pytest.mark.parametrize("asked", ["no", "optional", "yes", "strict"])
def test_sql_server_is_asked_for_encryption(asked: str) -> None:
    url = sa.make_url(f"mssql+pyodbc://u@db.example.invalid/x?Encrypt={asked}")
    assert with_tls(url, Tls.REQUIRE).query["Encrypt"] == {"strict": "strict"}.get(asked, "yes")
