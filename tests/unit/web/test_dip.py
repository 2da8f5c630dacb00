"""The weeks after go-live: how many posts must be booked before, so that the rest fit."""

from itertools import product

import pytest

from waitlist.reports.pages.dip import must_be_booked_before


@pytest.mark.parametrize(
    ("weeks", "visits", "before"),
    [
        ((3, 3, 3), 3, 0),
        ((5, 1, 0), 3, 2),
        # A later week may be booked early, an early week may not be booked late.
        ((0, 6, 0), 3, 0),
        ((0, 7, 0), 3, 1),
        ((6, 0, 6), 3, 3),
        ((1, 1, 1), 0, 3),
    ],
)
def test_a_post_may_be_booked_early_and_never_late(weeks: tuple[int, ...], visits: int, before: int) -> None:
    assert must_be_booked_before(weeks, visits) == before


def _fits(weeks: tuple[int, ...], visits: int) -> bool:
    """Book the posts that fall due first, week by week; a post that is not booked by its own week does not fit."""
    due = [week for week, posts in enumerate(weeks) for _ in range(posts)]
    return all(place // visits <= week for place, week in enumerate(due)) if visits else not due


@pytest.mark.parametrize("weeks", list(product(range(4), repeat=3)))
@pytest.mark.parametrize("visits", range(4))
def test_with_so_many_booked_before_the_rest_fit_and_with_fewer_they_do_not(
    weeks: tuple[int, ...], visits: int
) -> None:
    before = must_be_booked_before(weeks, visits)
    taken = [list(weeks)]
    for _ in range(before):
        # The ones that fall due first are booked before go-live.
        rest = list(taken[-1])
        rest[next(place for place, posts in enumerate(rest) if posts)] -= 1
        taken.append(rest)
    assert _fits(tuple(taken[before]), visits)
    assert not before or not _fits(tuple(taken[before - 1]), visits)
