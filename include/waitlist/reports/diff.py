"""The differences between two batches of the same posts: after a change of mapping files, or on two days.

    python -m waitlist.reports.diff --staging URL A B [--posts]

It counts the posts by disposition before and after, by rule, and those that only one batch has. With ``--posts`` it
names the post ids as well.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from waitlist.command_line import add_staging, staging_url
from waitlist.exceptions import RefusedError, WaitlistError
from waitlist.judge.rules import RULES, Disposition
from waitlist.settings import Settings
from waitlist.staging import READABLE, Batch, StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.swedish.formats import number
from waitlist.swedish.words import DISPOSITION_LABELS, rule_label

APPEARED: Final = "appeared"
DISAPPEARED: Final = "disappeared"

_DISPOSITIONS: Final = [disposition.value for disposition in Disposition]
_RULES: Final = [code.value for code in RULES]
_READ_ROWS: Final = 20_000
_WIDTH_OF_A_FILE: Final = 100
_REWRITTEN: Final = "migreras i båda, med ändrad bokningsbegäran"


@dataclass(frozen=True, slots=True)
class Move:
    """Posts with one disposition before and one after; None where the post is not in that batch."""

    before: str | None
    after: str | None
    posts: int


@dataclass(frozen=True, slots=True)
class RuleDifference:
    """How many posts of both batches have a rule's finding only after, and how many only before."""

    rule: str
    appeared: int
    disappeared: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences between two batches."""

    before: Batch
    after: Batch
    moves: tuple[Move, ...]
    """Every pair of dispositions that occurs, in the domain's order; also pairs of two equal ones."""
    rewritten: int
    """Posts that migrate in both batches, with different booking requests."""
    rules: tuple[RuleDifference, ...]
    """Rules that differ, in the domain's order."""


def read_difference(store: StagingStore, before: str, after: str) -> Difference:
    """Compare two batches in the database.

    Raises:
        StagingError: a batch is unknown, does not count for readers, or retention has removed its rows.
    """
    with refusals_named(f"comparing batches {before} and {after}"), store.database.connected() as connection:
        batches = [_comparable(store, connection, batch_id) for batch_id in (before, after)]
        pairs, rules = _pairs(before, after).subquery(), _rules(before, after).subquery()
        moved = connection.execute(
            sa.select(pairs.c.before, pairs.c.after, sa.func.count()).group_by(pairs.c.before, pairs.c.after)
        )
        moves = sorted((Move(*row) for row in moved), key=lambda move: (_position(move.before), _position(move.after)))
        rewritten = connection.scalar(sa.select(sa.func.count()).select_from(_rewritten(before, after).subquery()))
        found: dict[str, dict[str, int]] = {}
        for rule, change, posts in connection.execute(
            sa.select(rules.c.rule, rules.c.change, sa.func.count()).group_by(rules.c.rule, rules.c.change)
        ):
            found.setdefault(rule, {})[change] = posts
    differing = tuple(
        RuleDifference(rule, counts.get(APPEARED, 0), counts.get(DISAPPEARED, 0))
        for rule, counts in sorted(found.items(), key=lambda item: _RULES.index(item[0]))
    )
    return Difference(batches[0], batches[1], tuple(moves), int(rewritten or 0), differing)


def post_ids(store: StagingStore, before: str, after: str) -> Iterator[tuple[str, Iterator[int]]]:
    """Yield a Swedish heading for each kind of difference, with its posts in the order of ``post_id``.

    The posts of a heading must be read before the next heading.

    Raises:
        StagingError: the database refused.
    """
    pairs, rules = _pairs(before, after).subquery(), _rules(before, after).subquery()
    moved = sa.or_(pairs.c.before.is_(None), pairs.c.after.is_(None), pairs.c.before != pairs.c.after)
    asked: list[tuple[sa.Select[Any], Callable[..., str]]] = [
        (sa.select(pairs.c.before, pairs.c.after, pairs.c.post_id).where(moved), _move_title),
        (_rewritten(before, after), _REWRITTEN.capitalize),
        (sa.select(rules.c.rule, rules.c.change, rules.c.post_id), _rule_title),
    ]
    with refusals_named(f"comparing batches {before} and {after}"), store.database.connected() as connection:
        streaming = connection.execution_options(stream_results=True, yield_per=_READ_ROWS)
        for query, title in asked:
            ordered = query.order_by(*query.selected_columns)
            for key, rows in groupby(streaming.execute(ordered), key=lambda row: tuple(row[:-1])):
                yield title(*key), map(itemgetter(-1), rows)


def _comparable(store: StagingStore, connection: sa.Connection, batch_id: str) -> Batch:
    batch = store.batch(batch_id)
    if batch.state not in READABLE:
        raise RefusedError(f"batch {batch_id} is {batch.state}: it can be compared only once it is verified")
    table = schema.disposition
    there = connection.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.batch_id == batch_id))
    if there != batch.posts_extracted:
        raise RefusedError(f"batch {batch_id} has only its counts: retention has removed its posts")
    return batch


def _pairs(before: str, after: str) -> sa.CompoundSelect[Any]:
    # SQLite reads a view on the right of an outer join as a whole.
    a, b = schema.disposition_row.alias("a"), schema.disposition_row.alias("b")
    in_before, in_after = a.c.batch_no == schema.number_of(before), b.c.batch_no == schema.number_of(after)
    same = b.c.post_id == a.c.post_id
    nothing = sa.cast(sa.null(), a.c.disposition.type)
    with_both = (
        sa.select(a.c.post_id, a.c.disposition.label("before"), b.c.disposition.label("after"))
        .select_from(a.outerjoin(b, sa.and_(in_after, same)))
        .where(in_before)
    )
    added = sa.select(b.c.post_id, nothing.label("before"), b.c.disposition.label("after")).where(
        in_after, ~sa.exists().where(in_before, same)
    )
    return sa.union_all(with_both, added)


def _rewritten(before: str, after: str) -> sa.Select[Any]:
    a, b = schema.bokningsbegaran.alias("a"), schema.bokningsbegaran.alias("b")
    return (
        sa.select(a.c.post_id)
        .select_from(a.join(b, sa.and_(b.c.batch_id == after, b.c.post_id == a.c.post_id)))
        .where(a.c.batch_id == before, a.c.row_hash != b.c.row_hash)
    )


def _rules(before: str, after: str) -> sa.CompoundSelect[Any]:
    def only(here: str, there: str, change: str) -> sa.Select[Any]:
        found, other, post = schema.finding.alias("f"), schema.finding.alias("o"), schema.disposition.alias("p")
        return sa.select(found.c.post_id, found.c.rule, sa.literal(change, sa.Unicode).label("change")).where(
            found.c.batch_id == here,
            sa.exists().where(post.c.batch_id == there, post.c.post_id == found.c.post_id),
            ~sa.exists().where(
                other.c.batch_id == there, other.c.post_id == found.c.post_id, other.c.rule == found.c.rule
            ),
        )

    return sa.union_all(only(after, before, APPEARED), only(before, after, DISAPPEARED))


def _position(disposition: str | None) -> int:
    return len(_DISPOSITIONS) if disposition is None else _DISPOSITIONS.index(disposition)


def _move_title(before: str | None, after: str | None) -> str:
    return f"{_label(before)} → {_label(after)}"


def _rule_title(rule: str, change: str) -> str:
    return f"{rule_label(rule)} ({rule}), {'ny' if change == APPEARED else 'borta'}"


def _label(disposition: str | None) -> str:
    return "Finns inte" if disposition is None else DISPOSITION_LABELS[disposition]


def render(difference: Difference) -> RenderableType:
    """Return the difference for a terminal, in Swedish."""
    before, after = difference.before, difference.after
    parts: list[RenderableType] = [
        Text(f"Skillnad mellan två körningar, per {before.as_of} och per {after.as_of}", style="bold"),
        Text(f"Före:  {before.batch_id}\nEfter: {after.batch_id}", style="dim"),
        "",
        _table("Poster per disposition", ("Före", "Efter"), ("Poster",), _move_rows(difference)),
    ]
    if difference.rules:
        rows = (
            (rule_label(rule.rule), rule.rule, number(rule.appeared), number(rule.disappeared))
            for rule in difference.rules
        )
        title = "Anmärkningar på poster som finns i båda"
        parts += ["", _table(title, ("Anmärkning", "Regel"), ("Nya", "Borta"), rows)]
    return Group(*parts)


def _move_rows(difference: Difference) -> Iterator[tuple[str, ...]]:
    for move in difference.moves:
        if move.before != move.after:
            yield _label(move.before), _label(move.after), number(move.posts)
    same = sum(move.posts for move in difference.moves if move.before == move.after)
    yield "Samma disposition i båda", "", number(same)
    yield f"- varav {_REWRITTEN}", "", number(difference.rewritten)


def _table(title: str, texts: Sequence[str], counts: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, title=Text(title, style="bold"), title_justify="left")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in counts:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def main(arguments: Sequence[str] | None = None, *, staging: str | None = None) -> int:
    """Print the difference; return 0, or 1 with the reason on standard error.

    Args:
        arguments: the command line's arguments; None: this process's own.
        staging: the staging database's SQLAlchemy URL where the command line has none; None: the environment's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.reports.diff", description="Print how two batches differ."
    )
    add_staging(parser)
    parser.add_argument("--posts", action="store_true", help="name the posts as well, by post id")
    parser.add_argument("before", metavar="A", help="the batch to compare with")
    parser.add_argument("after", metavar="B", help="the batch that is compared")
    given = parser.parse_args(arguments)
    console = Console()
    console = Console(width=None if console.is_terminal else _WIDTH_OF_A_FILE)
    try:
        store = StagingStore(staging_url(parser, given, staging), connections=Settings.read().connections)
        console.print(render(read_difference(store, given.before, given.after)))
        if given.posts:
            for title, posts in post_ids(store, given.before, given.after):
                console.print(Text(f"\n{title}", style="bold"))
                for post_id in posts:
                    console.out(post_id, highlight=False)
    except WaitlistError as error:
        Console(stderr=True).print(Text(str(error)), soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
