"""The monthly sample of the access log: which entries are in it, and what its readers say of each.

Nobody chooses the entries: they follow from the month and from the ids that the entries got when they were written. A
verdict is never changed; a later one about the same entry is added beside it, and the last one counts.
"""

import datetime as dt
import hashlib
import heapq
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from waitlist.columns.dates import STOCKHOLM, day_in_stockholm
from waitlist.staging import schema
from waitlist.staging.access_log import Action
from waitlist.staging.database import Database, refusals_named

SAMPLE: Final = 30
"""Entries in a month's sample; all of them where there are fewer."""
LONGEST_WORD: Final = 500

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


class Verdict(StrEnum):
    """What a reader of the log says of an entry."""

    IN_ORDER = "in_order"
    NOT_IN_ORDER = "not_in_order"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Judged:
    """One row of ``log_verdict``."""

    entry_id: str
    verdict_no: int
    """1, 2, ... for the verdicts about one entry."""
    at: dt.datetime
    user_id: str
    verdict: Verdict
    word: str
    """Why; empty only where all is in order."""


def month_before(now: dt.datetime) -> str:
    """Return the last month that is over in Stockholm, as ``2026-10``."""
    first = day_in_stockholm(now).replace(day=1)
    return f"{first - dt.timedelta(days=1):%Y-%m}"


def is_over(month: str, now: dt.datetime) -> bool:
    """Tell whether a text is a month that is over: only then its entries are known, and its sample."""
    return _MONTH.fullmatch(month) is not None and month <= month_before(now)


def sampled(connection: sa.Connection, month: str) -> list[str]:
    """Return the ids of a month's sample.

    They are those with the smallest hashes. A hand-off has an entry for each post of a wave, and nobody looked at it:
    its entries are no part of what is drawn from.

    Args:
        connection: a connection.
        month: a month that is over, as ``2026-10``.
    """
    table = schema.access_log.c
    first = dt.datetime(int(month[:4]), int(month[5:]), 1, tzinfo=STOCKHOLM)
    after = (first + dt.timedelta(days=32)).replace(day=1)
    query = sa.select(table.entry_id).where(table.at >= first, table.at < after, table.action != Action.HAND_OFF.value)
    found = connection.execute(query, execution_options={"stream_results": True}).scalars()
    return heapq.nsmallest(SAMPLE, found, key=lambda entry: hashlib.sha256(f"{month}\x1f{entry}".encode()).digest())


def read_verdicts(connection: sa.Connection, entries: list[str]) -> dict[str, list[Judged]]:
    """Return the verdicts about some entries, the first one first."""
    table = schema.log_verdict
    query = sa.select(table).where(table.c.entry_id.in_(entries)).order_by(table.c.entry_id, table.c.verdict_no)
    found: dict[str, list[Judged]] = {entry: [] for entry in entries}
    for row in connection.execute(query).mappings():
        found[row["entry_id"]].append(Judged(**{**row, "verdict": Verdict(row["verdict"])}))
    return found


def add(database: Database, judged: Judged) -> bool:
    """Keep a verdict; the same one sent twice is kept once.

    Returns:
        Whether it is kept. It is not where another one has its number: its writer has not seen that one.

    Raises:
        StagingError: the database refused.
    """
    table = schema.log_verdict
    with refusals_named("keeping a verdict about the access log"):
        try:
            with database.writing() as connection:
                before = read_verdicts(connection, [judged.entry_id])[judged.entry_id]
                if judged.verdict_no == len(before) + 1:
                    connection.execute(table.insert().values(asdict(judged)))
                    return True
        except IntegrityError:
            with database.connected() as connection:
                before = read_verdicts(connection, [judged.entry_id])[judged.entry_id]
    return any(_content(judged) == _content(other) for other in before)


def _content(judged: Judged) -> tuple[int, str, str, str]:
    return judged.verdict_no, judged.user_id, judged.verdict.value, judged.word
