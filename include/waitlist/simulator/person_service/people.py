"""The persons of the simulated service, and their records."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

PERSONNUMMER: Final = "1.2.752.129.2.1.3.1"
SAMORDNINGSNUMMER: Final = "1.2.752.129.2.1.3.3"
NATIONAL_RESERVE: Final = "1.2.752.74.9.1"
STOCKHOLM_RESERVE: Final = "1.2.752.97.3.1.3"


class PersonId(NamedTuple):
    """A number, and the OID that says of which kind it is."""

    extension: str
    root: str = PERSONNUMMER


@dataclass(frozen=True)
class Person:
    """One record of the service.

    Attributes:
        extension: the number.
        root: the OID of the number's kind.
        given_name: empty where the record has none.
        middle_name: the same.
        surname: the same.
        protected_person: sekretessmarkering; name and address are left out then.
        protected_record: skyddad folkbokföring.
        test: the record is made for tests.
        primary: the number is the present one.
        reason: code of a deregistration.
        deregistered_at: its date, as exact as the service knows it: ``2024-05-06``, ``2024-05`` or ``2024``.
        found_dead_at: the same, of a person who was found dead.
        referred: another number that the person had, or has now.
        linked: the number of another identity that is the same person's.
        linked_root: the OID of its kind.
        since: the day, ``YYYY-MM-DD``, from which the register has the deregistration; empty: it always had it.
        longest: every field that the contract knows is there, and as long as it may be; of the rest of this only
            number and marks count.
    """

    extension: str
    root: str = PERSONNUMMER
    given_name: str = ""
    middle_name: str = ""
    surname: str = ""
    protected_person: bool = False
    protected_record: bool = False
    test: bool = True
    primary: bool = True
    reason: str = ""
    deregistered_at: str = ""
    found_dead_at: str = ""
    referred: str = ""
    linked: str = ""
    linked_root: str = ""
    since: str = ""
    longest: bool = False

    @property
    def id(self) -> PersonId:
        """The id by which the person is requested."""
        return PersonId(self.extension, self.root)

    def on(self, day: dt.date | None) -> Self:
        """Return the record as it is on a day; None: at the end of all days."""
        if day is None or self.since <= day.isoformat():
            return self
        return replace(self, reason="", deregistered_at="", found_dead_at="")


SCHEMA: Final = pa.schema(
    [pa.field(one.name, pa.bool_() if one.type is bool else pa.string(), nullable=False) for one in fields(Person)]
)
"""The columns of a file of persons, one row for each person."""


def write_people(people: Iterable[Person], path: Path) -> None:
    """Write a file of persons (Parquet)."""
    pq.write_table(pa.Table.from_pylist([asdict(person) for person in people], schema=SCHEMA), path)


def read_people(path: Path) -> list[Person]:
    """Read a file of persons."""
    return [Person(**row) for row in pq.read_table(path, schema=SCHEMA).to_pylist()]
