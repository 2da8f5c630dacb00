"""Which users work at which units (``unit_readers.csv``): they see the posts of these units and of no other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from waitlist.facts.csv_table import CsvTable, own_or_projects, shown
from waitlist.facts.mappings import is_hsa_id

FILE: Final = "unit_readers.csv"

UnitReaders = Mapping[str, frozenset[str]]
"""The HSA-ids of each user's units, by login name."""

NO_READERS: Final[UnitReaders] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class UnitReader:
    """A row of ``unit_readers.csv``."""

    user_id: str
    """The login name, letter for letter."""
    hsa_id: str
    owner: str
    note: str


def read_readers(directory: Path) -> tuple[UnitReaders, list[str]]:
    """Read the units of each user, and every fault of the file.

    The file is no part of a batch's facts: it decides which users see a post, and nothing about the post.

    Args:
        directory: the folder of the mapping files; if it has no ``unit_readers.csv``, the project's own is read, which
            names nobody.

    Returns:
        the rows without a fault, as units by user: a row at fault gives no right, and takes none from other rows, but
        a file that cannot be read as a whole names nobody; and the faults, each as ``file:line: what is wrong``.
    """
    table = CsvTable(
        own_or_projects(directory, FILE),
        ["user_id", "hsa_id", "owner", "note"],
        free_text=("owner", "note"),
    )
    units: dict[str, set[str]] = {}
    rows = table.without_faults(list(_unit_readers(table)))
    for row in rows if table.whole else ():
        units.setdefault(row.user_id, set()).add(row.hsa_id)
    return MappingProxyType({user: frozenset(found) for user, found in units.items()}), table.faults()


def _unit_readers(table: CsvTable) -> Iterator[UnitReader]:
    """Yield the rows of the file; their faults are recorded in the table."""
    for row in table.rows:
        user_id, hsa_id = row.required("user_id"), row.required("hsa_id")
        row.unique("user_id and hsa_id", (user_id, hsa_id))
        if hsa_id and not is_hsa_id(hsa_id):
            row.fault(f"hsa_id: {shown(hsa_id)} is no HSA-id")
        yield UnitReader(user_id, hsa_id, row.cells["owner"], row.cells["note"])
