"""A small PMO that the responder serves, and the connection string by which Microsoft's driver reaches it."""

import platform
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import mssql_python_odbc

from tests.support.pmo import SQLITE_TYPES, SmallPmo
from tests.support.tds.answers import Database
from tests.support.tds.server import PASSWORD, USER, TdsServer, running_tds
from tests.support.tds.types import BIGINT, BIT, INT, NVARCHAR_MAX, Type, datetime2, nvarchar

TYPES: Final[Mapping[str, Type]] = {
    "post_id": BIGINT, "personnummer": nvarchar(40), "patient": nvarchar(400), "sekretess": BIT,
    "enhet_hsa_id": nvarchar(31), "unit": nvarchar(31), "enhet": nvarchar(200), "kategori": nvarchar(200),
    "kontaktform": nvarchar(40), "vantar_pa_besok": BIT, "nybesok": BIT, "har_bilaga": INT, "boka_from": nvarchar(40),
    "boka_fore": nvarchar(40), "orsak": NVARCHAR_MAX, "planerade_atgarder": NVARCHAR_MAX, "anvandare": nvarchar(400),
    "tidsatgang_min": INT, "filial": nvarchar(200), "registrerad": datetime2(6), "andrad": datetime2(6),
    "avslutad": datetime2(6),
}  # fmt: skip
"""As docker/mssql/create_pmo.sql has them."""


def driver() -> Path:
    """Return the library of Microsoft's ODBC Driver 18."""
    folder = Path(mssql_python_odbc.get_libs_dir()) / "linux" / "debian_ubuntu"
    (found,) = folder.glob(f"{platform.machine().replace('aarch64', 'arm64')}/lib/libmsodbcsql-18*.so*")
    return found


@dataclass(frozen=True)
class TdsPmo(SmallPmo):
    """A PMO behind the responder; ``native`` is empty."""

    server: TdsServer

    def run(self, *statements: str | tuple[str, Iterable[Sequence[Any]]]) -> None:
        """Change the tables in memory."""
        for statement in statements:
            sql, rows = (statement, [()]) if isinstance(statement, str) else statement
            self.server.database.run(sql, list(rows))

    def through(self, port: int) -> str:
        """Return the connection string by another port, where a proxy listens."""
        return self.odbc.replace(f",{self.server.port};", f",{port};")


def connection_string(port: int, *, password: str = PASSWORD, **options: str) -> str:
    """Return what leads to a responder; ``options`` are the driver's, ``Encrypt=no`` unless they say otherwise."""
    pairs = {
        "Driver": f"{{{driver()}}}", "Server": f"127.0.0.1,{port}", "Database": "pmo", "Uid": USER,
        "Pwd": "{" + password.replace("}", "}}") + "}", "Encrypt": "no", **options,
    }  # fmt: skip
    return ";".join(f"{key}={value}" for key, value in pairs.items())


@contextmanager
def sqlserver_pmo(
    rows: Iterable[Mapping[str, Any]],
    *,
    tls: ssl.SSLContext | None = None,
    snapshots: bool = True,
    options: Mapping[str, str] | None = None,
    **types: Type,
) -> Iterator[TdsPmo]:
    """Serve posts; ``types`` replaces types of the query's columns."""
    database = Database({**TYPES, **types}, snapshots=snapshots)
    with running_tds(database, tls) as server:
        pmo = TdsPmo(connection_string(server.port, **(options or {})), "", server)
        pmo.build(SQLITE_TYPES, rows)
        yield pmo
