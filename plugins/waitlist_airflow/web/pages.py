"""Makes a page and its JSON from one dataclass."""

import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

from waitlist.access import Need
from waitlist_airflow.web import formats
from waitlist_airflow.web.access import Reader, ReaderDep, Requires
from waitlist_airflow.web.forms import OurForm
from waitlist_airflow.web.own_threads import OwnThreads
from waitlist_airflow.web.site import MappingFaults, Site, SiteDep
from waitlist_airflow.web.static_files import FOLDER

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
    need: Need


@dataclass(frozen=True, slots=True)
class Home:
    """Where a reader begins."""

    path: str
    """Below ``/migrering/``."""
    button: str
    """The text of a link there; empty where the reader may see no page."""


class Pages:
    """The pages of one module."""

    def __init__(self) -> None:
        self.router: Final = APIRouter()
        self.nav: Final[list[NavItem]] = []

    def page(self, path: str, *, api: str, need: Need, template: str, nav: str | None = None) -> Callable[[Data], Data]:
        """Register a function that returns a page's dataclass.

        Args:
            path: the page's path, with FastAPI's placeholders.
            api: the path of the JSON.
            need: what a user needs for both; any other user is refused before the function is called.
            template: a file in ``templates/``; it gets the dataclass as ``page`` and the user as ``reader``.
            nav: its name in the navigation of those who may see it; None leaves it out.
        """

        def register(read: Data) -> Data:
            later = Annotated[Reading, Depends(_later(read))]

            async def as_html(request: Request, site: SiteDep, _reader: ReaderDep, reading: later) -> Response:
                def page_of() -> Response:
                    page = reading()
                    return render(request, template, faults=site.mapping_faults, page=page)

                return await read_apart(request, site, page_of)

            async def as_json(request: Request, site: SiteDep, reading: later) -> Response:
                return await read_apart(request, site, lambda: JSONResponse(to_plain(reading()), headers=NOT_KEPT))

            _add(self.router, path, as_html, need, name=template)
            _add(self.router, api, as_json, need)
            if nav is not None:
                self.nav.append(NavItem(nav, path.removeprefix("/"), need))
            return read

        return register

    def file(self, path: str, *, need: Need) -> Callable[[Answer], Answer]:
        """Register a function that returns another kind of answer; it runs in the same threads as pages."""

        def register(read: Answer) -> Answer:
            async def as_it_is(
                request: Request, site: SiteDep, reading: Annotated[Reading, Depends(_later(read))]
            ) -> Response:
                return await read_apart(request, site, reading)

            _add(self.router, path, as_it_is, need)
            return read

        return register

    def form(
        self,
        path: str,
        *,
        page: str,
        fields: Collection[str],
        need: Need,
        api: str | None = None,
        may: Sequence[Callable[..., Any]] = (),
    ) -> Callable[[Answer], Answer]:
        """Register a function that answers a form of one of our pages; it runs in the same threads as pages.

        There is no other way to register a POST: a form from elsewhere is refused before the function is called.

        Args:
            path: its path.
            page: the path of the page that has the form, with the same placeholders.
            fields: the names of its fields; a form with another is refused.
            need: what the reader needs to see that page.
            api: its path for programs; None: programs use the same.
            may: what refuses a reader without the right to do it.
        """

        def register(act: Answer) -> Answer:
            later = Annotated[Reading, Depends(_later(act))]

            async def answer(request: Request, site: SiteDep, acting: later) -> Response:
                return await read_apart(request, site, acting)

            refusals: list[Callable[..., Any]] = [*may, OurForm(page, frozenset(fields))]
            for address in (path,) if api is None else (path, api):
                _add(self.router, address, answer, need, methods=["POST"], refusals=refusals)
            return act

        return register


def _add(
    router: APIRouter,
    path: str,
    answer: Callable[..., Awaitable[Response]],
    need: Need,
    *,
    methods: Sequence[str] = READS,
    name: str | None = None,
    refusals: Sequence[Callable[..., Any]] = (),
) -> None:
    needed: list[Callable[..., Any]] = [Requires(need), *refusals]
    needs = [Depends(refuse) for refuse in needed]
    router.add_api_route(path, answer, methods=list(methods), name=name, dependencies=needs, response_model=None)


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
    # Most values of a page with many units are numbers and texts.
    return value if type(value) in _PLAIN else _to_plain(value)


def _to_plain(value: Any) -> Any:  # noqa: ANN401 - as above
    kind: type = type(value)
    if names := _fields_of(kind):
        # A point of a trend has a few plain values: there are many thousands of them.
        return {name: found if type(found := getattr(value, name)) in _PLAIN else _to_plain(found) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    return value


_PLAIN: Final = frozenset({bool, float, int, str, type(None)})


@functools.cache
def _fields_of(kind: type) -> tuple[str, ...]:
    """Return the names of a dataclass's fields; empty for any other type."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def wants_json(request: Request) -> bool:
    """Tell whether the answer is for a program."""
    return path_of(request).startswith(API)


def path_of(request: Request) -> str:
    """Return the path below ``/migrering``, with its leading slash."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", "")) or "/"


def reader_of(request: Request) -> Reader | None:
    """Return the reader of a request; None where nobody is logged in, or before that is known."""
    found: Reader | None = getattr(request.state, "reader", None)
    return found


def home_of(reader: Reader | None) -> Home:
    """Return the first page of those that a reader may see."""
    if reader is None or reader.rights.allow(Need.EVERY_UNIT):
        return Home("", "Till översikten")
    if len(reader.rights.own_units) == 1:
        return Home(f"enhet/{quote(min(reader.rights.own_units), safe='')}", "Till enhetens sida")
    if reader.rights.allow(Need.A_UNIT):
        return Home("enhet", "Till dina enheter")
    if reader.rights.allow(Need.LOG):
        return Home("atkomstlogg", "Till åtkomstloggen")
    return Home("", "")


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    faults: MappingFaults | None = None,
    **values: Any,  # noqa: ANN401 - any value that the template takes
) -> Response:
    """Return a page of a template, with the menu of its reader; nobody that is not logged in has one.

    Args:
        request: the request.
        template: a file in ``templates/``.
        status: the answer's status.
        faults: the faults of the mapping files, for the notice; None leaves it out.
        values: what the template takes.
    """
    path = path_of(request)
    reader = reader_of(request)

    def with_query(**changes: object) -> str:
        """Return this page's query string with some changes; None removes a parameter."""
        asked: dict[str, object] = dict(parse_qsl(request.url.query)) | changes
        return "?" + urlencode({name: value for name, value in asked.items() if value not in {None, ""}})

    nav = tuple(item for item in request.app.state.nav if reader is not None and reader.rights.allow(item.need))
    content = _TEMPLATES.get_template(template).render(
        root="../" * (path.count("/") - 1) or "./",
        airflow=("../" * (path.count("/") - 1) or "./") + "../",
        here=path.removeprefix("/"),
        home=home_of(reader),
        framed=request.headers.get("Sec-Fetch-Dest") == "iframe",
        # The page of an error quotes no address.
        place=_place_of(request, path) if status == 200 else "",
        nav=nav,
        searches=reader is not None and reader.rights.allow(Need.A_UNIT),
        reader=reader,
        mapping_faults=faults,
        with_query=with_query,
        **values,
    )
    return HTMLResponse(content, status, NOT_KEPT)


def as_pdf(
    template: str,
    name: str,
    **values: Any,  # noqa: ANN401 - any value that the template takes
) -> Response:
    """Return a document as a PDF file to keep; the same values give the same bytes.

    Args:
        template: a file in ``templates/`` that is a whole document; ``static/document.css`` is its style sheet.
        name: the file's name, without personal data.
        values: what the template takes.
    """
    from weasyprint import CSS, HTML  # noqa: PLC0415 - only this answer needs it, and it is large

    # It logs every step of its work.
    logging.getLogger("weasyprint.progress").setLevel(logging.ERROR)
    text = _TEMPLATES.get_template(template).render(root="", airflow="", **values)
    # The document has everything in it: nothing is fetched for it.
    made = HTML(string=text, url_fetcher=_fetch_nothing).write_pdf(stylesheets=[CSS(string=_DOCUMENT_STYLE)])
    headers = {**NOT_KEPT, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(made, media_type="application/pdf", headers=headers)


def _fetch_nothing(url: str) -> NoReturn:
    raise ValueError(f"a document names an address: {url}")


def _place_of(request: Request, path: str) -> str:
    """Return the address of this page below ``/migrering/``, to open it in or out of Airflow's frame.

    Empty for a page that a plain link does not lead to: one of persons, or the answer to a form.
    """
    asked = parse_qsl(request.url.query)
    if request.method == "POST" or any(name == "marke" for name, _ in asked):
        return ""
    return quote(path.removeprefix("/")) + (f"?{urlencode(asked)}" if asked else "")


_DOCUMENT_STYLE: Final = (FOLDER / "document.css").read_text(encoding="utf-8")
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(formats.FILTERS)
_TEMPLATES.globals.update(formats.GLOBALS)
