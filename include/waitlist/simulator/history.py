"""The history of a synthetic PMO before the as-of date: its staff's work at each unit, day by day.

A generated PMO is a state, and a trend needs days. ``History`` first moves posts back to the base categories and own
lists on which they were before the work began. Then each unit corrects its posts at its own pace: some are quick, some
begin late, some stop, and at some the posts get worse. New posts are registered all the time. The action for a post
comes from the generation's truth, never from the rules. The same PMO, seed and first day give the same history.
"""

import csv
import datetime as dt
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from waitlist.simulator.catalogue import CONTACT_FORMS, UNKNOWN_FORM, Catalogue
from waitlist.simulator.generation import MAPPINGS, TRUTH
from waitlist.simulator.orders import CUTOFF_DAYS, SimulatorError


class Pace(Enum):
    """How fast a unit corrects its posts."""

    QUICK = "quick"
    STEADY = "steady"
    LATE = "late"
    """No corrections for two weeks, then many."""
    STALLED = "stalled"
    """Stops after ten days."""
    WORSE = "worse"
    """Few corrections, and earlier ones are undone."""


class _Work(NamedTuple):
    share: float
    """The share of the remaining posts that is corrected each day."""
    begins: int
    """Days after the first."""
    ends: int | None


_WORK: Final[Mapping[Pace, _Work]] = {
    Pace.QUICK: _Work(0.10, 0, None),
    Pace.STEADY: _Work(0.045, 0, None),
    Pace.LATE: _Work(0.13, 14, None),
    Pace.STALLED: _Work(0.08, 0, 10),
    Pace.WORSE: _Work(0.015, 0, None),
}
_PACES: Final = (
    Pace.QUICK, Pace.STEADY, Pace.STEADY, Pace.LATE, Pace.STEADY, Pace.STALLED, Pace.QUICK, Pace.WORSE,
)  # fmt: skip
"""Every eighth unit gets the same pace, in an order that the seed decides."""
_NOT_BEGUN: Final = 0.55
"""The share of the finally correct posts that was not correct at the start."""
_UNDONE: Final = 0.30
"""The share of a worsening unit's correct posts whose correction is undone."""
_RELEASED_CHANGED: Final = 0.4
_BOOKED: Final = 0.12
"""The share of the remaining posts at a live unit that is booked in Millennium and closed each day."""

_ON_LIST: Final = frozenset({"NOT_WAITING_ON_SDV_LIST", "NOT_ELIGIBLE_ON_SDV_LIST", "ID_UNSAFE_ON_SDV_LIST"})
_DATES: Final = frozenset({"DATE_MISSING", "DATE_INVERTED", "DATE_EXPIRED"})
_CLOSED: Final = frozenset({"DUPLICATE_POST", "ENDS_BEFORE_GO_LIVE", "TEST_PERSON"})
_BY_HAND: Final = frozenset({"ID_MISSING", "ID_INVALID", "ID_COORDINATION_NUMBER", "ID_RESERVE_NUMBER", "NAME_MISSING"})
_OFFICE_HOUR: Final = "10:30:00"
_COLUMNS: Final = frozenset({"kategori", "boka_from", "boka_fore", "orsak", "registrerad", "avslutad"})

Values = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a post; ``andrad`` follows from the day."""

    post_id: int
    day: dt.date
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class _Post:
    post_id: int
    hsa_id: str
    kategori: str | None
    kontaktform: str | None
    boka_fore: str | None
    orsak: str | None
    filial: str | None
    registered: dt.datetime
    born: dt.date | None
    disposition: str
    findings: frozenset[str]
    recommended: str | None

    @property
    def day(self) -> dt.date:
        """The day on which it was registered."""
        return self.registered.date()


class History:
    """The days of a synthetic PMO in a SQLite file, applied in their order."""

    def __init__(self, pmo: Path, folder: Path, *, first: dt.date, last: dt.date, seed: int = 1) -> None:
        """Decide all changes, and move the posts back to their lists before the first day.

        Args:
            pmo: the database that ``generate`` wrote, without a history.
            folder: the folder with the mapping files and the truth of ``generate``.
            first: the first day.
            last: the last one, the as-of date of the generation.
            seed: decides the pace of each unit and the day of each post.

        Raises:
            SimulatorError: the days are out of order, or a history has begun there already.
        """
        if first > last:
            raise SimulatorError(f"the first day, {first}, is after the last, {last}")
        self._pmo, self._first, self._last = pmo, first, last
        self._catalogue = Catalogue.read(folder / MAPPINGS)
        units_csv = _read_csv(folder / MAPPINGS / "units.csv")
        self._go_live = {
            row["hsa_id"]: dt.date.fromisoformat(row["driftstart"]) for row in units_csv if row["driftstart"]
        }
        self._areas = {row["hsa_id"]: frozenset(row["vardomraden"].split(";")) for row in units_csv}
        self._sources = self._reachable_from()
        self._before: list[Change] = []
        self._days: dict[dt.date, list[Change]] = defaultdict(list)
        posts = _read_posts(pmo, folder)
        posts = self._spread(np.random.default_rng([seed, 12]), posts)
        units = sorted({post.hsa_id for post in posts})
        order = np.random.default_rng([seed, 10]).permutation(len(units)).tolist()
        self.paces: Mapping[str, Pace] = {
            units[place]: _PACES[number % len(_PACES)] for number, place in enumerate(order)
        }
        """Each unit's pace, by HSA-id."""
        for number, unit in enumerate(units):
            random = np.random.default_rng([seed, 11, number])
            for post in posts:
                if post.hsa_id == unit:
                    self._decide(random, post)
        _begin(pmo)
        self._write(self._before)

    def live_through(self, day: dt.date) -> int:
        """Make a day's changes in PMO; return how many posts were changed.

        Raises:
            SimulatorError: the day is outside the history.
        """
        if not self._first <= day <= self._last:
            raise SimulatorError(f"{day} is outside the history, {self._first} to {self._last}")
        return self._write(self._days.pop(day, []))

    def _spread(self, random: np.random.Generator, posts: Sequence[_Post]) -> list[_Post]:
        """Spread the registrations evenly over the days; in a generation most of them are in its last days."""
        days = (self._last - self._first).days + 1
        found = []
        for post, draw in zip(posts, random.random(len(posts)).tolist(), strict=True):
            day = self._first + dt.timedelta(days=int(draw * days))
            new = post
            if post.day >= self._first and "DATE_EXPIRED" not in post.findings and (post.born or dt.date.min) < day:
                new = replace(post, registered=dt.datetime.combine(day, post.registered.time()))
                self._before.append(Change(post.post_id, day, {"registrerad": str(new.registered)}))
            found.append(new)
        return found

    def _decide(self, random: np.random.Generator, post: _Post) -> None:
        draws = random.random(4).tolist()
        if post.disposition == "already_released":
            self._change_released(random, post, draws)
            return
        live = self._go_live.get(post.hsa_id)
        if live is not None and live < self._last:
            day = self._day(_Work(_BOOKED, 0, None), max(live, post.day), draws[0])
            self._do(post, day, lambda when: {"avslutad": f"{when} {_OFFICE_HOUR}"})
            return
        pace = self.paces[post.hsa_id]
        if post.disposition == "migrate":
            self._move_late(random, post, draws, pace)
            return
        since = max(post.day, _after(post.boka_fore) if "DATE_EXPIRED" in post.findings else self._first)
        self._do(post, self._day(_WORK[pace], since, draws[0]), lambda when: self._remedy(random, post, when, draws))

    def _move_late(self, random: np.random.Generator, post: _Post, draws: Sequence[float], pace: Pace) -> None:
        """Move a finally correct post to its list on some day, or away from it at a worsening unit."""
        before = self._earlier_category(random, post)
        if draws[1] < _NOT_BEGUN:
            self._before.append(Change(post.post_id, post.day, {"kategori": before}))
            day = self._day(_WORK[pace], post.day, draws[0])
            self._do(post, day, lambda _: {"kategori": post.kategori})
        elif pace is Pace.WORSE and draws[2] < _UNDONE:
            day = self._first + dt.timedelta(days=int(draws[3] * ((self._last - self._first).days + 1)))
            self._do(post, max(day, post.day), lambda _: {"kategori": before})

    def _remedy(self, random: np.random.Generator, post: _Post, day: dt.date, draws: Sequence[float]) -> Values:
        """Return the changes that correct all of a post's findings at once."""
        found, done = post.findings, Values()
        closed = found & _CLOSED or (found & _BY_HAND and draws[1] < 0.5)
        if closed or ("NOT_WAITING" in found and draws[1] < 0.3):
            return {"avslutad": f"{day} {_OFFICE_HOUR}"}
        if found & _ON_LIST:
            done["kategori"] = self._earlier_category(random, post)
        elif post.recommended is not None:
            done["kategori"] = post.recommended
        elif found & {"CATEGORY_UNKNOWN", "CATEGORY_NOT_MOVED"}:
            done["kategori"] = self._own_list(post.hsa_id)
        if found & _DATES:
            begins = max(self._cutoff(post.hsa_id), day) + dt.timedelta(days=1 + int(draws[2] * 150))
            done["boka_from"] = begins.isoformat()
            done["boka_fore"] = (begins + dt.timedelta(days=7 + int(draws[3] * 53))).isoformat()
        text = [post.orsak or ""]
        if "BRANCH_NOT_IN_TEXT" in found:
            text.append(f"Besöket sker på {post.filial}.")
        if "ATTACHMENT_WITHOUT_TEXT" in found:
            text.append("Det viktiga ur bilagan är infört i journalen.")
        if text[1:]:
            done["orsak"] = " ".join(text).strip()
        return done

    def _change_released(self, random: np.random.Generator, post: _Post, draws: Sequence[float]) -> None:
        if draws[1] >= _RELEASED_CHANGED:
            return
        day = self._first + dt.timedelta(days=int(draws[0] * ((self._last - self._first).days + 1)))
        later = _day_of(post.boka_fore)
        choices: list[Values] = [
            {"avslutad": f"{day} {_OFFICE_HOUR}"},
            {"orsak": f"{post.orsak or ''} Ny bedömning är gjord.".strip()},
        ]
        if later is not None:
            choices.append({"boka_fore": (later + dt.timedelta(days=14)).isoformat()})
        chosen = choices[int(random.integers(len(choices)))]
        self._do(post, day, lambda _: chosen)

    def _do(self, post: _Post, day: dt.date | None, what: Callable[[dt.date], Values]) -> None:
        values = what(day) if day is not None else {}
        if day is not None and values:
            self._days[day].append(Change(post.post_id, day, values))

    def _day(self, work: _Work, since: dt.date, draw: float) -> dt.date | None:
        """Return the day on which a post is corrected at a pace; None where it is not corrected."""
        begins = max(since, self._first + dt.timedelta(days=work.begins))
        waits = int(np.log1p(-draw) / np.log1p(-work.share))
        day = begins + dt.timedelta(days=min(waits, 10_000))
        ends = self._last if work.ends is None else min(self._last, self._first + dt.timedelta(days=work.ends))
        return day if day <= ends else None

    def _earlier_category(self, random: np.random.Generator, post: _Post) -> str:
        """Return a list that the post may have been on before: one that maps to its SDV list, else the unit's own."""
        form = CONTACT_FORMS.index(post.kontaktform) if post.kontaktform in CONTACT_FORMS else UNKNOWN_FORM
        names = self._sources.get((post.kategori or "", form)) or self._catalogue.local.tolist()
        return str(names[int(random.integers(len(names)))])

    def _own_list(self, hsa_id: str) -> str:
        """Return a list of the unit's care areas, one without an age where there is one."""
        lists = self._catalogue
        areas = self._areas.get(hsa_id, frozenset({"Pv"}))
        suits = np.isin(lists.areas.astype(str), sorted(areas)) & (lists.forms < 0)
        ageless = suits & (lists.lower < 0) & (lists.upper < 0)
        return str(lists.lists[ageless if ageless.any() else suits][0])

    def _reachable_from(self) -> Mapping[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = defaultdict(list)
        for base, targets in zip(self._catalogue.base.tolist(), self._catalogue.targets.tolist(), strict=True):
            for form, target in enumerate(targets):
                found[str(self._catalogue.lists[target]), form].append(str(base))
        return found

    def _cutoff(self, hsa_id: str) -> dt.date:
        go_live = self._go_live.get(hsa_id) or self._last + dt.timedelta(days=180)
        return go_live + dt.timedelta(days=CUTOFF_DAYS)

    def _write(self, changes: Iterable[Change]) -> int:
        with closing(sqlite3.connect(self._pmo)) as connection, connection:
            count = 0
            for change in changes:
                _require_known(change.values)
                places = ", ".join(f"{name} = ?" for name in change.values)
                connection.execute(
                    f"UPDATE vantelistepost SET {places} WHERE post_id = ?",  # noqa: S608 - names of _COLUMNS
                    (*change.values.values(), change.post_id),
                )
                # No post is changed before it is registered.
                connection.execute(
                    "UPDATE vantelistepost SET andrad = max(registrerad, ?) WHERE post_id = ?",
                    (f"{change.day} {_OFFICE_HOUR}", change.post_id),
                )
                count += 1
        return count


def _require_known(values: Mapping[str, Any]) -> None:
    unknown = sorted(values.keys() - _COLUMNS)
    if unknown:
        raise SimulatorError(f"a history changes no column {', '.join(unknown)}")


def _begin(pmo: Path) -> None:
    """Mark the file, so that it cannot get a second history."""
    with closing(sqlite3.connect(pmo)) as connection:
        if connection.execute("PRAGMA user_version").fetchone() != (0,):
            raise SimulatorError(f"{pmo} has a history already: generate it again")
        connection.execute("PRAGMA user_version = 1")


def _read_posts(pmo: Path, folder: Path) -> list[_Post]:
    truth = {row["post_id"]: row for row in pq.read_table(folder / TRUTH).to_pylist()}
    query = (
        "SELECT post_id, kategori, kontaktform, boka_fore, orsak, filial, registrerad, personnummer"
        " FROM vantelistepost JOIN patient USING (patient_id) ORDER BY post_id"
    )
    with closing(sqlite3.connect(f"file:{pmo}?mode=ro", uri=True)) as connection:
        rows: Iterator[tuple[Any, ...]] = connection.execute(query)
        return [
            _Post(
                post_id=post_id,
                hsa_id=truth[post_id]["enhet_hsa_id"],
                kategori=kategori,
                kontaktform=kontaktform,
                boka_fore=boka_fore,
                orsak=orsak,
                filial=filial,
                registered=dt.datetime.fromisoformat(registrerad),
                born=_day_of(f"{number[:4]}-{number[4:6]}-{number[6:8]}" if number else None),
                disposition=truth[post_id]["disposition"],
                findings=frozenset(truth[post_id]["findings"]),
                recommended=truth[post_id]["recommended_list"],
            )
            for post_id, kategori, kontaktform, boka_fore, orsak, filial, registrerad, number in rows
            if post_id in truth
        ]


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _day_of(text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat((text or "")[:10])
    except ValueError:
        return None


def _after(text: str | None) -> dt.date:
    """Return the first day after a window; a day long ago where the date cannot be read."""
    day = _day_of(text)
    return dt.date.min if day is None else day + dt.timedelta(days=1)
