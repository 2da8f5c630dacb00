"""Återlämning: what must return of a batch that a receiver may have, by unit and post, without patients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from waitlist.release.backout import ToDo, read_backout
from waitlist.release.receipts.words import Answer
from waitlist.reports.backout.files import changed_text
from waitlist.reports.pages.paging import Paging
from waitlist.reports.pages.reading import UnknownError, reading
from waitlist.staging import FOLLOWED, Batch, EventName, StagingStore
from waitlist.staging.events import read_events
from waitlist.staging.store import find_batch

ROWS: Final = 50


@dataclass(frozen=True, slots=True)
class ShownUnit:
    """A unit and its counts."""

    hsa_id: str
    """Empty for posts without a unit."""
    name: str
    to_do: Mapping[ToDo, int]
    changed: int


@dataclass(frozen=True, slots=True)
class ShownPost:
    """A post."""

    post_id: int
    hsa_id: str
    unit: str
    boka_fore: date
    to_do: ToDo
    answer: Answer
    booked_for: date | None
    changed: str
    """What PMO has changed, in words."""


@dataclass(frozen=True, slots=True)
class BackOutPage:
    """The page."""

    batch: Batch
    left: Mapping[ToDo, int]
    units: tuple[ShownUnit, ...]
    posts: tuple[ShownPost, ...]
    """A part of the posts that are not confirmed, by unit."""
    paging: Paging
    compared: date | None
    """The as-of date of the dry run that says what PMO has changed; None where none has read PMO since."""
    purged: bool
    """Retention has removed its rows, so the files cannot be made."""


def read_backout_page(store: StagingStore, batch_id: str, names: Callable[[str], str], page: int) -> BackOutPage:
    """Read the page.

    Args:
        store: the staging database.
        batch_id: the batch.
        names: returns the name of a unit by its HSA-id.
        page: the page of the list of posts.

    Raises:
        UnknownError: there is no such batch, or no receiver may have it.
        NoBatchError, StagingError: see ``reading``.
    """
    with reading(store, f"reading what must return of batch {batch_id}") as connection:
        batch = find_batch(connection, batch_id)
        if batch is None or batch.state not in FOLLOWED:
            raise UnknownError(f"no receiver may have batch {batch_id}")
        found = read_backout(connection, batch)
        purged = any(event.event is EventName.PURGED for event in read_events(connection, batch_id))
    left = [post for post in found.posts if post.to_do is not ToDo.NOTHING]
    paging = Paging.of(page, ROWS, len(left))
    return BackOutPage(
        batch,
        {kind: found.left(kind) for kind in ToDo},
        tuple(ShownUnit(unit.unit, names(unit.unit), unit.to_do, unit.changed) for unit in found.units),
        tuple(
            ShownPost(
                post.post_id, post.unit, names(post.unit), post.boka_fore, post.to_do, post.answer, post.booked_for,
                changed_text(post),
            )
            for post in left[paging.offset : paging.offset + ROWS]
        ),
        paging,
        None if found.compared_with is None else found.compared_with.as_of,
        purged,
    )  # fmt: skip
