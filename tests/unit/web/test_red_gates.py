"""Since when a gate is red: back to the first dry run without a green one in between."""

import datetime as dt
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from waitlist.facts.gates import Gate
from waitlist.release.gates import GateResult
from waitlist.staging.dry_runs import DryRun
from waitlist_airflow.web.red_gates import red_since

TODAY = dt.date(2024, 10, 1)
RED, OTHER = Gate.UNHANDLED_SHARE, Gate.ACCOUNTING
_number = itertools.count()


class Site:
    """The stored results of some nights, the earliest first; None: they are not kept."""

    def __init__(self, *nights: str | None) -> None:
        # The results are cached by place and batch.
        self.snapshots = f"memory://{next(_number)}"
        self.asked: list[str] = []
        first = TODAY - dt.timedelta(days=len(nights) - 1)
        days = [first + dt.timedelta(days=place) for place in range(len(nights))]
        ended = dt.datetime(2024, 10, 1, tzinfo=dt.UTC)
        self.runs = [DryRun(str(day), "", day, ended, ended, 1, None, None) for day in days]
        self.results = dict(zip(map(str, days), nights, strict=True))

    def measured_gates(self, batch_id: str) -> tuple[GateResult, ...] | None:
        self.asked.append(batch_id)
        red = self.results[batch_id]
        if red is None:
            return None
        return (GateResult(RED, 1, 0, RED.value not in red), GateResult(OTHER, 0, 0, OTHER.value not in red))

    def since(self) -> dict[Gate, dt.date]:
        site: Any = SimpleNamespace(snapshots=self.snapshots, measured_gates=self.measured_gates)
        return red_since(site, self.runs, self.measured_gates(self.runs[-1].batch_id) or ())


@pytest.mark.parametrize(
    ("nights", "days"),
    [
        ((RED,), 0),
        ((RED, RED, RED), 2),
        ((RED, "", RED, RED), 1),
        ((RED, None, RED, RED), 1),
        ((RED, ""), None),
    ],
)
def test_a_gate_is_red_since_the_first_run_without_a_green_one_after_it(
    nights: tuple[str | None, ...], days: int | None
) -> None:
    found = Site(*nights).since()
    assert found == ({} if days is None else {RED: TODAY - dt.timedelta(days=days)})


def test_each_gate_is_followed_by_itself() -> None:
    both = f"{RED} {OTHER}"
    assert Site(both, RED, both, both).since() == {
        RED: TODAY - dt.timedelta(days=3),
        OTHER: TODAY - dt.timedelta(days=1),
    }


def test_earlier_results_are_read_once() -> None:
    site = Site(RED, RED, RED)
    site.since()
    site.asked.clear()
    site.since()
    assert site.asked == [site.runs[-1].batch_id]
