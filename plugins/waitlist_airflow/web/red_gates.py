"""Since when a gate is red: the results that earlier dry runs stored beside their snapshots are read back in time."""

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from waitlist.facts.gates import Gate
from waitlist.release.gates import GateResult
from waitlist.staging.dry_runs import DryRun
from waitlist_airflow.web.site import Site

FARTHEST: Final = 60
"""How many dry runs are read back."""
_MOST: Final = 500

_Key = tuple[str, str, dt.datetime | None]
_KEPT: Final[OrderedDict[_Key, tuple[GateResult, ...]]] = OrderedDict()
"""The results of a verified dry run do not change, until it is run again and ends at another moment."""


def red_since(site: Site, runs: Sequence[DryRun], latest: Iterable[GateResult]) -> dict[Gate, dt.date]:
    """Return the as-of date of the first of the dry runs in which a gate has been red without a break.

    Args:
        site: the deployment.
        runs: the dry runs that can be compared, the earliest first.
        latest: the results of the last of them.
    """
    red = {result.gate: runs[-1].as_of for result in latest if not result.passed}
    going = set(red)
    for run in reversed(runs[-FARTHEST - 1 : -1]):
        if not going:
            break
        going &= {result.gate for result in _results(site, run) if not result.passed}
        red |= dict.fromkeys(going, run.as_of)
    return red


def _results(site: Site, run: DryRun) -> tuple[GateResult, ...]:
    key = (str(site.snapshots), run.batch_id, run.finished_at)
    if key not in _KEPT:
        found = site.measured_gates(run.batch_id)
        if found is None:
            return ()
        _KEPT[key] = found
        while len(_KEPT) > _MOST:
            _KEPT.popitem(last=False)
    return _KEPT[key]
