"""The readers of the dashboard and their rights."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Final

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Query, Request
from fastapi.security.utils import get_authorization_scheme_param

from waitlist_airflow.web.site import SiteDep

DAG: Final = "waitlist_dry_run"
_PURPOSE: Final = b"waitlist: a look at persons"

may_read_runs: Final = requires_access_dag("GET", DagAccessEntity.RUN, DAG)
"""Refuses users that may not read the runs of the dry run, with 403."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A user that is logged in."""

    user_id: str
    """The id of Airflow's auth manager: the user name with the simple one, a number with FAB."""
    may_see_persons: bool
    """Named in ``WAITLIST_PERSON_READERS``: may see names, identity numbers and work lists."""
    leads: bool
    """Named in ``WAITLIST_APPROVERS``: may read the access log."""
    mark: str | None
    """The mark in the links to persons, so that links from elsewhere are refused; None for a user that is not
    identified by a browser's cookie."""


async def reader(request: Request, user: GetUserDep, site: SiteDep) -> Reader:
    """Return the user of the request, for FastAPI to inject."""
    user_id = str(user.get_id())
    settings = site.settings
    return Reader(user_id, user_id in settings.person_reader_ids, user_id in settings.approver_ids, _mark(request))


ReaderDep = Annotated[Reader, Depends(reader)]


async def may_see_persons(
    request: Request, reader: ReaderDep, marke: Annotated[str, Query(max_length=100)] = ""
) -> Reader:
    """Refuse a user that may not see persons, and a request that does not come from our own pages, with 403.

    Every view is logged in the access log. So nobody else may make the browser of a person reader open one. A browser
    sends its cookie with every link and image, also from other sites and from texts that other users write in Airflow.
    A program's token comes only from the program.
    """
    if not reader.may_see_persons:
        raise HTTPException(403, "persons")
    if not _has_token(request) and not (_from_here(request) and _has_mark(reader, marke)):
        raise HTTPException(403, "elsewhere")
    return reader


def _mark(request: Request) -> str | None:
    """Return a text that only a page of this session can have; it does not reveal the session's secret."""
    session = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if _has_token(request) or not session:
        return None
    return hmac.digest(session.encode(), _PURPOSE, hashlib.sha256).hex()


def _has_token(request: Request) -> bool:
    """Tell whether a token in the header identifies the user: Airflow then ignores cookies."""
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    return scheme.lower() == "bearer" and bool(token)


def _from_here(request: Request) -> bool:
    """Tell whether the request comes from our own page according to the browser; without TLS it does not say."""
    sites = request.headers.getlist("Sec-Fetch-Site")
    return not sites or (len(sites) == 1 and sites[0] in {"same-origin", "none"})


def _has_mark(reader: Reader, mark: str) -> bool:
    return reader.mark is not None and hmac.compare_digest(reader.mark.encode(), mark.encode())


async def leads(reader: ReaderDep) -> Reader:
    """Refuse a user that does not lead the migration, with 403."""
    if not reader.leads:
        raise HTTPException(403, "leads")
    return reader


PersonReaderDep = Annotated[Reader, Depends(may_see_persons)]
LeadDep = Annotated[Reader, Depends(leads)]
