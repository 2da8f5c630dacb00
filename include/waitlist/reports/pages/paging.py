"""A part of a long list, and the order that it is in."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is shown."""

    number: int
    """From 1; never past the last."""
    size: int
    """Rows on a full page."""
    rows: int
    """Rows of the whole list."""

    @classmethod
    def of(cls, asked: int, size: int, rows: int) -> Self:
        """Return the page that is asked for, or the nearest that there is."""
        return cls(min(max(asked, 1), max(-(-rows // size), 1)), size, rows)

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.rows // self.size), 1)

    @property
    def offset(self) -> int:
        """How many rows come before."""
        return (self.number - 1) * self.size

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1; 0 of an empty list."""
        return min(self.offset + 1, self.rows)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.offset + self.size, self.rows)


class Direction(StrEnum):
    """Which way a list is sorted, as the address has it."""

    UP = "upp"
    DOWN = "ned"
