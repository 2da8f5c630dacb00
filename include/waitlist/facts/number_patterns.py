r"""Patterns over numbers of twelve digits, and the list of all numbers that a pattern matches.

A pattern is a regular expression that must match a whole number: digits, ``\d``, ``.``, classes such as ``[0-4]``,
groups, ``|`` and the repetitions ``?``, ``*``, ``+`` and ``{m,n}``. It is compiled to an automaton and never passed to
a regular expression engine that backtracks. So the numbers that any pattern matches are counted exactly and in bounded
time, and a post is compared with the numbers themselves.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

DIGITS: Final = 12
LONGEST: Final = 200
"""The most characters that a pattern may have."""
_MOST_STATES: Final = 1_000
_ENOUGH: Final = DIGITS + 1
"""Repetitions beyond this make no difference: a part that needs a digit would already need more than ``DIGITS``."""
_REPEATED: Final = re.compile(r"\{(?:(\d{1,4})|(\d{0,4}),(\d{0,4}))\}", re.ASCII)
_ALL: Final = frozenset("0123456789")


class PatternError(ValueError):
    """A pattern is not a regular expression over digits; the message gives the reason in a few words."""


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """The text of a pattern, and the numbers that it matches."""

    text: str
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Digit:
    """One digit out of a set."""

    among: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: "_Node"
    least: int
    most: int | None
    """None for any number of times."""


_Node: TypeAlias = _Digit | _Sequence | _Choice | _Repeat


def numbers_of(pattern: str, *, most: int) -> tuple[str, ...]:
    """Return the numbers of ``DIGITS`` digits that a pattern matches as a whole, in ascending order.

    Args:
        pattern: the regular expression.
        most: how many numbers the pattern may match; if it matches more, ``most + 1`` are returned.

    Raises:
        PatternError: the pattern is invalid or too long.
    """
    automaton = _Automaton(_Reader(pattern).read())
    found: list[str] = []
    for number in automaton.numbers():
        found.append(number)
        if len(found) > most:
            break
    return tuple(found)


class _Reader:
    """A parser that reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST:
            raise PatternError(f"longer than {LONGEST} characters")
        # A pattern always matches the whole number, with or without these anchors.
        self._text = pattern.removeprefix("^").removesuffix("$")
        self._at = 0

    def read(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise self._error("a ) too many")
        return node

    def _error(self, what: str) -> PatternError:
        return PatternError(f"{what} after {self._text[: self._at]!r}" if self._at else what)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._next() and self._next() not in "|)":
            parts.append(self._repeated(self._one()))
        return _Sequence(tuple(parts))

    def _one(self) -> _Node:
        sign = self._next()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class()
        if self._text.startswith("\\d", self._at):
            self._at += 2
            return _Digit(_ALL)
        if sign != "." and sign not in _ALL:
            raise self._error(f"{sign!r} is no digit")
        self._at += 1
        return _Digit(_ALL if sign == "." else frozenset(sign))

    def _group(self) -> _Node:
        self._at += 3 if self._text.startswith("(?:", self._at) else 1
        node = self._choice()
        if self._next() != ")":
            raise self._error("a ) is missing")
        self._at += 1
        return node

    def _class(self) -> _Node:
        inner, closed, _ = self._text[self._at + 1 :].partition("]")
        kept = inner.removeprefix("^")
        found = re.fullmatch(r"(?:\\d|[0-9]-[0-9]|[0-9])+", kept)
        ranges = re.findall(r"\\d|[0-9]-[0-9]|[0-9]", kept)
        if not closed or found is None or any(part[0] > part[-1] for part in ranges if part != "\\d"):
            raise self._error("no class of digits")
        among = frozenset(digit for digit in _ALL for part in ranges if part == "\\d" or part[0] <= digit <= part[-1])
        self._at += len(inner) + 2
        return _Digit(_ALL - among if kept != inner else among)

    def _repeated(self, node: _Node) -> _Node:
        simple = {"?": (0, 1), "*": (0, None), "+": (1, None)}
        counted = _REPEATED.match(self._text, self._at)
        if counted is None:
            if self._next() not in simple or not self._next():
                return node
            least, most = simple[self._next()]
            self._at += 1
        else:
            exactly, low, high = counted.groups()
            least = int(exactly or low or 0)
            most = int(exactly) if exactly else int(high) if high else None
            self._at = counted.end()
            if most is not None and least > most:
                raise self._error("a repetition whose least is above its most")
        if self._next() and self._next() in "?*+{":
            raise self._error("a repetition of a repetition")
        return _Repeat(node, min(least, _ENOUGH), None if most is None else min(most, _ENOUGH))


class _Automaton:
    """A nondeterministic automaton: states, transitions that read a digit, and transitions that read nothing."""

    def __init__(self, node: _Node) -> None:
        self._steps: list[tuple[frozenset[str], int] | None] = []
        self._free: list[list[int]] = []
        first = self._state()
        self._last = self._add(node, first)
        self._reach = [self._closure(state) for state in range(len(self._free))]
        self._first = self._reach[first]
        self._alive = self._live()

    def numbers(self) -> Iterator[str]:
        """Yield every number that leads from the first state to the last; dead ends are not followed."""
        waiting: list[tuple[str, frozenset[int]]] = [("", self._first & self._alive[DIGITS])]
        while waiting:
            begun, states = waiting.pop()
            if len(begun) == DIGITS:
                if states:
                    yield begun
                continue
            left = DIGITS - len(begun) - 1
            for digit in sorted(_ALL, reverse=True):
                reached = self._after(states, digit) & self._alive[left]
                if reached:
                    waiting.append((begun + digit, reached))

    def _state(self) -> int:
        if len(self._free) >= _MOST_STATES:
            raise PatternError("too many repetitions")
        self._steps.append(None)
        self._free.append([])
        return len(self._free) - 1

    def _add(self, node: _Node, begin: int) -> int:
        """Add the states that match a node after a given state; return the state in which the match ends."""
        match node:
            case _Digit(among):
                end = self._state()
                self._steps[begin] = (among, end)
                return end
            case _Sequence(parts):
                return self._chain(parts, begin)
            case _Choice(parts):
                end = self._state()
                for part in parts:
                    self._free[self._add(part, self._from(begin))].append(end)
                return end
            case _Repeat(part, least, most):
                return self._repeat(part, least, most, begin)

    def _from(self, state: int) -> int:
        """Return a new state that is reached from another without reading a digit."""
        new = self._state()
        self._free[state].append(new)
        return new

    def _chain(self, parts: Sequence[_Node], begin: int) -> int:
        end = self._from(begin)
        for part in parts:
            end = self._from(self._add(part, end))
        return end

    def _repeat(self, part: _Node, least: int, most: int | None, begin: int) -> int:
        at = self._chain([part] * least, begin)
        if most is None:
            around = self._from(at)
            self._free[self._add(part, self._from(around))].append(around)
            return self._from(around)
        end = self._from(at)
        for _ in range(most - least):
            at = self._from(self._add(part, self._from(at)))
            self._free[at].append(end)
        return end

    def _closure(self, state: int) -> frozenset[int]:
        found, waiting = {state}, [state]
        while waiting:
            for free in self._free[waiting.pop()]:
                if free not in found:
                    found.add(free)
                    waiting.append(free)
        return frozenset(found)

    def _after(self, states: frozenset[int], digit: str) -> frozenset[int]:
        steps = (self._steps[state] for state in states)
        ends = {step[1] for step in steps if step is not None and digit in step[0]}
        return frozenset().union(*(self._reach[end] for end in ends))

    def _live(self) -> list[frozenset[int]]:
        """Return, by the number of remaining digits, the states from which so many digits lead to the last state."""
        alive = [frozenset(state for state, reach in enumerate(self._reach) if self._last in reach)]
        for _ in range(DIGITS):
            before = alive[-1]
            stepping = {
                state
                for state, step in enumerate(self._steps)
                if step is not None and step[0] and not before.isdisjoint(self._reach[step[1]])
            }
            alive.append(frozenset(state for state, reach in enumerate(self._reach) if not stepping.isdisjoint(reach)))
        return alive
