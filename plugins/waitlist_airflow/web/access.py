"""Who reads, and what they may see."""

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
    mark: str | None
    """What the links to persons carry, so that no link elsewhere leads there; None where a browser's cookie is not
    what somebody is known by."""


async def reader(request: Request, user: GetUserDep, site: SiteDep) -> Reader:
    """Return who asks, for FastAPI to inject."""
    user_id = str(user.get_id())
    settings = site.settings
    return Reader(user_id, user_id in settings.person_reader_ids, user_id in settings.approver_ids, _mark(request))


ReaderDep = Annotated[Reader, Depends(reader)]


async def may_see_persons(
    request: Request, reader: ReaderDep, marke: Annotated[str, Query(max_length=100)] = ""
) -> Reader:
    """Refuse with 403 whoever may not see persons, and whoever was led here by something else than our own pages.

    A look leaves a row in the access log, so nobody else may make a person reader's browser take one. A browser sends
    its cookie wherever a link or an image leads it: on other sites, and in texts within Airflow that others write. A
    program's token comes from the program alone.
    """
    if not reader.may_see_persons:
        raise HTTPException(403, "persons")
    if not _has_token(request) and not (_from_here(request) and _has_mark(reader, marke)):
        raise HTTPException(403, "elsewhere")
    return reader


def _mark(request: Request) -> str | None:
    """Return what only a page that was made for this session can know; it says nothing of the session's own secret."""
    session = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if _has_token(request) or not session:
        return None
    return hmac.digest(session.encode(), _PURPOSE, hashlib.sha256).hex()


def _has_token(request: Request) -> bool:
    """Tell whether a token in the header says who asks: Airflow then looks at no cookie."""
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    return scheme.lower() == "bearer" and bool(token)


def _from_here(request: Request) -> bool:
    """Tell whether the browser says that our own page led here, or says nothing, as it does where there is no TLS."""
    said = request.headers.getlist("Sec-Fetch-Site")
    return not said or (len(said) == 1 and said[0] in {"same-origin", "none"})


def _has_mark(reader: Reader, mark: str) -> bool:
    return reader.mark is not None and hmac.compare_digest(reader.mark.encode(), mark.encode())


async def leads(reader: ReaderDep) -> Reader:
    """Refuse with 403 whoever does not lead the migration."""
    if not reader.leads:
        raise HTTPException(403, "leads")
    return reader


PersonReaderDep = Annotated[Reader, Depends(may_see_persons)]
LeadDep = Annotated[Reader, Depends(leads)]
