"""Who reads, and what they may see."""

from dataclasses import dataclass
from typing import Annotated, Final

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, Header, HTTPException

from waitlist_airflow.dashboard.site import SiteDep

DAG: Final = "waitlist_dry_run"

may_read_runs: Final = requires_access_dag("GET", DagAccessEntity.RUN, DAG)
"""Refuses with 403 whoever may not read the runs of the dry run."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who is logged in."""

    user_id: str
    """As Airflow's auth manager has it: the user name with the simple one, a number with FAB."""
    may_see_persons: bool
    """Named in ``WAITLIST_PERSON_READERS``: may see names, identity numbers and work lists."""
    leads: bool
    """Named in ``WAITLIST_APPROVERS``: may read the access log."""


def reader(user: GetUserDep, site: SiteDep) -> Reader:
    """Return who asks, for FastAPI to inject."""
    user_id = str(user.get_id())
    settings = site.settings
    return Reader(user_id, user_id in settings.person_reader_ids, user_id in settings.approver_ids)


ReaderDep = Annotated[Reader, Depends(reader)]


def may_see_persons(reader: ReaderDep, sec_fetch_site: Annotated[str | None, Header()] = None) -> Reader:
    """Refuse with 403 whoever may not see persons, and whoever another site has led here."""
    if not reader.may_see_persons:
        raise HTTPException(403, "persons")
    # A look leaves a row in the access log, so nobody else may make a person reader's browser take one.
    if sec_fetch_site == "cross-site":
        raise HTTPException(403, "elsewhere")
    return reader


def leads(reader: ReaderDep) -> Reader:
    """Refuse with 403 whoever does not lead the migration."""
    if not reader.leads:
        raise HTTPException(403, "leads")
    return reader


PersonReaderDep = Annotated[Reader, Depends(may_see_persons)]
LeadDep = Annotated[Reader, Depends(leads)]
