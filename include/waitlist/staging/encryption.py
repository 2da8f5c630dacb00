"""TLS to the staging database: with a certificate that is checked, unless a setting takes that back.

An option of the connection that asks for less is replaced. Where ``WAITLIST_WITHOUT_TLS`` names ``staging``, the
connection's options count, and a connection without TLS is a warning in the log.
"""

import logging
from functools import cache
from typing import Final

import psycopg
import sqlalchemy as sa

from waitlist.tls import SQL_SERVER_CHECKED, SQL_SERVER_ENCRYPTED, WITHOUT_TLS, authorities, is_local

log: Final = logging.getLogger(__name__)


def with_tls(url: sa.URL, *, may_be_plain: bool) -> sa.URL:
    """Return a URL of PostgreSQL or SQL Server that asks for TLS and for a certificate that is checked.

    Args:
        url: the URL.
        may_be_plain: the setting lets the connection's own options decide.
    """
    if url.get_backend_name() == "mssql":
        return _with_tls_of_sql_server(url, may_be_plain=may_be_plain)
    hosts = [
        *(url.host or "").split(","),
        *url.normalized_query.get("host", ()),
        *url.normalized_query.get("hostaddr", ()),
    ]
    if may_be_plain or all(map(is_local, hosts)):
        return url
    asked = {"sslmode": "verify-full"}
    trusted = authorities()
    if "sslrootcert" not in url.query and trusted is not None:
        asked["sslrootcert"] = str(trusted)
    return url.update_query_dict(asked)


def _with_tls_of_sql_server(url: sa.URL, *, may_be_plain: bool) -> sa.URL:
    told = {name.lower(): values[0].lower() for name, values in url.normalized_query.items()}
    encrypted = told.get("encrypt", "yes") in SQL_SERVER_ENCRYPTED
    if is_local(url.host) or (encrypted and told.get("trustservercertificate", "no") in SQL_SERVER_CHECKED):
        return url
    if may_be_plain:
        if not encrypted:
            _warn_once(url.host or "")
        return url
    kept = [name for name in url.query if name.lower() not in {"encrypt", "trustservercertificate"}]
    asked = {"Encrypt": told["encrypt"] if encrypted and "encrypt" in told else "yes", "TrustServerCertificate": "no"}
    return url.set(query={**{name: url.query[name] for name in kept}, **asked})


def warn_of_plain(connection: psycopg.Connection[object]) -> None:
    """Log a warning, once per address, if a connection over a network is not encrypted."""
    if not connection.pgconn.ssl_in_use and not is_local(connection.info.hostaddr):
        _warn_once(connection.info.host)


@cache
def _warn_once(host: str) -> None:
    log.warning(
        "the staging database at %s is reached without TLS, as %s allows: names and identity numbers cross the network "
        "unencrypted. Let the server offer TLS, and take staging out of the setting",
        host,
        WITHOUT_TLS,
    )
