"""Connections beyond this machine are encrypted, to servers whose certificate is checked, unless a setting says so.

Against real servers: PostgreSQL, Microsoft's ODBC driver and our responder for it, a mail server, and an object store.
"""

import datetime as dt
import ipaddress
import logging
import os
import shutil
import smtplib
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.sdk import Connection
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi.testclient import TestClient
from tests.support import dashboards, runs, worklists
from tests.support.mail import MailServer, Webhook, serving
from tests.support.pmo import posts
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.servers import ObjectStore
from tests.support.silence import silent_proxy
from tests.support.tds.pmo import connection_string, sqlserver_pmo
from upath import UPath

from waitlist import paths, tls
from waitlist.exceptions import SettingsError, SourceRefusedError, StagingError
from waitlist.reports.notices import Notice
from waitlist.settings import ConnectionSettings, Peer, Settings
from waitlist.source.pmo.connection import OdbcSource, with_options
from waitlist.source.pmo.query import SourceQuery
from waitlist.staging import StagingStore, encryption
from waitlist.staging.encryption import with_tls
from waitlist.tls import checked
from waitlist_airflow import notify

STRICT, HOST = ConnectionSettings(), "db.example.invalid"
PLAIN = ConnectionSettings(without_tls="pmo, staging, store, messages")
DAY = dt.timedelta(days=1)


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
    caplog.set_level(logging.INFO)
    return caplog


def authority_for(folder: Path, *addresses: str) -> dict[str, Path]:
    """Make an authority, and a server's certificate for some addresses and for localhost; return the files in PEM."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    ours, servers = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Region", "staging"))
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(found)) for found in addresses)]
    issued = [
        x509.CertificateBuilder(
            ours, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY,
            [x509.Extension(found.oid, critical, found) for found, critical in extensions],
        ).sign(keys[0], hashes.SHA256())
        for name, key, extensions in (
            (ours, keys[0], [(x509.BasicConstraints(ca=True, path_length=None), True)]),
            (servers, keys[1], [(x509.SubjectAlternativeName(names), False)]),
        )
    ]  # fmt: skip
    files = {name: folder / f"{name}.pem" for name in ("authority", "certificate", "key")}
    pem = serialization.Encoding.PEM
    files["authority"].write_bytes(issued[0].public_bytes(pem))
    files["certificate"].write_bytes(issued[1].public_bytes(pem))
    private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files["key"].write_bytes(private)
    files["key"].chmod(0o600)
    return files


@dataclass(frozen=True)
class Encrypted:
    """A PostgreSQL with a certificate for this machine's address, and the file of the authority that issued it."""

    server: PostgresServer
    authority: Path


@pytest.fixture(scope="module")
def encrypted(address: str) -> Iterator[Encrypted]:
    with tempfile.TemporaryDirectory(prefix="waitlist-tls-") as name:
        folder = Path(name)
        files = authority_for(folder, address)
        if os.geteuid() == 0:
            for path in (folder, files["certificate"], files["key"]):
                shutil.chown(path, "postgres")
        served = {"ssl_cert_file": str(files["certificate"]), "ssl_key_file": str(files["key"])}
        with running_postgres(ssl="on", **served) as server:
            yield Encrypted(server, files["authority"])


@pytest.fixture
def trusting(encrypted: Encrypted, monkeypatch: pytest.MonkeyPatch) -> Encrypted:
    """The server, while this machine trusts its authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.authority))
    return encrypted


def store_at(
    server: PostgresServer, host: str, port: int, connections: ConnectionSettings = STRICT, **options: str
) -> StagingStore:
    url = sa.make_url(replace(server, port=port).libpq("postgres")).set(host=host).update_query_dict(options)
    return StagingStore(url.render_as_string(hide_password=False), connections=connections)


def is_encrypted(store: StagingStore) -> list[bool]:
    """Return whether each of the two ways to the database is encrypted."""
    asked = sa.text("SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
    with store.database.connected() as connection:
        small = connection.scalar(asked)
    with store.database.adbc() as connection, connection.cursor() as cursor:
        cursor.execute(str(asked))
        return [bool(small), bool(cursor.fetchone()[0])]


def refusals(store: StagingStore) -> list[str]:
    said = []
    for way in (store.database.connected, store.database.adbc):
        with pytest.raises(StagingError) as refused, way():
            pass
        said.append(str(refused.value))
    return said


class TestStaging:
    """PostgreSQL, by both drivers."""

    def test_a_server_that_this_machine_trusts_is_reached(self, trusting: Encrypted, address: str) -> None:
        with silent_proxy(trusting.server.port, address) as network:
            assert is_encrypted(store_at(trusting.server, address, network.port)) == [True, True]

    def test_the_connection_may_name_the_authority(self, encrypted: Encrypted, address: str) -> None:
        with silent_proxy(encrypted.server.port, address) as network:
            named = store_at(encrypted.server, address, network.port, sslrootcert=str(encrypted.authority))
            assert is_encrypted(named) == [True, True]

    def test_a_server_of_another_authority_is_refused(self, encrypted: Encrypted, address: str, tmp_path: Path) -> None:
        other = authority_for(tmp_path, address)["authority"]
        with silent_proxy(encrypted.server.port, address) as network:
            for said in refusals(store_at(encrypted.server, address, network.port, sslrootcert=str(other))):
                assert "SSL error" in said
                assert tls.WITHOUT_TLS in said
                assert encrypted.server.password not in said

    def test_a_server_with_another_name_is_refused(self, trusting: Encrypted, address: str) -> None:
        with silent_proxy(trusting.server.port, address) as network:
            named = store_at(trusting.server, HOST, network.port, hostaddr=address)
            assert all("does not match host name" in said for said in refusals(named))

    @pytest.mark.parametrize("asked", ["disable", "prefer", "require", "verify-ca"])
    def test_a_plain_server_is_refused_whatever_the_connection_says(
        self, postgres: PostgresServer, address: str, asked: str
    ) -> None:
        with silent_proxy(postgres.port, address) as network:
            for said in refusals(store_at(postgres, address, network.port, sslmode=asked)):
                assert "does not support SSL" in said
                assert postgres.password not in said

    def test_the_setting_takes_it_back_and_the_log_says_so_once(
        self, postgres: PostgresServer, address: str, log: pytest.LogCaptureFixture
    ) -> None:
        with silent_proxy(postgres.port, address) as network:
            store = store_at(postgres, address, network.port, PLAIN)
            assert is_encrypted(store) == [False, False]
            store.knows("x")
        (said,) = [record.getMessage() for record in log.records if "without TLS" in record.getMessage()]
        assert address in said
        assert postgres.password not in said

    def test_a_connection_on_this_machine_needs_no_tls(
        self, postgres: PostgresServer, log: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        assert is_encrypted(StagingStore(postgres.libpq("postgres"))) == [False, False]
        StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}").migrate()
        assert "without TLS" not in log.text

    @pytest.mark.parametrize(
        ("url", "asked"),
        [
            ("postgresql://db.example.invalid/x", "verify-full"),
            ("postgresql://db.example.invalid/x?sslmode=disable", "verify-full"),
            ("postgresql:///x?host=db.example.invalid", "verify-full"),
            ("postgresql://localhost/x?hostaddr=192.0.2.7", "verify-full"),
            ("postgresql:///x?host=localhost&host=db.example.invalid", "verify-full"),
            ("postgresql://localhost/x", None),
            ("postgresql://[::1]/x", None),
            ("postgresql:///x?host=/var/run/postgresql", None),
        ],
    )
    def test_no_url_switches_it_off_over_a_network(self, url: str, asked: str | None) -> None:
        assert with_tls(sa.make_url(url), may_be_plain=False).query.get("sslmode") == asked

    @pytest.mark.parametrize("asked", ["", "Encrypt=no", "encrypt=optional", "Encrypt=yes&TrustServerCertificate=yes"])
    def test_sql_server_is_asked_for_encryption_and_a_checked_certificate(self, asked: str) -> None:
        url = with_tls(sa.make_url(f"mssql+pyodbc://u@{HOST}/x?{asked}"), may_be_plain=False)
        told = {name.lower(): value for name, value in url.query.items()}
        assert told.get("encrypt", "yes") == "yes"
        assert told.get("trustservercertificate", "no") == "no"
        assert with_tls(sa.make_url(f"mssql+pyodbc://u@{HOST}/x?Encrypt=strict"), may_be_plain=False).query == {
            "Encrypt": "strict"
        }


POSTGRES, MICROSOFT = "Driver={PostgreSQL Unicode}", "Driver={ODBC Driver 18 for SQL Server}"


class TestPmo:
    """Connection strings, and both real drivers."""

    @pytest.mark.parametrize(
        ("given", "asked"),
        [
            (f"{POSTGRES};Server={HOST}", "SSLmode=verify-full"),
            (f"{POSTGRES};Servername={{{HOST}}};sslmode=verify-full", "sslmode=verify-full"),
            (f"{MICROSOFT};Server={HOST},1433", "Encrypt=yes;TrustServerCertificate=no"),
            (f"{MICROSOFT};Server=tcp:{HOST}\\pmo;Encrypt=strict", "TrustServerCertificate=no"),
        ],
    )
    def test_a_connection_string_without_options_asks_for_it(self, given: str, asked: str) -> None:
        assert asked in with_options(given, STRICT)
        assert "SSLmode" not in with_options(given, PLAIN).removeprefix(given)
        assert "Encrypt" not in with_options(given, PLAIN).removeprefix(given)

    @pytest.mark.parametrize(
        "given",
        [
            f"{POSTGRES};Server={HOST};sslmode=disable",
            f"{POSTGRES};Server={HOST};SSLmode=require",
            f"{MICROSOFT};Server={HOST};Encrypt=no",
            f"{MICROSOFT};Server={HOST};encrypt=optional",
            f"{MICROSOFT};Server={HOST};Encrypt=yes;TrustServerCertificate=yes",
            f"{MICROSOFT};Address={HOST};TrustServerCertificate={{Yes}}",
            f"Driver=FreeTDS;Server={HOST}",
            "DSN=pmo",
        ],
    )
    def test_an_option_that_asks_for_less_is_refused_and_the_setting_named(self, given: str) -> None:
        with pytest.raises(SourceRefusedError, match=f"{tls.WITHOUT_TLS}=pmo"):
            OdbcSource(f"{given};Pwd=hemligt", SourceQuery.load(paths.SQL))
        assert with_options(given, PLAIN).startswith(given)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1,1433", "tcp:127.0.0.1,1433", "[::1]", "localhost\\pmo"])
    def test_this_machine_needs_none(self, host: str) -> None:
        given = f"{MICROSOFT};Server={host};Encrypt=no"
        assert with_options(given, STRICT).startswith(given)
        assert "TrustServerCertificate" not in with_options(given, STRICT)

    def test_psqlodbc_checks_the_certificate(
        self,
        trusting: Encrypted,
        postgres: PostgresServer,
        address: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        with silent_proxy(trusting.server.port, address) as network:
            odbc = replace(trusting.server, port=network.port).odbc("postgres").replace("127.0.0.1", address)
            assert asks(odbc, "SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == 1
            monkeypatch.setenv("SSL_CERT_FILE", str(authority_for(tmp_path)["authority"]))
            assert_not_encrypted(odbc)
        with silent_proxy(postgres.port, address) as network:
            assert_not_encrypted(replace(postgres, port=network.port).odbc("postgres").replace("127.0.0.1", address))

    def test_microsofts_driver_refuses_a_plain_server_and_one_that_is_not_trusted(
        self, address: str, tmp_path: Path
    ) -> None:
        files = authority_for(tmp_path, address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files["certificate"], files["key"])
        for served in (None, context):
            with sqlserver_pmo(posts(range(3)), tls=served) as pmo, silent_proxy(pmo.server.port, address) as network:
                server = f"{address},{network.port}"
                given = connection_string(network.port, Server=server).replace(";Encrypt=no", "")
                assert_not_encrypted(given)
                assert pmo.server.logins == []


def asks(odbc: str, statement: str) -> Any:
    with OdbcSource(odbc, SourceQuery.load(paths.SQL), STRICT).rows() as connection:
        return connection.execute(statement).fetchval()


def assert_not_encrypted(odbc: str) -> None:
    with pytest.raises(SourceRefusedError, match="did not agree on encryption"):
        asks(odbc, "SELECT 1")


@contextmanager
def tls_before(store: ObjectStore, files: dict[str, Path]) -> Iterator[str]:
    """Serve a store over TLS, as a proxy before it does; return its address."""
    host, port = store.endpoint.removeprefix("http://").split(":")

    class Proxy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            context = server_context(files)
            with (
                suppress(OSError),
                socket.create_connection((host, int(port))) as there,
                context.wrap_socket(self.request, server_side=True) as here,
            ):
                back = threading.Thread(target=pump, args=(there, here))
                back.start()
                pump(here, there)
                back.join()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65_536):
                target.sendall(block)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    with serving(proxy):
        yield f"https://127.0.0.1:{proxy.server_address[1]}"


class TestStore:
    """The object store."""

    def test_an_address_without_tls_is_refused_unless_the_setting_names_the_store(
        self, object_store: ObjectStore, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = object_store.options["endpoint_url"].replace("127.0.0.1", address)
        for options in ({"endpoint_url": plain}, {"client_kwargs": {"endpoint_url": plain}}, {"use_ssl": False}):
            path = UPath(f"s3://{object_store.bucket}", **{**object_store.options, "endpoint_url": None, **options})
            with pytest.raises(SettingsError, match=f"{tls.WITHOUT_TLS}=store"):
                checked(path, may_be_plain=False)
            assert checked(path, may_be_plain=True) is path
        monkeypatch.setenv("AWS_ENDPOINT_URL", plain)
        with pytest.raises(SettingsError, match="WITHOUT_TLS=store"):
            checked(UPath(f"s3://{object_store.bucket}", key="k", secret="s"), may_be_plain=False)

    def test_a_certificate_that_is_not_checked_is_refused(self) -> None:
        path = UPath("s3://bucket", key="k", secret="s", client_kwargs={"verify": False})
        with pytest.raises(SettingsError, match="WITHOUT_TLS=store"):
            checked(path, may_be_plain=False)

    def test_https_a_folder_and_this_machine_pass(self, object_store: ObjectStore, tmp_path: Path) -> None:
        named = {"endpoint_url": f"https://{HOST}", "key": "k", "secret": "s"}
        for path in (UPath(tmp_path), UPath(f"s3://{object_store.bucket}", **object_store.options)):
            assert checked(path, may_be_plain=False) is path
        assert checked(UPath("s3://bucket", **named), may_be_plain=False)
        assert checked(UPath("s3://bucket", key="k", secret="s"), may_be_plain=False)

    def test_a_store_is_reached_over_tls_where_its_certificate_is_trusted_and_nowhere_else(
        self, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "another").mkdir()
        files, other = authority_for(tmp_path, "127.0.0.1"), authority_for(tmp_path / "another", "127.0.0.1")
        with tls_before(object_store, files) as endpoint:
            for trusted, reached in (
                ({"AWS_CA_BUNDLE": files}, True),
                ({"AWS_CA_BUNDLE": other}, False),
                # The store's client does not read this variable.
                ({"SSL_CERT_FILE": files}, False),
            ):
                monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
                for variable, issued in trusted.items():
                    monkeypatch.setenv(variable, str(issued["authority"]))
                options = {**object_store.options, "endpoint_url": endpoint, "skip_instance_cache": True}
                file = checked(UPath(f"s3://{object_store.bucket}/over-tls", **options), may_be_plain=False)
                if reached:
                    file.write_bytes(b"posts")
                    assert file.read_bytes() == b"posts"
                else:
                    with pytest.raises(OSError, match="certificate verify failed"):
                        file.read_bytes()


NOTICE = Notice("Väntelistorna", "Text")


def server_context(files: dict[str, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate"], files["key"])
    return context


@contextmanager
def mail_over_tls(files: dict[str, Path]) -> Iterator[MailServer]:
    server = MailServer()
    server.socket = server_context(files).wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server


class TestMessages:
    """Mail and webhooks."""

    def sent(self, monkeypatch: pytest.MonkeyPatch, connection: str) -> bool:
        monkeypatch.setenv("AIRFLOW_CONN_WAITLIST_MESSAGES", connection)
        return notify.send(NOTICE, "http://airflow.example.invalid")

    def test_mail_goes_to_a_server_whose_certificate_is_trusted_and_to_no_other(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "other").mkdir()
        files, other = authority_for(tmp_path, "127.0.0.1"), authority_for(tmp_path / "other", "127.0.0.1")
        with mail_over_tls(files) as server:
            over_tls = server.connection(disable_ssl=False)
            monkeypatch.setenv("SSL_CERT_FILE", str(files["authority"]))
            assert self.sent(monkeypatch, over_tls)
            monkeypatch.setenv("SSL_CERT_FILE", str(other["authority"]))
            assert not self.sent(monkeypatch, over_tls)
            assert len(server.messages) == 1
        assert "SSLCertVerificationError" in log.text
        with serving(MailServer()) as server:
            assert not self.sent(monkeypatch, server.connection(disable_ssl=False)), "a server without TLS"
            assert not self.sent(monkeypatch, server.connection(disable_tls=False)), "a server without STARTTLS"
            assert server.messages == []

    def test_mail_goes_over_starttls_to_a_server_whose_certificate_is_trusted_and_to_no_other(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        folders = {name: tmp_path / name for name in ("ours", "another", "elsewhere")}
        for folder in folders.values():
            folder.mkdir()
        files = authority_for(folders["ours"], "127.0.0.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(files["authority"]))
        with serving(MailServer(starttls=server_context(files))) as server:
            connection = server.connection(disable_tls=False)
            assert self.sent(monkeypatch, connection)
            assert server.encrypted == [True]
            monkeypatch.setenv("SSL_CERT_FILE", str(authority_for(folders["another"], "127.0.0.1")["authority"]))
            assert not self.sent(monkeypatch, connection), "a server of another authority"
            assert len(server.messages) == 1
        named = authority_for(folders["elsewhere"], "192.0.2.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(named["authority"]))
        with serving(MailServer(starttls=server_context(named))) as server:
            assert not self.sent(monkeypatch, server.connection(disable_tls=False)), "a server with another name"
            assert server.messages == []
        assert log.text.count("SSLCertVerificationError") == 2

    @pytest.mark.parametrize("asked", [{}, {"ssl_context": "none", "disable_ssl": False}])
    def test_mail_without_tls_or_without_a_check_is_not_sent_beyond_this_machine(
        self, monkeypatch: pytest.MonkeyPatch, address: str, log: pytest.LogCaptureFixture, asked: dict[str, object]
    ) -> None:
        monkeypatch.setattr(smtplib, "SMTP", None)
        monkeypatch.setattr(smtplib, "SMTP_SSL", None)
        there = MailServer()
        connection = there.connection(**asked).replace("127.0.0.1", address)
        there.server_close()
        assert not self.sent(monkeypatch, connection)
        assert f"{tls.WITHOUT_TLS}=messages" in log.text

    def test_the_setting_takes_it_back(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        monkeypatch.setenv(tls.WITHOUT_TLS, "messages")
        with serving(MailServer()) as server, silent_proxy(server.port, address) as network:
            connection = server.connection().replace("127.0.0.1", address).replace(str(server.port), str(network.port))
            assert self.sent(monkeypatch, connection)
            assert len(server.messages) == 1

    def test_a_webhook_without_tls_is_not_called_beyond_this_machine(
        self, monkeypatch: pytest.MonkeyPatch, address: str, log: pytest.LogCaptureFixture
    ) -> None:
        with serving(Webhook()) as hook, silent_proxy(hook.server_address[1], address) as network:
            plain = Connection(conn_id="x", conn_type="http", host=f"http://{address}:{network.port}").as_json()
            assert not self.sent(monkeypatch, plain)
            assert hook.posts == []
        assert f"{tls.WITHOUT_TLS}=messages" in log.text


def test_the_setting_names_known_peers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.read().connections.plain_peers == ()
    monkeypatch.setenv(tls.WITHOUT_TLS, "staging, pmo")
    assert Settings.read().connections.plain_peers == (Peer.PMO, Peer.STAGING)
    monkeypatch.setenv(tls.WITHOUT_TLS, "staging,everything")
    with pytest.raises(SettingsError, match=f"{tls.WITHOUT_TLS}: .*pmo, staging, store, messages"):
        Settings.read()


def test_each_run_and_its_page_say_what_may_be_without_tls(
    tmp_path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, users in dashboards.RIGHTS.items():
        monkeypatch.setenv(name, users)
    site = worklists.site(tmp_path)
    url = site.store.engine.url.render_as_string(hide_password=False)
    client = TestClient(dashboards.over(site))
    for connections, exempt in ((STRICT, []), (PLAIN, [peer.value for peer in Peer])):
        steps = runs.pipeline(tmp_path, pmo="", staging=url, mappings=paths.MAPPINGS, connections=connections)
        run = steps.open_batch(runs.request(f"run of {len(exempt)}"), now=runs.NOW)
        (opened,) = steps.store.events(run.batch_id)
        assert opened.details.get("without_tls", []) == exempt
        page = client.get(f"/korningar/{run.batch_id}", headers={"Authorization": "Bearer lead"}).text
        assert (", ".join(exempt) in page and tls.WITHOUT_TLS in page) == bool(exempt)
        told = [peer for peer in Peer if f"{tls.WITHOUT_TLS} lets {peer} be reached without TLS" in log.text]
        assert told == exempt
