"""Writes what a reader is about to see of patients to the access log."""

import datetime as dt
from collections.abc import Mapping

from waitlist.reports.pages.sample import SampleBatch
from waitlist.reports.pages.unit import ShownRun
from waitlist.staging.access_log import Action, numbers_of, record
from waitlist.staging.dry_runs import DryRun
from waitlist_airflow.web.access import Reader
from waitlist_airflow.web.site import Site


def record_look(
    site: Site,
    reader: Reader,
    action: Action,
    run: ShownRun | DryRun | SampleBatch,
    *,
    unit: str,
    patients: Mapping[int, str | None],
) -> None:
    """Write an entry in the access log for each patient, given the text of the number in PMO by post id."""
    numbers = numbers_of(list(patients.values()), run.as_of)
    record(
        site.store,
        at=dt.datetime.now(dt.UTC),
        user_id=reader.login,
        acting_for=unit if unit in reader.rights.own_units else "",
        action=action,
        batch_id=run.batch_id,
        unit=unit,
        patients=dict(zip(patients, numbers, strict=True)),
    )
