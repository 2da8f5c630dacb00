"""How a receiver names the columns of its receipts (``receipt_columns.csv``), where it does not use ours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from waitlist.exceptions import MappingError
from waitlist.facts.csv_table import CsvTable, shown

FILE: Final = "receipt_columns.csv"


@dataclass(frozen=True, slots=True)
class ReceiptColumn:
    """A column of the receiver's files."""

    namn: str
    """The receiver's name."""
    kolumn: str
    """Ours; empty for a column that is not read."""
    owner: str
    note: str


def load_receipt_columns(directory: Path, columns: Collection[str]) -> Mapping[str, str]:
    """Return our name of each column that the receiver names otherwise, by its name; empty for one that is not read.

    Args:
        directory: the folder of the mapping files; without the file the receiver uses our names.
        columns: our names.

    Raises:
        MappingError: with every fault of the file, each as ``file:line: what is wrong``.
    """
    if not (directory / FILE).exists():
        return MappingProxyType({})
    table = CsvTable(directory / FILE, ["namn", "kolumn", "owner", "note"], free_text=("owner", "note"))
    names = tuple(columns)
    found = {}
    for row in table.rows:
        name, column = row.required("namn"), row.cells["kolumn"]
        row.unique("namn", name)
        if column and column not in names:
            row.fault(f"kolumn: {shown(column)} is not one of {', '.join(names)}")
        elif column:
            row.unique("kolumn", column)
        found[name] = column
    if faults := [f"  {fault}" for fault in table.faults()]:
        raise MappingError("\n".join([f"columns of receipts at fault in {directory}:", *faults]))
    return MappingProxyType(found)
