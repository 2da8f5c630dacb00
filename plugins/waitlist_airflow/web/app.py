"""The app: its check of access, its pages, and the headers of every answer."""

from typing import Final

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from starlette.responses import Response

from waitlist.access import Need
from waitlist_airflow.web import (
    access_log,
    addresses,
    batch,
    catalogue,
    errors,
    find,
    frame,
    handbook,
    outcomes,
    overview,
    released,
    sample,
    settling,
    static_files,
    unit,
    wave,
    what_if,
)
from waitlist_airflow.web.access import Requires, need_of
from waitlist_airflow.web.forms import is_checked
from waitlist_airflow.web.own_threads import OwnThreads
from waitlist_airflow.web.pages import Pages

ROOMS: Final[tuple[Pages, ...]] = (
    overview.pages,
    wave.pages,
    find.pages,
    frame.pages,
    unit.pages,
    outcomes.pages,
    sample.pages,
    batch.pages,
    catalogue.pages,
    what_if.pages,
    released.pages,
    settling.pages,
    handbook.pages,
    access_log.pages,
)
"""The pages, in the order of the navigation."""
_METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app() -> FastAPI:
    """Return the app; nothing is connected yet."""
    app = FastAPI(
        title="Migrering",
        # First: without a login the answer is 401 at every address.
        dependencies=[Depends(get_user)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # A redirect would go to the host of the Host header.
        redirect_slashes=False,
    )
    app.state.threads = OwnThreads()
    app.state.nav = tuple(item for pages in ROOMS for item in pages.nav)
    errors.install(app)
    app.include_router(static_files.router)
    for pages in ROOMS:
        app.include_router(pages.router)
    any_right = [Depends(Requires(Need.ANY_RIGHT))]
    for path in addresses.UNREADABLE:
        app.add_api_route(path, _unreadable, methods=_METHODS, dependencies=any_right)
    # Last: before the login, an unknown address gets the same answer as a known one.
    app.add_api_route("/{path:path}", _nothing_here, methods=_METHODS, dependencies=any_right)
    if open_to_all := [getattr(route, "path", "") for route in app.routes if need_of(route) is None]:
        raise RuntimeError(f"addresses that do not declare what they need: {', '.join(open_to_all)}")
    if unchecked := [
        getattr(route, "path", "") for room in ROOMS for route in room.router.routes if not is_checked(route)
    ]:
        raise RuntimeError(f"addresses that take a form from anywhere: {', '.join(unchecked)}")
    return app


async def _nothing_here() -> Response:
    raise HTTPException(404)


async def _unreadable() -> Response:
    raise HTTPException(422)
