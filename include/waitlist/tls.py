"""What of a connection decides whether it is encrypted, and whether the server's certificate is checked.

Every connection beyond this machine is encrypted, to a server whose certificate is checked, unless
``WAITLIST_WITHOUT_TLS`` names its peer. Local sockets, loopback addresses and files need no TLS: a person that can read
that traffic can also read the memory of this machine.
"""

import ipaddress
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from waitlist.exceptions import SettingsError

if TYPE_CHECKING:
    from upath import UPath

WITHOUT_TLS = "WAITLIST_WITHOUT_TLS"
"""The setting that names the peers to which a connection may be without TLS."""
SQL_SERVER_ENCRYPTED = ("yes", "mandatory", "true", "strict")
"""Values of ``Encrypt`` with which SQL Server's driver encrypts, the usual one first."""
SQL_SERVER_CHECKED = ("no", "false")
"""Values of ``TrustServerCertificate`` with which it checks the certificate, the usual one first."""


def is_local(host: str | None) -> bool:
    """Return whether a host is this machine: a loopback address, a socket's folder, or none."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_plain_address(address: str | None) -> bool:
    """Return whether an address such as ``http://store:9000`` leads beyond this machine without TLS."""
    parts = urlsplit(address or "")
    return parts.scheme.lower() == "http" and not is_local(parts.hostname)


def authorities() -> Path | None:
    """Return this machine's file of certificate authorities; None where it has none."""
    places = (os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile)
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def checked(path: "UPath", *, may_be_plain: bool) -> "UPath":
    """Return the path of a folder or of an object store, after a look at how the store is reached.

    Args:
        path: the path; also Airflow's proxy of one.
        may_be_plain: the setting lets the connection's own options decide.

    Raises:
        SettingsError: the store would be reached without TLS, or its certificate would not be checked.
    """
    if may_be_plain or path.protocol in {"", "file", "local", "memory"}:
        return path
    store: Any = path.fs
    told = getattr(store, "client_kwargs", None) or {}
    address = getattr(store, "endpoint_url", None) or told.get("endpoint_url") or _address_of_environment(path.protocol)
    plain = is_plain_address(address) or (not address and getattr(store, "use_ssl", True) is False)
    unchecked = told.get("verify") is False and not is_local(urlsplit(address or "").hostname or "elsewhere")
    if plain or unchecked:
        raise SettingsError(
            f"the store of {path.protocol}:// would be reached without TLS, or with a certificate that is not checked: "
            f"give it an address that begins with https, or set {WITHOUT_TLS}=store"
        )
    return path


def _address_of_environment(protocol: str) -> str | None:
    if protocol not in {"s3", "s3a"}:
        return None
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
