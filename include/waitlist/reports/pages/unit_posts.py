"""The posts of one unit in one batch, each with what to do about it and what its staff have said."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from waitlist.judge.rules import Disposition
from waitlist.release.ledger import REJECTED, Owed
from waitlist.release.receipts.account import reasons, rejected_posts
from waitlist.release.receipts.holding import still_released
from waitlist.reports.pages.unit_rows import UnitRow, UnitRows, of_unit, read_rows
from waitlist.reports.since import Since
from waitlist.reports.worklist.advice import (
    Advice,
    Sheet,
    Withheld,
    advise,
    advise_change,
    advise_rejected,
    has_always_a_row,
    reason_line,
)
from waitlist.staging import schema
from waitlist.staging.dry_runs import DryRun
from waitlist.staging.held import held_numbers, row_of
from waitlist.staging.post_outcomes import BY_PEOPLE, Current, Entry, current
from waitlist.staging.states import PostOutcome
from waitlist.swedish.words import (
    DISPOSITION_TEXTS,
    WORK_LIST_GOES_AWAY,
    WORK_LIST_MIGRATES_ANYWAY,
    WORK_LIST_OWED,
    WORK_LIST_OWED_GOES_AWAY,
    WORK_LIST_OWED_MIGRATES,
)

WEEK: Final = dt.timedelta(days=7)

_BOOKED_FIRST: Final = {
    Sheet.BOOK_IN_MILLENNIUM: PostOutcome.BOOKED_MILLENNIUM,
    Sheet.BOOK_IN_PMO: PostOutcome.BOOKED_PMO,
}
_TO_CHECK: Final = frozenset({Sheet.CHECK, Sheet.CORRECT_IN_MILLENNIUM})
_IN_MILLENNIUM: Final = frozenset({Sheet.CORRECT_IN_MILLENNIUM, Sheet.REJECTED_BY_MILLENNIUM})
_NOTHING: Final = Current()
_SEEN_BY_THE_RUN: Final = frozenset({Sheet.TAKE_OFF_SDV_LIST})
# SQL Server takes 2,100 values in a statement.
_AT_ONCE: Final = 1_000
_QUIET: Final = frozenset(disposition.value for disposition in Disposition if not has_always_a_row(disposition))
"""Dispositions with which a post is on the list only for a finding, or for what came after its release."""
_NO_PATIENT_WAITS: Final = frozenset({Sheet.TAKE_OFF_SDV_LIST})


@dataclass(frozen=True, slots=True)
class Said:
    """What the unit's staff, or the pipeline, have said of a post."""

    outcome: str
    entry_no: int
    at: dt.datetime
    by: str
    word: str | None


@dataclass(frozen=True, slots=True)
class Post:
    """A post, without its patient."""

    post_id: int
    list_name: str | None
    boka_from: dt.date | None
    boka_fore: dt.date | None
    disposition: str
    recommended_list: str | None
    """The SDV list that it may be moved to."""
    rules: tuple[str, ...]
    """The codes of its findings."""
    action: str
    """What to do, one line for each action, as in the work list."""
    sheet: str | None = None
    """The kind of action (``advice.Sheet``); None when nothing has to be done."""
    rule: str | None = None
    """The code of the finding that decides what to do."""
    goes_away: str = ""
    """What makes the row leave the list."""
    comes_first: bool = False
    """Whether the patient has to be looked at before anything else is done."""
    about: tuple[str, ...] = ()
    """What there is to look at: codes of rules, or names of columns that PMO has changed since the release."""
    said: Said | None = None
    """The outcome, or that somebody has checked all that there is to look at."""
    done: bool = False
    """Whether nothing is left to do, by what the staff have said."""
    may: tuple[str, ...] = ()
    """The outcomes that the staff may give it now."""
    last_entry: int = 0
    """The number of the post's last row in ``post_outcome``; 0 for a post that is not shown."""
    since: Since | None = None
    """Since when it has been on the list; None where no night can be compared."""
    is_new: bool = False
    """Whether it was not on the list in the dry run before."""
    is_owed: bool = False
    """Whether the closing ledger of its wave waits for its outcome."""
    said_since: dt.datetime | None = None
    """The moment since which an outcome counts: of a rejected post that of its release; None for any moment."""

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.sheet is not None and not self.done


class Went(StrEnum):
    """Why a post is no longer on a unit's list."""

    CLOSED = "closed"
    """PMO no longer has it among the posts that wait."""
    MIGRATES = "migrates"
    MOVED = "moved"
    """Another unit has it."""
    RELEASED = "released"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True)
class Gone:
    """A post that was on the list during the last week, and is not any more."""

    post_id: int
    list_name: str | None
    boka_fore: dt.date | None
    """As they were when the post was last on the list."""
    sheet: str
    rule: str | None
    last_seen: dt.date
    """The as-of date of the last dry run in which it was on the list."""
    went: Went


@dataclass(frozen=True, slots=True)
class AfterRelease:
    """What some batches, and the receiver, say of the posts in Millennium."""

    changes: Mapping[str, Mapping[int, str]]
    """By batch and post, the names of the columns that PMO has changed."""
    gone: Mapping[str, Sequence[sa.Row[Any]]]
    """By batch, the unit's posts that PMO no longer has, as they were released."""
    rejected: Mapping[int, dt.datetime]
    """The posts that the receiver has rejected, each with the moment of its release."""


def read_after_release(
    connection: sa.Connection, batch_ids: Sequence[str], units: Mapping[str, Any], *, only: int | None = None
) -> AfterRelease:
    """Read what some batches, and the receiver, say of the posts in Millennium.

    Args:
        connection: a connection from ``reading``.
        batch_ids: the batches.
        units: as for ``read_posts``.
        only: the post that is wanted; None for all of them.
    """
    changes, rejected = _changes(connection, batch_ids), _rejected(connection)
    return AfterRelease(changes, _gone(connection, batch_ids, units, only), rejected)


def read_posts(
    connection: sa.Connection,
    batch_id: str,
    units: Mapping[str, Any],
    entries: Mapping[int, Sequence[Entry]],
    *,
    only: int | None = None,
) -> list[Post]:
    """Return the unit's posts in a batch, by post id, with the released ones that PMO no longer has.

    Args:
        connection: a connection from ``reading``.
        batch_id: the batch.
        units: the spellings of the unit (``units``), and whether posts without a unit are its own (``with_null``).
        entries: what has been said in the unit's name, by post.
        only: the post that is wanted; None for all of them.
    """
    rows = read_rows(connection, batch_id, units, only=only)
    return posts_of(batch_id, rows, read_after_release(connection, [batch_id], units, only=only), entries)


def posts_of(
    batch_id: str, rows: Sequence[UnitRow], after: AfterRelease, entries: Mapping[int, Sequence[Entry]]
) -> list[Post]:
    """Return the unit's posts in a batch as ``read_posts`` does, of what has been read.

    Args:
        batch_id: the batch.
        rows: the unit's rows in it.
        after: what it says of the posts in Millennium.
        entries: as for ``read_posts``.
    """
    posts = _posts(rows, after, after.changes.get(batch_id, {}), entries)
    known = {row.post_id for row in rows}
    gone = [row for row in after.gone.get(batch_id, ()) if row.post_id not in known]
    return posts + [_released(row, entries) for row in gone]


def _posts(
    rows: Iterable[UnitRow],
    after: AfterRelease,
    changes: Mapping[int, str],
    entries: Mapping[int, Sequence[Entry]],
) -> list[Post]:
    return [_post(row, changes.get(row.post_id), entries, after.rejected.get(row.post_id)) for row in rows]


def with_owed(posts: Sequence[Post], owed: Mapping[int, Owed], entries: Mapping[int, Sequence[Entry]]) -> list[Post]:
    """Return the unit's posts with those for whose outcome the closing ledger waits, wherever they are now.

    A post that migrates waits for its release, and gets no form, unless it was released after the dry run and rejected.
    Every other one that the ledger waits for has a form: also one for which nothing else is left to do, and one that is
    not at the unit any more. So the unit's page has as many of them as the ledger counts.

    Args:
        posts: as ``read_posts`` returns them.
        owed: as ``ledger.read_owed`` returns them.
        entries: as for ``read_posts``.
    """
    known = {post.post_id for post in posts}
    found = [
        _owed(post, owed[post.post_id]) if post.post_id in owed and not owed[post.post_id].has_outcome else post
        for post in posts
    ]
    absent = (one for post_id, one in sorted(owed.items()) if post_id not in known)
    return found + [_absent(one, current(entries.get(one.post_id, ()), since=one.since)) for one in absent]


def _owed(post: Post, owed: Owed) -> Post:
    if post.disposition == Disposition.MIGRATE and owed.why != REJECTED:
        return replace(post, is_owed=True, goes_away=post.goes_away or WORK_LIST_OWED_MIGRATES)
    sheet = _sheet_of(owed.why)
    may = tuple(dict.fromkeys((*_may(sheet), *post.may)))
    # What has been said does not count, or is no outcome: the form is shown in its place.
    return replace(
        post, sheet=post.sheet or sheet.value, done=False, said=None, may=may, is_owed=True, said_since=owed.since
    )


def _absent(owed: Owed, holds: Current) -> Post:
    """Return a post that the unit has no longer in PMO, as it was when its wave was released."""
    sheet, said = _sheet_of(owed.why), holds.outcome if owed.has_outcome else None
    return Post(
        post_id=owed.post_id,
        list_name=None,
        boka_from=None,
        boka_fore=owed.boka_fore,
        disposition=Disposition.ALREADY_RELEASED.value if owed.why == REJECTED else owed.why,
        recommended_list=None,
        rules=(),
        action=WORK_LIST_OWED,
        sheet=sheet.value,
        goes_away=WORK_LIST_OWED_GOES_AWAY,
        said=None if said is None else Said(said.outcome.value, said.entry_no, said.at, said.actor, said.word),
        done=said is not None,
        may=() if said else _may(sheet),
        is_owed=not owed.has_outcome,
        said_since=owed.since,
    )


def _sheet_of(why: str) -> Sheet:
    """Return the kind of action for a reason of the closing ledger; its dispositions have the sheets' names."""
    return Sheet.REJECTED_BY_MILLENNIUM if why == REJECTED else Sheet(why)


def week_before(nights: Sequence[DryRun]) -> tuple[DryRun, ...]:
    """Return those of some nights that are within the week before the last one, without it."""
    return tuple(night for night in nights[:-1] if nights[-1].as_of - night.as_of <= WEEK)


def read_gone(
    connection: sa.Connection,
    nights: Sequence[DryRun],
    rows: UnitRows,
    now: Mapping[int, Post],
    *,
    after: AfterRelease,
    entries: Mapping[int, Sequence[Entry]],
) -> tuple[Gone, ...]:
    """Return the posts that were on the list during the week before the last night, and are not any more.

    Args:
        connection: a connection from ``reading``.
        nights: as ``since.nights_to_compare`` returns them.
        rows: the unit's rows in them.
        now: the unit's posts in the last night.
        after: what the nights of ``week_before`` say of the posts in Millennium.
        entries: as for ``read_posts``.

    Returns:
        The posts, the latest gone first, then by post id.
    """
    if not nights:
        return ()
    listed = {post_id for post_id, post in now.items() if post.sheet is not None}
    gone: dict[int, Gone] = {}
    for night in reversed(week_before(nights)):
        for post in _listed(night, rows.of(night), after, listed | gone.keys(), entries):
            went = _went(now.get(post.post_id))
            gone[post.post_id] = Gone(
                post.post_id, post.list_name, post.boka_fore, str(post.sheet), post.rule, night.as_of, went
            )
    latest = nights[-1].batch_id
    moved = _elsewhere(connection, latest, [post.post_id for post in gone.values() if post.post_id not in now])
    told = (replace(post, went=Went.MOVED) if post.post_id in moved else post for post in gone.values())
    return tuple(sorted(told, key=lambda post: (-post.last_seen.toordinal(), post.post_id)))


def _listed(
    night: DryRun,
    rows: Sequence[UnitRow],
    after: AfterRelease,
    but: Collection[int],
    entries: Mapping[int, Sequence[Entry]],
) -> list[Post]:
    """Return the posts that were on the list in a night; without some."""
    changes = after.changes.get(night.batch_id, {})
    # Most posts migrate, and nothing has been said of them.
    told = {*changes, *after.rejected, *entries}
    found = [
        row
        for row in rows
        if (row.findings or row.disposition not in _QUIET or row.post_id in told) and row.post_id not in but
    ]
    known = {row.post_id for row in rows}
    gone = [row for row in after.gone.get(night.batch_id, ()) if row.post_id not in known and row.post_id not in but]
    posts = _posts(found, after, changes, entries) + [_released(row, entries) for row in gone]
    return [post for post in posts if post.sheet is not None]


def read_reasons(connection: sa.Connection, post_ids: Sequence[int]) -> dict[int, str]:
    """Return the receiver's reason for each of some posts that it rejected last; personal data."""
    found = reasons().subquery()
    query = sa.select(found).where(found.c.post_id.in_(post_ids))
    return {post_id: reason_line(reason) for post_id, reason in connection.execute(query)}


def with_reason(post: Post, reason: str, *, protected: bool) -> Post:
    """Return a post that the receiver rejected with its reason, which a protected identity keeps hidden."""
    advice = advise_rejected(reason, Withheld.PROTECTED if protected else None)
    return replace(post, action=advice.action)


def urgency(post: Post) -> tuple[int, dt.date, dt.date, int]:
    """Return a post's place when the most urgent comes first.

    First the released posts whose patient has to be looked at, then what else is wrong in Millennium, then posts
    without both dates, then by Boka före. Posts for which no patient waits come last.
    """
    if post.comes_first:
        rank = -1
    elif post.sheet in _IN_MILLENNIUM:
        rank = 0
    elif post.sheet in _NO_PATIENT_WAITS or post.sheet is None:
        rank = 3
    else:
        rank = 1 if post.boka_from is None or post.boka_fore is None else 2
    return rank, post.boka_fore or dt.date.min, post.boka_from or dt.date.min, post.post_id


def _post(
    row: UnitRow,
    change: str | None,
    entries: Mapping[int, Sequence[Entry]],
    rejected: dt.datetime | None,
) -> Post:
    """Return a post of a batch; ``rejected`` is the moment of the release that the receiver rejected."""
    disposition = Disposition(row.disposition)
    advice: Advice | None
    if rejected is not None:
        advice = advise_rejected("", Withheld.WITHOUT_PERSONS)
    else:
        advice = advise(disposition, row.findings) if change is None else advise_change("changed", change)
    rules = tuple([finding.rule for finding in row.findings])
    return _with_statement(
        Post(
            post_id=row.post_id,
            list_name=row.kategori,
            boka_from=row.boka_from,
            boka_fore=row.boka_fore,
            disposition=disposition.value,
            recommended_list=row.recommended_list if advice and advice.recommends else None,
            rules=rules,
            action=advice.action if advice else DISPOSITION_TEXTS[disposition].action,
            about=rules if change is None else _columns(change, row),
            said_since=rejected,
        ),
        advice,
        current(entries.get(row.post_id, ()), since=rejected),
    )


def _released(row: sa.Row[Any], entries: Mapping[int, Sequence[Entry]]) -> Post:
    advice = advise_change("gone", row.columns)
    return _with_statement(
        Post(
            post_id=row.post_id,
            list_name=row.besokstyp,
            boka_from=row.begart_startdatum,
            boka_fore=row.begart_slutdatum,
            disposition=Disposition.ALREADY_RELEASED.value,
            recommended_list=None,
            rules=(),
            action=advice.action,
            about=("gone",),
        ),
        advice,
        current(entries.get(row.post_id, ())),
    )


def _with_statement(post: Post, advice: Advice | None, holds: Current) -> Post:
    """Return a post with the kind of action, what makes it go away and what has been said of it."""
    if advice is None and holds == _NOTHING:
        return post
    outcome = holds.outcome if holds.outcome and holds.outcome.outcome in BY_PEOPLE else None
    sheet = advice.sheet if advice else None
    action, said, done = post.action, holds.outcome, False
    may: tuple[str, ...] = ()
    if outcome is not None and post.disposition == Disposition.MIGRATE:
        # Migrated all the same, the patient would be called twice, or called although dead.
        sheet, action = Sheet.CHECK, "\n".join((WORK_LIST_MIGRATES_ANYWAY, *([post.action] if advice else [])))
    elif sheet in _TO_CHECK:
        said = holds.mark if holds.has_checked(post.about) else None
        done, may = said is not None, () if said else (PostOutcome.CHECKED.value,)
    elif sheet is not None and sheet not in _SEEN_BY_THE_RUN:
        done, may = outcome is not None, () if outcome else _may(sheet)
    return replace(
        post,
        action=action,
        sheet=None if sheet is None else sheet.value,
        rule=advice.rule.value if advice and advice.rule else None,
        goes_away="" if sheet is None else WORK_LIST_GOES_AWAY[sheet],
        comes_first=advice is not None and advice.comes_first,
        said=None if said is None else Said(said.outcome.value, said.entry_no, said.at, said.actor, said.word),
        done=done,
        may=may,
    )


def _may(sheet: Sheet) -> tuple[str, ...]:
    first = _BOOKED_FIRST.get(sheet)
    return tuple(outcome.value for outcome in sorted(BY_PEOPLE, key=lambda outcome: outcome is not first))


def _columns(change: str, row: UnitRow) -> tuple[str, ...]:
    """Return what there is to look at of a changed post: a date that changes once more has not been looked at."""
    days = {"begart_startdatum": row.boka_from, "begart_slutdatum": row.boka_fore}
    names = filter(None, change.split(", "))
    return tuple(f"{name}={days[name]}" if name in days else name for name in names) or ("changed",)


def _went(post: Post | None) -> Went:
    if post is None:
        return Went.CLOSED
    match Disposition(post.disposition):
        case Disposition.MIGRATE:
            return Went.MIGRATES
        case Disposition.ALREADY_RELEASED:
            return Went.RELEASED
        case _:
            return Went.CORRECTED


def _changes(connection: sa.Connection, batch_ids: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return by batch the names of the columns that PMO has changed, for posts that are in Millennium."""
    change, released = schema.released_change, still_released()
    query = (
        sa.select(change.c.batch_id, change.c.post_id, change.c.columns)
        .join(released, released.c.post_id == change.c.post_id)
        .where(change.c.batch_id.in_(batch_ids), change.c.change == "changed")
    )
    found: dict[str, dict[int, str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.batch_id, {})[row.post_id] = row.columns
    return found


def _rejected(connection: sa.Connection) -> dict[int, dt.datetime]:
    """Return the released posts that the receiver has rejected, each with the moment of its release.

    The receiver's reason is personal data, and is not read here.
    """
    post = rejected_posts().subquery()
    return {row.post_id: row.released_at for row in connection.execute(sa.select(post.c.post_id, post.c.released_at))}


def _gone(
    connection: sa.Connection, batch_ids: Sequence[str], units: Mapping[str, Any], only: int | None
) -> dict[str, list[sa.Row[Any]]]:
    """Return by batch the unit's posts in Millennium that PMO no longer has, as they were released."""
    change, released, numbers = schema.released_change, still_released(), held_numbers(connection)
    request, post = schema.bokningsbegaran_row, schema.disposition_row
    query = (
        sa.select(
            change.c.batch_id,
            change.c.post_id,
            change.c.columns,
            request.c.besokstyp,
            request.c.begart_startdatum,
            request.c.begart_slutdatum,
        )
        .join(released, released.c.post_id == change.c.post_id)
        # Retention may have removed the rows of the batch that released it: then its unit is not known.
        .join(post, row_of(post, change.c.post_id, released.c.batch_no, numbers), isouter=True)
        .join(request, row_of(request, change.c.post_id, released.c.batch_no, numbers), isouter=True)
        .where(change.c.batch_id.in_(batch_ids), change.c.change == "gone", of_unit(units, post))
        .order_by(change.c.post_id)
    )
    found: dict[str, list[sa.Row[Any]]] = {}
    rows: sa.CursorResult[Any] = connection.execute(query if only is None else query.where(change.c.post_id == only))
    for row in rows:
        found.setdefault(row.batch_id, []).append(row)
    return found


def _elsewhere(connection: sa.Connection, batch_id: str, post_ids: Sequence[int]) -> set[int]:
    """Return which posts a batch has, at any unit."""
    post = schema.disposition.c
    found: set[int] = set()
    for first in range(0, len(post_ids), _AT_ONCE):
        some = post_ids[first : first + _AT_ONCE]
        found |= set(
            connection.scalars(sa.select(post.post_id).where(post.batch_id == batch_id, post.post_id.in_(some)))
        )
    return found
