"""The order of a synthetic PMO, and the tables that it gets."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from waitlist.exceptions import WaitlistError

MOST_POSTS: Final = 10_000_000
EARLIEST, LATEST = dt.date(2024, 1, 1), dt.date(2024, 12, 15)
"""The as-of dates for which there are official test children of every age, including unborn ones."""
CUTOFF_DAYS: Final = 28
PILOT_DAYS: Final = 30
"""The pilot batch was released so many days before the as-of date."""

UNIT: Final = pa.schema(
    [
        pa.field("enhet_id", pa.int64(), nullable=False),
        pa.field("hsa_id", pa.string(), nullable=False),
        pa.field("namn", pa.string(), nullable=False),
    ]
)
PATIENT: Final = pa.schema(
    [
        pa.field("patient_id", pa.int64(), nullable=False),
        pa.field("personnummer", pa.string()),
        pa.field("namn", pa.string()),
        pa.field("sekretess", pa.int16(), nullable=False),
    ]
)
POST: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("patient_id", pa.int64(), nullable=False),
        pa.field("enhet_id", pa.int64(), nullable=False),
        pa.field("kategori", pa.string()),
        pa.field("kontaktform", pa.string()),
        pa.field("vantar_pa_besok", pa.int16(), nullable=False),
        pa.field("nybesok", pa.int16(), nullable=False),
        # Text, since it may not be a date.
        pa.field("boka_from", pa.string()),
        pa.field("boka_fore", pa.string()),
        pa.field("orsak", pa.string()),
        pa.field("planerade_atgarder", pa.string()),
        pa.field("anvandare", pa.string()),
        pa.field("tidsatgang_min", pa.int32()),
        pa.field("filial", pa.string()),
        pa.field("registrerad", pa.timestamp("us"), nullable=False),
        pa.field("andrad", pa.timestamp("us"), nullable=False),
        pa.field("avslutad", pa.timestamp("us")),
    ]
)
ATTACHMENT: Final = pa.schema(
    [
        pa.field("bilaga_id", pa.int64(), nullable=False),
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("filnamn", pa.string(), nullable=False),
    ]
)
TABLES: Final = {"enhet": UNIT, "patient": PATIENT, "vantelistepost": POST, "bilaga": ATTACHMENT}
"""The synthetic PMO; the first column of each is its key."""


class SimulatorError(WaitlistError):
    """The synthetic PMO cannot be made or written as ordered."""


@dataclass(frozen=True, slots=True)
class Order:
    """The order for a generation; the same order gives the same data in every database."""

    posts: int
    seed: int = 1
    as_of: dt.date = dt.date(2024, 10, 1)

    def __post_init__(self) -> None:
        """Refuse an order for which there are too few official test numbers.

        Raises:
            SimulatorError: with every fault of the order.
        """
        faults = []
        if not 1 <= self.posts <= MOST_POSTS:
            faults.append(f"posts must be between 1 and {MOST_POSTS:,}, not {self.posts}")
        if self.seed < 0:
            faults.append(f"seed must not be negative, not {self.seed}")
        if not EARLIEST <= self.as_of <= LATEST:
            faults.append(f"as-of must be between {EARLIEST} and {LATEST}, where there are official test children")
        if faults:
            raise SimulatorError("; ".join(faults))


def day_number(date: dt.date) -> int:
    """Count a date's days since 1970-01-01."""
    return (date - dt.date(1970, 1, 1)).days
