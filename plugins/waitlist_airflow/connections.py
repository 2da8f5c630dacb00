"""Converts Airflow connections into the forms that ``waitlist`` takes.

``pmo`` (type ``odbc``) becomes an ODBC connection string through ``OdbcHook``; ``millennium_staging``, or the
connection of one account (type ``postgres``, ``sqlite`` with the file as host, or ``mssql``), becomes an SQLAlchemy
URL. ``pu`` (type ``http``) becomes the address of the person service: its URL as host, the key's password as password,
and the files in the extras. The connection that ``WAITLIST_AUDIT_KEY`` may name (type ``generic``) has a private key as
password.
"""

from pathlib import Path
from typing import Final, cast

from airflow.providers.odbc.hooks.odbc import OdbcHook
from airflow.sdk import BaseHook, Connection, ObjectStoragePath
from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy import URL
from upath import UPath

from waitlist.exceptions import SettingsError
from waitlist.settings import STAGING, Peer, Settings
from waitlist.source.pu import Address, Credentials
from waitlist.staging.signing import Signer, by_command, by_file, by_key
from waitlist.tls import checked

PMO: Final = "pmo"
PERSON_SERVICE: Final = "pu"
_CONNECTION: Final = "connection"


class _Hook(OdbcHook):
    """Takes its driver from its argument alone; its base warns at every call, unless it may take it from the extras."""

    @property
    def driver(self) -> str | None:
        """The driver without its braces."""
        return self._driver.strip().lstrip("{").rstrip("}").strip() if self._driver else None


def pmo_connection_string() -> str:
    """Return the ODBC connection string of the connection ``pmo``.

    Raises:
        SettingsError: there is no such connection, or it is of another type.
    """
    connection = _connection(PMO, "odbc")
    driver = connection.extra_dejson.get("driver") or connection.extra_dejson.get("Driver")
    return str(_Hook(odbc_conn_id=PMO, driver=driver).odbc_connection_string)


def staging_url(conn_id: str = STAGING) -> str:
    """Return the SQLAlchemy URL of a connection to the staging database.

    Args:
        conn_id: its id; ``settings.accounts`` has that of each account.

    Raises:
        SettingsError: there is no such connection, or it is of another type.
    """
    connection = _connection(conn_id, "postgres", "sqlite", "mssql")
    if connection.conn_type == "sqlite":
        if not connection.host:
            raise SettingsError(f"Airflow connection {conn_id!r} has no file: give the SQLite file as its host")
        return URL.create("sqlite", database=connection.host).render_as_string(hide_password=False)
    extra = {name: str(value) for name, value in connection.extra_dejson.items()}
    scheme = "postgresql"
    if connection.conn_type == "mssql":
        scheme, extra = "mssql+pyodbc", {"driver": "ODBC Driver 18 for SQL Server", **extra}
    url = URL.create(
        scheme,
        connection.login,
        connection.password,
        connection.host,
        connection.port,
        connection.schema,
        extra,
    )
    return url.render_as_string(hide_password=False)


def place(url: str, settings: Settings) -> UPath:
    """Return the path of a folder or of an object store, by a URL that may name a connection.

    Raises:
        SettingsError: the store would be reached without TLS, and the settings do not allow it.
    """
    # Airflow's path is a proxy of a UPath, but its class is not a subclass.
    path = cast("UPath", ObjectStoragePath(url))
    return checked(path, may_be_plain=Peer.STORE in settings.connections.plain_peers)


def person_service() -> Address:
    """Return the address of the person service, and the certificates with which it is asked.

    Raises:
        SettingsError: there is no connection ``pu``, it is of another type, or it lacks something.
    """
    connection = _connection(PERSON_SERVICE, "http")
    extra = connection.extra_dejson
    files = {name: extra.get(name) for name in ("certificate", "key", "authorities")}
    missing = [name for name, value in {"host": connection.host, **files}.items() if not value]
    if missing:
        raise SettingsError(f"Airflow connection {PERSON_SERVICE!r} lacks {', '.join(missing)}")
    paths = {name: Path(str(value)) for name, value in files.items()}
    return Address(str(connection.host), Credentials(**paths, key_password=connection.password))


def audit_signer(settings: Settings) -> Signer | None:
    """Return what signs the ends of the audit chains; None where they are unsigned.

    Raises:
        SettingsError: both a key and a command are set.
    """
    key, command = settings.audit_key, settings.audit_signer
    if key and command:
        raise SettingsError("WAITLIST_AUDIT_KEY and WAITLIST_AUDIT_SIGNER are both set: only one of them signs")
    if command:
        return by_command(command)
    if not key:
        return None
    kind, _, conn_id = key.partition(":")
    if kind != _CONNECTION:
        return by_file(Path(key))

    def read() -> bytes:
        return (_connection(conn_id, "generic").password or "").encode()

    return by_key(read, f"Airflow connection {conn_id!r}")


def _connection(conn_id: str, *types: str) -> Connection:
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise SettingsError(
            f"Airflow connection {conn_id!r} is missing: set AIRFLOW_CONN_{conn_id.upper()} or add it in the UI"
        ) from None
    if connection.conn_type not in types:
        raise SettingsError(
            f"Airflow connection {conn_id!r} has type {connection.conn_type!r}; it must have {' or '.join(types)}"
        )
    return connection
