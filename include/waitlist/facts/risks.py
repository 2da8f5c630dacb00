"""The register of risks (``risks.csv``): what can harm a patient, why, and what prevents it.

Its shape is that of a hazard log in clinical risk management (NHS DCB0129). A control names something of this project
that can be looked up: a gate, a rule, a suite of requirements, or a test.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from waitlist.facts.csv_table import CsvRow, CsvTable, own_or_projects, shown

FILE: Final = "risks.csv"
RESIDUAL: Final = ("låg", "medel", "hög")
"""What may be left of a risk, the lowest first."""


class ControlKind(StrEnum):
    """What a control is."""

    GATE = "gate"
    RULE = "rule"
    SUITE = "suite"
    TEST = "test"


_KINDS: Final = frozenset(kind.value for kind in ControlKind)


@dataclass(frozen=True, slots=True)
class Control:
    """Something that prevents a hazard, or finds it before a patient is harmed."""

    kind: ControlKind
    name: str
    """The gate, the rule's code, the suite, or the path of the test's file."""


@dataclass(frozen=True, slots=True)
class Risk:
    """A row of ``risks.csv``."""

    risk: str
    """Its number in the register."""
    fara: str
    """The hazard: what happens to a patient."""
    orsak: str
    """The cause."""
    kontroller: tuple[Control, ...]
    kvar: str
    """The risk that is left, one of ``RESIDUAL``."""
    owner: str
    note: str


def read_risks(directory: Path, known: Mapping[ControlKind, Collection[str]]) -> tuple[tuple[Risk, ...], list[str]]:
    """Read the register, and every fault of the file.

    The register is no part of a batch's facts: it decides nothing about a post.

    Args:
        directory: the folder of the mapping files; if it has no ``risks.csv``, the project's own is read.
        known: the names that a control of a kind may have; a kind that is left out may have any.

    Returns:
        the rows without a fault, in the file's order; and the faults, each as ``file:line: what is wrong``.
    """
    table = CsvTable(
        own_or_projects(directory, FILE),
        ["risk", "fara", "orsak", "kontroller", "kvar", "owner", "note"],
        free_text=("fara", "orsak", "owner", "note"),
    )
    return tuple(table.without_faults(list(_risks(table, known)))), table.faults()


def _risks(table: CsvTable, known: Mapping[ControlKind, Collection[str]]) -> Iterator[Risk]:
    for row in table.rows:
        number = row.required("risk")
        row.unique("risk", number)
        yield Risk(
            number,
            row.required("fara"),
            row.required("orsak"),
            tuple(_controls(row, known)),
            row.one_of("kvar", RESIDUAL),
            row.required("owner"),
            row.cells["note"],
        )


def _controls(row: CsvRow, known: Mapping[ControlKind, Collection[str]]) -> Iterator[Control]:
    for text in row.required("kontroller").split():
        kind, _, name = text.partition(":")
        if kind not in _KINDS or not name:
            row.fault(f"kontroller: {shown(text)} is none of gate:, rule:, suite: and test: with a name after it")
        elif name not in known.get(ControlKind(kind), {name}):
            row.fault(f"kontroller: there is no {kind} {shown(name)}")
        else:
            yield Control(ControlKind(kind), name)
