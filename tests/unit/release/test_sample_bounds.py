"""How large a sample has to be, and what it excludes: known values, a second opinion, and what must always hold."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from waitlist.release.sample.bounds import (
    DOUBT,
    chance_of_at_most,
    most_faulty,
    share_up,
    smallest_sample,
    too_many,
)
from waitlist.reports.sample_words import bound_sentence

SHARE = Fraction(2, 100)
batches = st.integers(1, 3_000)
shares = st.fractions(Fraction(1, 200), Fraction(1, 2), max_denominator=1_000)


@pytest.mark.parametrize(
    ("posts", "faulty", "size"),
    [
        (0, 0, 0), (1, 1, 1), (2, 1, 2), (10, 1, 10), (50, 1, 48), (51, 2, 40), (200, 4, 105), (1_000, 20, 138),
        (1_421, 29, 139), (100_000, 2_000, 149), (300_000, 6_000, 149),
    ],
)  # fmt: skip
def test_smallest_sample_by_size_of_the_batch(posts: int, faulty: int, size: int) -> None:
    assert too_many(posts, SHARE) == faulty
    assert smallest_sample(posts, SHARE) == size


@pytest.mark.parametrize(
    ("posts", "found", "size"),
    [(50, 1, None), (51, 1, 50), (200, 1, 150), (200, 3, 198), (200, 4, None), (1_000, 1, 215), (1_000, 3, 342),
     (100_000, 1, 236), (100_000, 3, 385), (300_000, 50, 3_155)],
)  # fmt: skip
def test_size_after_faults(posts: int, found: int, size: int | None) -> None:
    assert smallest_sample(posts, SHARE, found) == size


@pytest.mark.parametrize(
    ("posts", "drawn", "found", "bound"),
    [(1_000, 138, 0, 19), (1_000, 137, 0, 20), (1_000, 138, 1, 32), (50, 48, 0, 0), (50, 47, 0, 1), (50, 50, 3, 3),
     (200, 105, 0, 3), (100_000, 149, 0, 1_989), (1_000, 0, 0, 1_000), (0, 0, 0, 0)],
)  # fmt: skip
def test_largest_number_of_faults_that_is_not_excluded(posts: int, drawn: int, found: int, bound: int) -> None:
    assert most_faulty(posts, drawn, found) == bound


def test_the_bound_in_words() -> None:
    assert bound_sentence(19, 1_000) == "högst 19 av 1 000 fel (1,9 %), med 95 % säkerhet"
    assert bound_sentence(1_989, 100_000) == "högst 1 989 av 100 000 fel (2,0 %), med 95 % säkerhet"
    assert bound_sentence(0, 50) == "högst 0 av 50 fel (0,0 %), med 95 % säkerhet"


def test_a_share_is_rounded_up() -> None:
    assert [share_up(*pair) for pair in ((1, 100_000), (19, 1_000), (1_901, 100_000), (0, 7), (0, 0))] == [
        Fraction(1, 10), Fraction(19, 10), Fraction(2), 0, 0,
    ]  # fmt: skip
    assert too_many(100, Fraction(7, 100)) == 7, "0.07 * 100 is above 7 in floats"
    assert too_many(101, SHARE) == 3


@pytest.mark.parametrize(("posts", "faulty", "drawn"), [(6, 2, 3), (7, 7, 2), (5, 0, 5), (6, 4, 4)])
def test_the_chance_is_what_counting_every_sample_gives(posts: int, faulty: int, drawn: int) -> None:
    samples = [sum(post < faulty for post in sample) for sample in combinations(range(posts), drawn)]
    for found in range(-1, drawn + 1):
        counted = Fraction(sum(hits <= found for hits in samples), len(samples))
        assert chance_of_at_most(found, posts=posts, faulty=faulty, drawn=drawn) == counted


def test_more_faults_than_posts_are_refused() -> None:
    for values in ((5, 6, 1), (5, 1, 6), (5, -1, 1)):
        with pytest.raises(ValueError, match="more posts"):
            chance_of_at_most(0, posts=values[0], faulty=values[1], drawn=values[2])
    for values in ((5, 6, 0), (5, 2, 3), (5, 2, -1)):
        with pytest.raises(ValueError, match="more"):
            most_faulty(*values)


@given(batches, st.data())
def test_the_chance_agrees_with_scipy(posts: int, data: st.DataObject) -> None:
    faulty, drawn = data.draw(st.integers(0, posts)), data.draw(st.integers(0, posts))
    found = data.draw(st.integers(0, drawn))
    exact = chance_of_at_most(found, posts=posts, faulty=faulty, drawn=drawn)
    assert float(exact) == pytest.approx(float(hypergeom.cdf(found, posts, faulty, drawn)), abs=1e-9)


@given(batches, shares, st.integers(0, 3))
def test_the_smallest_sample_is_enough_and_one_less_is_not(posts: int, share: Fraction, found: int) -> None:
    size, faulty = smallest_sample(posts, share, found), too_many(posts, share)
    if size is None:
        assert found >= faulty
        return
    assert chance_of_at_most(found, posts=posts, faulty=faulty, drawn=size) <= DOUBT
    assert chance_of_at_most(found, posts=posts, faulty=faulty, drawn=size - 1) > DOUBT
    if found <= size:
        assert most_faulty(posts, size, found) < faulty


@given(batches, st.data())
def test_the_bound_is_the_last_that_is_not_excluded(posts: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(0, posts))
    found = data.draw(st.integers(0, min(drawn, 5)))
    bound = most_faulty(posts, drawn, found)
    assert found <= bound <= posts - (drawn - found)
    assert chance_of_at_most(found, posts=posts, faulty=bound, drawn=drawn) > DOUBT
    if bound < posts - (drawn - found):
        assert chance_of_at_most(found, posts=posts, faulty=bound + 1, drawn=drawn) <= DOUBT


@given(batches, st.data())
def test_more_looks_never_raise_the_bound_and_more_faults_never_lower_it(posts: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, posts))
    found = data.draw(st.integers(1, min(drawn, 5)))
    assert most_faulty(posts, drawn, found) >= most_faulty(posts, drawn, found - 1)
    if drawn < posts:
        assert most_faulty(posts, drawn + 1, found) <= most_faulty(posts, drawn, found)
    sizes = [smallest_sample(posts, SHARE, hits) for hits in range(4)]
    known = [size for size in sizes if size is not None]
    assert known == sorted(known)
    assert sizes[: len(known)] == known, "once no size is enough, none is for more faults"
