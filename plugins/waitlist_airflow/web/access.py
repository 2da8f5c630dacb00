"""The readers of the dashboard, and what each address needs of them; ``waitlist.access`` decides."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Query, Request
from fastapi.routing import APIRoute
from fastapi.security.utils import get_authorization_scheme_param

from waitlist.access import Need, Rights, rights_of
from waitlist.reports.pages.unit import key_of
from waitlist_airflow.web.own_threads import OwnThreads
from waitlist_airflow.web.site import SiteDep

_LOOK: Final = b"waitlist: a look at persons"
_CHANGE: Final = b"waitlist: a change"
_FAB: Final = "airflow.providers.fab."
_FILE_SECONDS: Final = 5.0
"""The most seconds that reading who works where may take."""
_ASKED_FOR: Final = frozenset({Need.THIS_UNITS_PERSONS, Need.THIS_UNITS_PROTECTED, Need.EVERY_PERSON})
"""What is shown only to a reader that asked for it on our own page."""
WITHDRAWAL: Final = "waitlist_withdrawal"
may_begin_withdrawals: Final = requires_access_dag("POST", DagAccessEntity.RUN, WITHDRAWAL)
"""Refuses users that may not trigger the DAG that withdraws a release, with 403."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A user that is logged in."""

    user_id: str
    """The id of Airflow's auth manager: the user name with the simple one, a number with FAB."""
    login: str
    """The login name."""
    rights: Rights
    mark: str | None
    """The mark in the links to persons, so that links from elsewhere are refused; None for a user that is not
    identified by a browser's cookie."""
    token: str | None = None
    """The token in the forms of our pages; None for a user that is not identified by a browser's cookie."""

    @property
    def may_see_every_person(self) -> bool:
        """Whether the user may see patients' names and numbers at every unit."""
        return self.rights.allow(Need.EVERY_PERSON)

    def may_see_persons(self, unit: str) -> bool:
        """Tell whether the user may see patients' names and numbers at a unit, given by its key."""
        return self.rights.allow(Need.THIS_UNITS_PERSONS, unit)

    def may_see_protected(self, unit: str) -> bool:
        """Tell whether the user may ask to see a protected identity at a unit, given by its key."""
        return self.rights.allow(Need.THIS_UNITS_PROTECTED, unit)


async def reader(request: Request, user: GetUserDep, site: SiteDep) -> Reader:
    """Return the user of the request, for FastAPI to inject."""
    threads: OwnThreads = request.app.state.threads
    user_id, login, roles = str(user.get_id()), login_of(user), roles_of(user)
    rights = await threads.run(
        lambda: rights_of(user_id, login, roles, site.settings, site.unit_readers), seconds=_FILE_SECONDS
    )
    found = Reader(user_id, login, rights, _mark(request, _LOOK), _mark(request, _CHANGE))
    # The page of an error shows the menu of its reader.
    request.state.reader = found
    return found


ReaderDep = Annotated[Reader, Depends(reader)]


def login_of(user: BaseUser) -> str:
    """Return the login name: FAB's own field, and elsewhere the user's id."""
    return str(getattr(user, "username", "") or "") if _is_of_fab(user) else str(user.get_id())


def roles_of(user: BaseUser) -> frozenset[str]:
    """Return the names of the user's roles; only FAB has roles with names that a site chooses."""
    roles: Any = getattr(user, "roles", ()) if _is_of_fab(user) else ()
    return frozenset(str(role.name) for role in roles)


def _is_of_fab(user: BaseUser) -> bool:
    # FAB is not installed with every Airflow, so its class cannot be imported.
    return any(kind.__module__.startswith(_FAB) for kind in type(user).__mro__)


class Requires:
    """A dependency that refuses users without what an address needs, with 403; each route has exactly one."""

    def __init__(self, need: Need) -> None:
        self.need: Final = need

    async def __call__(
        self, request: Request, reader: ReaderDep, marke: Annotated[str, Query(max_length=100)] = ""
    ) -> None:
        """Refuse a reader without the right, and a look at persons that our own pages did not ask for.

        Every look is logged in the access log. So nobody else may make a reader's browser open one. A browser sends its
        cookie with every link and image, also from other sites and from texts that other users write in Airflow. A
        program's token comes only from the program.
        """
        named = request.path_params.get("unit")
        if not reader.rights.allow(self.need, None if named is None else key_of(named)):
            raise HTTPException(403, _refusal(reader, self.need))
        if (
            self.need in _ASKED_FOR
            and not _has_token(request)
            and not (_from_here(request) and _has_mark(reader, marke))
        ):
            raise HTTPException(403, "elsewhere")


async def only_leads(reader: ReaderDep) -> None:
    """Refuse users that do not lead the migration, with 403."""
    if not reader.rights.leads:
        raise HTTPException(403, "lead")


def need_of(route: object) -> Need | None:
    """Return what a route declares that it needs; None where it declares nothing, or several things."""
    found = needed_by(route, Requires)
    return found[0].need if len(found) == 1 else None


def needed_by(route: object, kind: type) -> list[Any]:
    """Return the dependencies of a kind that a route declares."""
    if not isinstance(route, APIRoute):
        return []
    return [used.call for used in route.dependant.dependencies if isinstance(used.call, kind)]


def _refusal(reader: Reader, need: Need) -> str | None:
    """Return which text a refused reader gets; a reader without any right gets the same everywhere."""
    return need.value if reader.rights.allow(Need.ANY_RIGHT) else None


def _mark(request: Request, purpose: bytes) -> str | None:
    """Return a text that only a page of this session can have; it does not reveal the session's secret."""
    session = request.cookies.get(COOKIE_NAME_JWT_TOKEN)
    if _has_token(request) or not session:
        return None
    return hmac.digest(session.encode(), purpose, hashlib.sha256).hex()


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


def is_from_our_page(request: Request, reader: Reader, token: str) -> bool:
    """Tell whether a form comes from a page of this session.

    A browser sends its cookie with a form of another site too, where that site is a neighbour. So the origin that the
    browser names must be this one, and the form must have the token of this session. A program's token in the header
    comes only from the program.
    """
    if _has_token(request):
        return True
    known = reader.token is not None and hmac.compare_digest(reader.token.encode(), token.encode())
    return known and _from_here(request) and _is_ours(request)


def _is_ours(request: Request) -> bool:
    """Tell whether the origin that the browser names is ours, by Airflow's own address or by the address it asked."""
    origins = [origin.lower() for origin in request.headers.getlist("Origin")]
    base = urlsplit(str(conf.get("api", "base_url", fallback="")))
    hosts = request.headers.getlist("Host")
    ours = {f"{base.scheme}://{base.netloc}"} if base.netloc else set()
    ours |= {f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts if len(hosts) == 1 and host}
    return len(origins) == 1 and origins[0] in {origin.lower() for origin in ours}
