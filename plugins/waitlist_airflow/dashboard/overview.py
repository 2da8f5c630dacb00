"""The page Översikt."""

import dataclasses
import datetime as dt
import logging
from typing import Final

from waitlist.dashboard.overview import Overview, read_overview
from waitlist.exceptions import SnapshotError
from waitlist.gates import GateResult, read_measured
from waitlist_airflow.dashboard.pages import Pages
from waitlist_airflow.dashboard.site import Site, SiteDep

log = logging.getLogger(__name__)

pages: Final = Pages()


@pages.page("/", api="/api/oversikt", template="overview.html", nav="Översikt")
def overview(site: SiteDep) -> Overview:
    """Read how far each wave and unit has come."""
    with site.reading("reading the overview") as connection:
        read = read_overview(connection, site.mappings, now=dt.datetime.now(dt.UTC))
    return dataclasses.replace(read, gates=_gates(site, read.latest.batch_id))


def _gates(site: Site, batch_id: str) -> tuple[GateResult, ...] | None:
    try:
        measured = read_measured(site.snapshots / batch_id)
    except (SnapshotError, OSError) as error:
        # The figures are worth showing without them.
        log.warning("the gates of batch %s cannot be read: %s", batch_id, type(error).__name__)
        return None
    return tuple(sorted(measured, key=lambda result: result.passed)) or None
