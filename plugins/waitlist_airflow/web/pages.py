"""Makes a page and its JSON from one dataclass."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

from waitlist_airflow.web import formats
from waitlist_airflow.web.access import Reader, ReaderDep
from waitlist_airflow.web.own_threads import OwnThreads
from waitlist_airflow.web.site import MappingFaults, Site, SiteDep

T = TypeVar("T")
Data = TypeVar("Data", bound=Callable[..., Any])
Answer = TypeVar("Answer", bound=Callable[..., Response])
Reading = Callable[[], Any]

API: Final = "/api/"
READS: Final = ["GET", "HEAD"]
"""A HEAD is answered, and logged where persons are shown, as a GET; the server leaves the content out."""
NOT_KEPT: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
"""The content of a page must not be stored by a browser: it may have personal data."""


@dataclass(frozen=True, slots=True)
class NavItem:
    """A page in the navigation."""

    label: str
    path: str
    """Below ``/migrering/``, without a leading slash; empty for the first page."""
    leads_only: bool


class Pages:
    """The pages of one module."""

    def __init__(self) -> None:
        self.router: Final = APIRouter()
        self.nav: Final[list[NavItem]] = []

    def page(
        self, path: str, *, api: str, template: str, nav: str | None = None, leads_only: bool = False
    ) -> Callable[[Data], Data]:
        """Register a function that returns a page's dataclass.

        Args:
            path: the page's path, with FastAPI's placeholders.
            api: the path of the JSON.
            template: a file in ``templates/``; it gets the dataclass as ``page`` and the user as ``reader``.
            nav: its name in the navigation; None leaves it out.
            leads_only: whether the navigation shows it to leads only. The function itself must refuse others.
        """

        def register(read: Data) -> Data:
            later = Annotated[Reading, Depends(_later(read))]

            async def as_html(request: Request, site: SiteDep, reader: ReaderDep, reading: later) -> Response:
                def page_of() -> Response:
                    page = reading()
                    return render(request, template, reader=reader, faults=site.mapping_faults, page=page)

                return await read_apart(request, site, page_of)

            async def as_json(request: Request, site: SiteDep, reading: later) -> Response:
                return await read_apart(request, site, lambda: JSONResponse(to_plain(reading()), headers=NOT_KEPT))

            self.router.add_api_route(path, as_html, methods=READS, name=template, response_model=None)
            self.router.add_api_route(api, as_json, methods=READS, response_model=None)
            if nav is not None:
                self.nav.append(NavItem(nav, path.removeprefix("/"), leads_only))
            return read

        return register

    def file(self, path: str) -> Callable[[Answer], Answer]:
        """Register a function that returns another kind of answer; it runs in the same threads as pages."""

        def register(read: Answer) -> Answer:
            async def as_it_is(
                request: Request, site: SiteDep, reading: Annotated[Reading, Depends(_later(read))]
            ) -> Response:
                return await read_apart(request, site, reading)

            self.router.add_api_route(path, as_it_is, methods=READS, response_model=None)
            return read

        return register


def _later(read: Callable[..., T]) -> Callable[..., Awaitable[Callable[[], T]]]:
    """Return a function with the parameters of ``read`` for FastAPI; its result calls ``read`` with them."""

    @functools.wraps(read)
    async def later(**given: Any) -> Callable[[], T]:  # noqa: ANN401 - as ``read`` has them
        return functools.partial(read, **given)

    return later


async def read_apart(request: Request, site: Site, reading: Callable[[], T]) -> T:
    """Read in the app's own threads.

    Raises:
        HTTPException: 503: the staging database does not answer, or it would take too long.
    """
    threads: OwnThreads = request.app.state.threads
    return await threads.run(reading, answers=site.answers, seconds=site.settings.page_seconds)


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any value of a page
    """Return a dataclass as JSON values: dates and moments as ISO text, everything else under its own name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    return value


def wants_json(request: Request) -> bool:
    """Tell whether the answer is for a program."""
    return path_of(request).startswith(API)


def path_of(request: Request) -> str:
    """Return the path below ``/migrering``, with its leading slash."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", "")) or "/"


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    reader: Reader | None = None,
    faults: MappingFaults | None = None,
    **values: Any,  # noqa: ANN401 - any value that the template takes
) -> Response:
    """Return a page of a template.

    Args:
        request: the request.
        template: a file in ``templates/``.
        status: the answer's status.
        reader: None where no user is logged in.
        faults: the faults of the mapping files, for the notice; None leaves it out.
        values: what the template takes.
    """
    path = path_of(request)

    def with_query(**changes: object) -> str:
        """Return this page's query string with some changes; None removes a parameter."""
        asked: dict[str, object] = dict(parse_qsl(request.url.query)) | changes
        return "?" + urlencode({name: value for name, value in asked.items() if value not in {None, ""}})

    nav = tuple(item for item in request.app.state.nav if not item.leads_only or (reader and reader.leads))
    content = _TEMPLATES.get_template(template).render(
        root="../" * (path.count("/") - 1) or "./",
        here=path.removeprefix("/"),
        nav=nav,
        reader=reader,
        mapping_faults=faults,
        with_query=with_query,
        **values,
    )
    return HTMLResponse(content, status, NOT_KEPT)


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(formats.FILTERS)
_TEMPLATES.globals.update(formats.GLOBALS)
