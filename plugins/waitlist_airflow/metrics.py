"""Metrics of the waiting lists, sent in Airflow's own way (``[metrics]``): nothing is sent where that is off.

Airflow's own metrics have the time and the outcome of every step. These add how many posts there are of each unit and
disposition. They are counts, and no post is named.
"""

from collections import Counter
from typing import Final

from airflow.sdk.observability.stats import Stats

from waitlist.facts.mappings import is_hsa_id
from waitlist.judge.rules import Disposition
from waitlist.reports.readiness import Readiness

POSTS: Final = "waitlist.posts"
"""A gauge: posts of a unit with a disposition. Its tags: ``kind`` of batch, ``unit`` (HSA-id or ``unknown``),
``disposition``."""
UNKNOWN_UNIT: Final = "unknown"


def publish(readiness: Readiness) -> None:
    """Send the posts of each unit by every disposition; a disposition without posts is sent as zero."""
    counts: dict[str, Counter[str]] = {}
    for unit in (unit for wave in readiness.waves for unit in wave.units):
        # What PMO gives for a unit may be any text.
        key = unit.hsa_id if is_hsa_id(unit.hsa_id) else UNKNOWN_UNIT
        found = {**unit.progress.left, Disposition.MIGRATE.value: unit.progress.ready}
        counts.setdefault(key, Counter()).update(found)
    for key, found in counts.items():
        for disposition in Disposition:
            tags = {"kind": readiness.batch.kind.value, "unit": key, "disposition": disposition.value}
            Stats.gauge(POSTS, found[disposition.value], tags=tags)
