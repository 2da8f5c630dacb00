"""Which posts are compared: they follow from the rows alone, every unit and group at risk has its looks."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from waitlist.judge.rules import Code
from waitlist.release.sample.drawing import AT_RISK, LOOKS, UNIT, Drawn, Frame, draw

marks = st.frozensets(st.sampled_from(AT_RISK), max_size=2)


@st.composite
def frames(given_: st.DrawFn) -> Frame:
    post_ids = sorted(given_(st.sets(st.integers(1, 10_000), min_size=1, max_size=80)))
    hashes = [hashlib.sha256(f"{post} {given_(st.integers(0, 3))}".encode()).hexdigest() for post in post_ids]
    units = [given_(st.sampled_from(["A", "B", "C", ""])) for _ in post_ids]
    marked = {post: found for post in post_ids if (found := given_(marks))}
    return Frame(post_ids, hashes, units, marked)


def ids(drawn: tuple[Drawn, ...]) -> list[int]:
    return [post.post_id for post in drawn]


FRAME = Frame(
    list(range(1, 301)),
    [hashlib.sha256(str(post).encode()).hexdigest() for post in range(1, 301)],
    ["A" if post > 12 else "B" if post > 3 else "C" for post in range(1, 301)],
    {**{post: frozenset({Code.TEXT_CLEANED}) for post in range(100, 140)}, 7: frozenset({Code.PROTECTED_IDENTITY})},
)


def test_the_sample_of_a_known_batch() -> None:
    drawn = draw(FRAME, 10, 10)
    assert FRAME.rows_hash == "2bc2f30ff84015be50a7986e5ae591fe4ccfb29e25b0fcbc202a217b587a4cdd"
    assert ids(drawn) == [
        36, 237, 21, 49, 118, 142, 31, 18, 98, 136, 6, 5, 2, 4, 1, 9, 12, 3, 7, 137, 116, 102,
    ]  # fmt: skip
    aims = {post.post_id: post.aims for post in drawn if post.aims}
    assert aims == {
        **dict.fromkeys((6, 5, 2, 4, 1, 9, 12, 3), (UNIT,)), 7: ("PROTECTED_IDENTITY",),
        **dict.fromkeys((137, 116, 102), ("TEXT_CLEANED",)),
    }  # fmt: skip


@given(frames(), st.integers(0, 30), st.integers(0, 90))
def test_the_same_rows_give_the_same_sample(frame: Frame, smallest: int, size: int) -> None:
    marked = dict(reversed(frame.marks.items()))
    again = Frame(tuple(frame.post_ids), tuple(frame.row_hashes), tuple(frame.units), marked)
    assert draw(frame, smallest, size) == draw(again, smallest, size)


@given(frames(), st.integers(0, 30))
def test_every_unit_and_group_at_risk_has_its_looks(frame: Frame, smallest: int) -> None:
    drawn = draw(frame, smallest, smallest)
    assert len(set(ids(drawn))) == len(drawn)
    assert sum(post.is_random for post in drawn) == min(smallest, len(frame.post_ids))
    looks, there = Counter(post.unit for post in drawn), Counter(frame.units)
    assert all(looks[unit] >= min(LOOKS, posts) for unit, posts in there.items())
    for code in AT_RISK:
        members = {post for post, found in frame.marks.items() if code in found}
        assert len(members & set(ids(drawn))) >= min(LOOKS, len(members))
    for aim in (UNIT, *AT_RISK):
        added = [post for post in drawn if aim in post.aims]
        assert len(added) <= LOOKS * (len(there) if aim == UNIT else 1)
    assert all(post.protected is (Code.PROTECTED_IDENTITY in frame.marks.get(post.post_id, ())) for post in drawn)


@given(frames(), st.integers(0, 30), st.integers(0, 40), st.integers(0, 40))
def test_a_larger_sample_has_every_post_of_a_smaller_one(frame: Frame, smallest: int, more: int, yet_more: int) -> None:
    small, large = draw(frame, smallest, smallest + more), draw(frame, smallest, smallest + more + yet_more)
    assert set(ids(small)) <= set(ids(large))
    random = [post.post_id for post in large if post.is_random]
    assert random[: sum(post.is_random for post in small)] == [post.post_id for post in small if post.is_random]


def test_a_change_of_one_row_gives_another_sample() -> None:
    hashes = list(FRAME.row_hashes)
    hashes[200] = "0" * 64
    other = Frame(FRAME.post_ids, hashes, FRAME.units, FRAME.marks)
    one, two = set(ids(draw(FRAME, 100, 100))), set(ids(draw(other, 100, 100)))
    # So mending the faulty posts of a sample does not keep its other posts.
    assert 15 < len(one & two) < 60


def test_units_and_marks_do_not_change_the_random_part() -> None:
    other = Frame(FRAME.post_ids, FRAME.row_hashes, ["X"] * 300, {})
    assert ids(draw(FRAME, 50, 50))[:50] == ids(draw(other, 50, 50))
