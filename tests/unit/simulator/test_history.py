"""The synthetic PMO's past: each unit corrects its posts at a pace of its own."""

import datetime as dt
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from waitlist.simulator import MAPPINGS, TRUTH, Order, SimulatorError, generate
from waitlist.simulator.history import History, Pace

FIRST, LAST = dt.date(2024, 9, 2), dt.date(2024, 10, 1)
DAYS = [FIRST + dt.timedelta(days=number) for number in range((LAST - FIRST).days + 1)]


def made(folder: Path) -> Path:
    generate(Order(2_000, seed=6), folder, sqlite=folder / "pmo.sqlite")
    return folder


def rows(folder: Path) -> dict[int, tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "pmo.sqlite")) as connection:
        return {row[0]: row for row in connection.execute("SELECT * FROM vantelistepost")}


class Lived:
    """A history from its first day to its last, with what every day changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = made(folder)
        self.begun_from = rows(folder)
        self.history = History(folder / "pmo.sqlite", folder, first=FIRST, last=LAST, seed=6)
        truth = pq.read_table(folder / TRUTH).to_pylist()
        self.unit = {row["post_id"]: row["enhet_hsa_id"] for row in truth}
        self.disposition = {row["post_id"]: row["disposition"] for row in truth}
        self.before = rows(folder)
        self.changed: dict[dt.date, list[int]] = {}
        self.lists: dict[dt.date, Counter[str]] = {}
        then = self.before
        for day in DAYS:
            count = self.history.live_through(day)
            now = rows(folder)
            self.changed[day] = [post for post, row in now.items() if row != then[post]]
            assert count == len(self.changed[day])
            self.lists[day] = Counter(
                self.unit[post] for post, row in now.items() if post in self.unit and "SDV" in str(row[3])
            )
            then = now
        self.after = then

    def of_pace(self, pace: Pace) -> set[str]:
        return {unit for unit, its in self.history.paces.items() if its is pace and unit not in self.live}

    @property
    def live(self) -> set[str]:
        text = (self.folder / MAPPINGS / "units.csv").read_text(encoding="utf-8")
        found = (line.split(",") for line in text.splitlines()[1:])
        return {cells[0] for cells in found if cells[3] and dt.date.fromisoformat(cells[3]) < LAST}

    def days_of(self, units: set[str]) -> set[dt.date]:
        ordinary = {post for post, what in self.disposition.items() if what != "already_released"}
        return {day for day, posts in self.changed.items() if any(self.unit[p] in units for p in ordinary & set(posts))}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("history"))


def test_the_same_order_gives_the_same_past(lived: Lived, tmp_path: Path) -> None:
    again = Lived(tmp_path)
    assert again.after == lived.after
    assert again.changed == lived.changed


def test_before_the_first_day_no_post_has_been_corrected(lived: Lived) -> None:
    moved = [post for post, row in lived.before.items() if row[3] != lived.begun_from[post][3]]
    assert len(moved) > 300
    assert {lived.disposition[post] for post in moved} == {"migrate"}
    assert not any(str(lived.before[post][3]).startswith("SDV") for post in moved)


def test_quick_units_come_far_and_worse_ones_do_not(lived: Lived) -> None:
    def came(pace: Pace) -> float:
        units = lived.of_pace(pace)
        return sum(lived.lists[LAST][unit] - lived.lists[FIRST][unit] for unit in units) / sum(
            whose in units for whose in lived.unit.values()
        )

    assert came(Pace.QUICK) > 0.2
    assert came(Pace.WORSE) < 0.1


def test_late_units_do_nothing_for_two_weeks_and_stalled_ones_stop_after_ten_days(lived: Lived) -> None:
    assert min(lived.days_of(lived.of_pace(Pace.LATE))) >= FIRST + dt.timedelta(days=14)
    assert max(lived.days_of(lived.of_pace(Pace.STALLED))) <= FIRST + dt.timedelta(days=10)


def test_a_unit_that_is_live_books_its_posts_and_closes_them(lived: Lived) -> None:
    closed = [post for day in DAYS for post in lived.changed[day] if lived.unit.get(post) in lived.live]
    assert closed
    assert all(str(lived.after[post][-1])[:10] >= "2024-09-16" for post in closed)


def test_released_posts_change_too(lived: Lived) -> None:
    released = {post for post, what in lived.disposition.items() if what == "already_released"}
    assert released & {post for posts in lived.changed.values() for post in posts}


def test_a_change_is_dated_by_its_day_and_touches_nothing_else(lived: Lived) -> None:
    for day, posts in lived.changed.items():
        for post in posts:
            assert str(lived.after[post][15])[:10] >= day.isoformat()
            assert str(lived.after[post][15]) >= str(lived.after[post][14])
    # Patient, unit, contact form, flags, plan, clinician, duration, branch and registration stay.
    for post, row in lived.after.items():
        kept = (1, 2, 4, 5, 6, 10, 11, 12, 13, 14)
        assert [row[place] for place in kept] == [lived.before[post][place] for place in kept]


def test_as_many_posts_come_in_on_one_day_as_on_another(lived: Lived) -> None:
    registered = Counter(str(row[14])[:10] for post, row in lived.before.items() if post in lived.unit)
    a_day = [registered[day.isoformat()] for day in DAYS]
    assert max(a_day) < 3 * sum(a_day) / len(a_day)
    assert sum(a_day) == sum(
        str(row[14])[:10] >= FIRST.isoformat() for post, row in lived.begun_from.items() if post in lived.unit
    )


def test_a_history_begins_once(lived: Lived) -> None:
    with pytest.raises(SimulatorError, match="history already"):
        History(lived.folder / "pmo.sqlite", lived.folder, first=FIRST, last=LAST)


def test_days_outside_it_are_refused(lived: Lived) -> None:
    with pytest.raises(SimulatorError, match="outside"):
        lived.history.live_through(LAST + dt.timedelta(days=1))
    with pytest.raises(SimulatorError, match="is after"):
        History(lived.folder / "pmo.sqlite", lived.folder, first=LAST, last=FIRST)
