"""The page of a long list that is shown, and the direction of sorting."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


@dataclass(frozen=True, slots=True)
class Paging:
    """The page of a list that is shown."""

    number: int
    """The page's number, from 1 to the last."""
    size: int
    """Rows on a full page."""
    rows: int
    """The number of rows of the whole list."""

    @classmethod
    def of(cls, asked: int, size: int, rows: int) -> Self:
        """Return the requested page, or the nearest one that exists."""
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
        """The number of the first row shown, from 1; 0 for an empty list."""
        return min(self.offset + 1, self.rows)

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.offset + self.size, self.rows)


class Direction(StrEnum):
    """The direction in which a list is sorted, as it is in the address."""

    UP = "upp"
    DOWN = "ned"
