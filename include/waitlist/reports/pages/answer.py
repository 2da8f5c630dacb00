"""The answer to a what-if question about a go-live: would the wave or the unit then be ready in time?"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from waitlist.facts.mappings import Mappings
from waitlist.reports.pages.history import dry_runs, runs_of_pace, unit_names, unit_trends
from waitlist.reports.pages.projection import pace


@dataclass(frozen=True, slots=True)
class UnitAnswer:
    """A unit under the proposed go-live."""

    key: str
    name: str
    left: int
    """Posts that would be left to handle."""
    clean_on: dt.date | None
    """When none are left at the present pace; None where they do not decrease, or there is no pace."""
    makes_it: bool | None
    """Whether that is before the go-live; None where there are too few dry runs for a pace."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All units of the question."""

    go_live: dt.date | None
    units: int
    makes_it: bool | None
    """Whether all make it; None where one of them has too few dry runs and no other is late."""
    clean_on: dt.date | None
    """When the last of them has no posts left; None where one has no date."""
    late: tuple[UnitAnswer, ...]
    """Those that do not make it, the ones with most posts left first."""
    unsure: tuple[UnitAnswer, ...]
    """Those that have too few dry runs for a pace."""


def read_answer(
    connection: sa.Connection,
    mappings: Mappings,
    units: Sequence[str],
    go_live: dt.date | None,
    left: Mapping[str, int],
) -> Answer | None:
    """Say whether some units would be ready before another go-live, each at its present pace.

    Args:
        connection: a connection from ``reading``.
        mappings: names of the units.
        units: HSA-ids of the question.
        go_live: the proposed one; None: no go-live.
        left: posts that would be left to handle, by HSA-id; units without posts may be missing.

    Returns:
        The answer; None where no unit of the question has posts.

    Raises:
        NoBatchError: no dry run counts for readers yet.
    """
    runs = dry_runs(connection)
    spelled = unit_names(connection, runs, mappings)
    names = {key: spelled[key] for key in units if key in spelled}
    if not names:
        return None
    today = runs[-1].as_of
    found = []
    for key, trend in unit_trends(connection, runs_of_pace(runs), names).items():
        posts = left.get(key, 0)
        own = pace(trend)
        days = 0 if not posts else None if own is None else replace(own, now=posts).days_to_zero(own.middle)
        clean_on = None if days is None else today + dt.timedelta(days=days)
        makes_it = (
            None if own is None and posts else clean_on is not None and go_live is not None and clean_on < go_live
        )
        if go_live is None or go_live <= today:
            makes_it = False
        found.append(UnitAnswer(key, mappings.name_of(key), posts, clean_on, makes_it))
    found.sort(key=lambda unit: (-unit.left, unit.name))
    late = tuple(unit for unit in found if unit.makes_it is False)
    unsure = tuple(unit for unit in found if unit.makes_it is None)
    dates = [unit.clean_on for unit in found if unit.clean_on is not None]
    return Answer(
        go_live=go_live,
        units=len(found),
        makes_it=False if late else None if unsure else True,
        clean_on=max(dates) if len(dates) == len(found) else None,
        late=late,
        unsure=unsure,
    )
