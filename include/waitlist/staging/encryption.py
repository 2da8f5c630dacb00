"""TLS to the staging database: preferred or required by a setting, with a warning in the log if it is missing.

Local sockets, loopback addresses and files need no TLS: a person that can read that traffic can also read the memory
of this machine.
"""

import ipaddress
import logging
from functools import cache
from typing import Final

import psycopg
import sqlalchemy as sa

from waitlist.settings import Tls

log: Final = logging.getLogger(__name__)

_STRICT: Final = {"require", "verify-ca", "verify-full"}
_UNENCRYPTED: Final = {"no", "optional", "false"}


def with_tls(url: sa.URL, tls: Tls) -> sa.URL:
    """Return a URL of PostgreSQL or SQL Server that requires TLS if the setting does."""
    name = url.get_backend_name()
    if name == "mssql":
        (encrypt,) = url.normalized_query.get("Encrypt", ("yes",))[:1]
        if encrypt.lower() not in _UNENCRYPTED or _is_local(url.host):
            return url
        if tls is Tls.REQUIRE:
            return url.update_query_dict({"Encrypt": "yes"})
        _warn_once(url.host or "")
        return url
    hosts = [
        *(url.host or "").split(","),
        *url.normalized_query.get("host", ()),
        *url.normalized_query.get("hostaddr", ()),
    ]
    if tls is Tls.PREFER or url.query.get("sslmode") in _STRICT or all(map(_is_local, hosts)):
        return url
    return url.update_query_dict({"sslmode": Tls.REQUIRE.value})


def warn_of_plain(connection: psycopg.Connection[object]) -> None:
    """Log a warning, once per address, if a connection over a network is not encrypted."""
    if not connection.pgconn.ssl_in_use and not _is_local(connection.info.hostaddr):
        _warn_once(connection.info.host)


def _is_local(host: str | None) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _warn_once(host: str) -> None:
    log.warning(
        "the staging database at %s is reached without TLS: names and identity numbers cross the network "
        "unencrypted. Let the server offer TLS, and set WAITLIST_STAGING_TLS=require",
        host,
    )
