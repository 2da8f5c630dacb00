"""Airflow connections as the inner ring takes them.

``pmo`` (type ``odbc``) becomes an ODBC connection string through ``OdbcHook``; ``millennium_staging`` (type
``postgres``, ``sqlite`` with the file as host, or ``mssql``) becomes an SQLAlchemy URL.
"""

from typing import Final

from airflow.providers.odbc.hooks.odbc import OdbcHook
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy import URL

from waitlist.exceptions import SettingsError

PMO: Final = "pmo"
STAGING: Final = "millennium_staging"


def pmo_connection_string() -> str:
    """Return the ODBC connection string of the connection ``pmo``.

    Raises:
        SettingsError: there is no such connection, or it is of another type.
    """
    connection = _connection(PMO, "odbc")
    # The hook takes a driver from the extras only where the deployment allows it: as an argument it always does.
    driver = connection.extra_dejson.get("driver") or connection.extra_dejson.get("Driver")
    return str(OdbcHook(odbc_conn_id=PMO, driver=driver).odbc_connection_string)


def staging_url() -> str:
    """Return the SQLAlchemy URL of the connection ``millennium_staging``.

    Raises:
        SettingsError: there is no such connection, or it is of another type.
    """
    connection = _connection(STAGING, "postgres", "sqlite", "mssql")
    if connection.conn_type == "sqlite":
        return URL.create("sqlite", database=connection.host).render_as_string(hide_password=False)
    server = {
        "username": connection.login,
        "password": connection.password,
        "host": connection.host,
        "port": connection.port,
        "database": connection.schema,
    }
    if connection.conn_type == "postgres":
        return URL.create("postgresql+psycopg", **server).render_as_string(hide_password=False)
    driver = str(connection.extra_dejson.get("driver", "ODBC Driver 18 for SQL Server"))
    return URL.create("mssql+pyodbc", **server, query={"driver": driver}).render_as_string(hide_password=False)


def _connection(conn_id: str, *types: str) -> Connection:
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise SettingsError(
            f"Airflow connection {conn_id!r} is missing: set AIRFLOW_CONN_{conn_id.upper()} or add it in the UI"
        ) from None
    if connection.conn_type not in types:
        raise SettingsError(
            f"Airflow connection {conn_id!r} has type {connection.conn_type!r}; it takes {' or '.join(types)}"
        )
    return connection
