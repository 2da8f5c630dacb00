"""How many posts must be compared, and how many of a batch may still be at fault: the hypergeometric distribution.

Everything is whole numbers and exact fractions. A float near the limit could be on the wrong side of it.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, comb
from typing import Final

DOUBT: Final = Fraction(1, 20)
"""What is less likely than this is excluded: 95 % confidence."""


def too_many(posts: int, share: Fraction) -> int:
    """Return the number of faulty posts that a sample has to exclude: the share of the posts, rounded up."""
    return ceil(share * posts)


def chance_of_at_most(found: int, *, posts: int, faulty: int, drawn: int) -> Fraction:
    """Return the probability that a simple random sample has at most so many faulty posts.

    Args:
        found: the most faulty posts in the sample.
        posts: posts in the batch.
        faulty: faulty posts in the batch.
        drawn: posts in the sample.

    Raises:
        ValueError: more posts are faulty or drawn than there are.
    """
    if not 0 <= faulty <= posts or not 0 <= drawn <= posts:
        raise ValueError("more posts are faulty or drawn than there are")
    right = posts - faulty
    least, most = max(0, drawn - right), min(found, faulty, drawn)
    if most < least:
        return Fraction(0)
    ways = comb(faulty, least) * comb(right, drawn - least)
    counted = ways
    for hits in range(least, most):
        # The next number of samples from the one before: the division leaves no rest.
        ways = ways * (faulty - hits) * (drawn - hits) // ((hits + 1) * (right - drawn + hits + 1))
        counted += ways
    return Fraction(counted, comb(posts, drawn))


def smallest_sample(posts: int, share: Fraction, found: int = 0) -> int | None:
    """Return the smallest sample that excludes that the share of the posts, or more, is faulty.

    Args:
        posts: posts in the batch.
        share: the share of faulty posts to exclude.
        found: faulty posts in the sample.

    Returns:
        its size; None where even all posts would not exclude it: so many have been found.
    """
    faulty = too_many(posts, share)
    if found >= faulty:
        return None if posts else 0

    def excludes(drawn: int) -> bool:
        return chance_of_at_most(found, posts=posts, faulty=faulty, drawn=drawn) <= DOUBT

    # The answer is near the lower end: a search by halves would begin with the largest numbers.
    high = 1
    while high < posts and not excludes(high):
        high = min(high * 2, posts)
    return _first(high // 2, high, excludes)


def most_faulty(posts: int, drawn: int, found: int) -> int:
    """Return the largest number of faulty posts in the batch that a sample does not exclude.

    Args:
        posts: posts in the batch.
        drawn: posts in the sample.
        found: faulty posts in the sample.

    Raises:
        ValueError: more are found than drawn, or more drawn than there are.
    """
    if not 0 <= found <= drawn <= posts:
        raise ValueError("more posts are found than drawn, or more drawn than there are")

    # So many are right that were seen: one more faulty post is impossible, and in this way excluded.
    impossible = posts - (drawn - found) + 1

    def excluded(faulty: int) -> bool:
        return faulty == impossible or chance_of_at_most(found, posts=posts, faulty=faulty, drawn=drawn) <= DOUBT

    return _first(found, impossible, excluded) - 1


def share_up(part: int, whole: int) -> Fraction:
    """Return a share in per cent, rounded up to one decimal; 0 where the whole is 0."""
    return Fraction(ceil(Fraction(1000 * part, whole)), 10) if whole else Fraction(0)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number from ``low`` on for which a condition holds that goes on to hold; at ``high`` it does."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
