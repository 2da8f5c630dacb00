"""The pages for errors, and the headers of every answer. The text of an error is never shown."""

import base64
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.configuration import conf
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waitlist.access import Need
from waitlist.exceptions import StagingError, WaitlistError
from waitlist.reports.pages.reading import NoBatchError, OtherReleaseError, UnknownError
from waitlist.waiting import WaitedError
from waitlist_airflow.guard import where
from waitlist_airflow.web import addresses, pages

log = logging.getLogger(__name__)

_LOGIN_STYLE: Final = (
    "body{font:1.125rem/1.6 system-ui,sans-serif;margin:0 auto;max-width:36rem;padding:12vh 1.25rem;"
    "color:#14181f;background:#f6f7f9}h1{font-size:1.75rem;line-height:1.2}"
    "a{display:inline-block;margin-top:.5rem;padding:.6rem 1.1rem;border-radius:.5rem;background:#0b5cab;color:#fff;"
    "font-weight:600;text-decoration:none}a:focus-visible{outline:3px solid #14181f;outline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{color:#e8ecf1;background:#101418}a{background:#8cc2ff;color:#101418}"
    "a:focus-visible{outline-color:#e8ecf1}}"
)
"""The only style outside the style sheet: a user that is not logged in gets no file."""
_LOGIN_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_LOGIN_STYLE.encode()).digest()).decode()

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'self' 'sha256-{_LOGIN_STYLE_HASH}'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    # A form's origin would be null by "no-referrer". An address here has no personal data.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_OF_A_QUERY: Final = "%&=+-._~/:"
_ONLY_BY_TLS: Final = "max-age=31536000"
"""For a year, a browser that has used TLS uses nothing else."""


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The texts of an error page."""

    title: str
    text: str
    advice: str
    path: str | None = None
    """The target of its button, below ``/migrering/``; None: the reader's first page."""
    button: str = ""
    need: Need = Need.ANY_RIGHT
    """What its button's target needs; other readers get a button to their first page."""


_TEXTS: Final[Mapping[tuple[int, str | None], ErrorText]] = {
    (401, None): ErrorText(
        "Logga in för att se migreringen",
        "Sidan visas bara för den som är inloggad i Airflow.",
        "Kommer du inte vidare efter inloggningen? Hör av dig till den som sköter Airflow.",
    ),
    (403, None): ErrorText(
        "Du har inte behörighet till sidan",
        "Ditt konto är inte kopplat till någon enhet.",
        "Be migreringsledningen koppla kontot till din enhet (filen unit_readers.csv).",
    ),
    (403, Need.THIS_UNIT): ErrorText(
        "Du har inte behörighet till enheten",
        "Sidan visas bara för enhetens egen personal och för migreringsledningen.",
        "Arbetar du på enheten? Be migreringsledningen koppla ditt konto till den (filen unit_readers.csv).",
    ),
    (403, Need.THIS_UNITS_PERSONS): ErrorText(
        "Du har inte behörighet till personuppgifter",
        "Namn, personnummer och arbetslistor visas bara för enhetens egen personal och för den som har fått den "
        "behörigheten.",
        "Behörigheten ges av migreringsledningen (filen unit_readers.csv eller inställningen WAITLIST_PERSON_READERS).",
    ),
    (403, Need.THIS_UNITS_PROTECTED): ErrorText(
        "Du har inte behörighet till skyddade personuppgifter",
        "Skyddade personuppgifter visas bara för personal på postens egen enhet.",
        "Arbetar du på enheten? Be migreringsledningen koppla ditt konto till den (filen unit_readers.csv).",
    ),
    (403, Need.EVERY_PERSON): ErrorText(
        "Du har inte behörighet till personuppgifter",
        "Arbetslistorna för en hel våg visas bara för den som får se personuppgifter på alla enheter.",
        "Vilka det är står i inställningen WAITLIST_PERSON_READERS. En enhets egen personal hämtar listan på enhetens "
        "sida.",
    ),
    (403, Need.A_UNIT): ErrorText(
        "Du har inte behörighet till någon enhet",
        "Ditt konto är inte kopplat till någon enhet.",
        "Be migreringsledningen koppla kontot till din enhet (filen unit_readers.csv).",
    ),
    (403, Need.EVERY_UNIT): ErrorText(
        "Sidan är till för migreringsledningen",
        "Sidan visar uppgifter om alla enheter. Du ser dina egna enheter.",
        "Vilka som ser alla enheter står i inställningarna WAITLIST_LEADS, WAITLIST_APPROVERS och "
        "WAITLIST_PERSON_READERS.",
    ),
    (403, "lead"): ErrorText(
        "Det beslutar migreringsledningen",
        "Bara migreringsledningen avgör vilket svar som gäller och frisläpper poster. Inget ändrades.",
        "Vilka det är står i inställningen WAITLIST_LEADS.",
    ),
    (403, "elsewhere"): ErrorText(
        "Personuppgifter visas inte den vägen",
        "Personuppgifter visas när du själv väljer det på enhetens sida, inte av en länk eller ett bokmärke. Inget har "
        "visats och inget har noterats i åtkomstloggen.",
        "Gå till enheten eller vågen och välj Visa personer eller Ladda ner där.",
        button="Till enheten",
    ),
    (403, "foreign"): ErrorText(
        "Formuläret togs inte emot",
        "Det kom inte från en sida som du själv har öppnat här, eller så har du loggat in på nytt sedan dess. Inget "
        "har ändrats.",
        "Öppna sidan och gör om det där.",
        button="Till sidan",
    ),
    (403, "may"): ErrorText(
        "Du har inte behörighet att göra det",
        "Du får se sidan, men för knappen behövs en behörighet i Airflow som ditt konto inte har. Inget har ändrats.",
        "Be den som sköter Airflow om behörigheten, eller låt någon som har den göra det.",
    ),
    (404, "no_sample"): ErrorText(
        "Raden eller månaden finns inte i stickprovet",
        "Inget har sparats. En månad som inte är slut har inget stickprov, och ett stickprov har bara sina egna rader.",
        "Gå till åtkomstloggen och öppna stickprovet där.",
        path="atkomstlogg",
        button="Till åtkomstloggen",
    ),
    (403, Need.LOG): ErrorText(
        "Du har inte behörighet till åtkomstloggen",
        "Åtkomstloggen visas bara för dem som granskar den.",
        "Vilka det är står i inställningen WAITLIST_LOG_READERS.",
    ),
    (404, None): ErrorText(
        "Sidan finns inte",
        "Sidan finns inte eller har tagits bort.",
        "Gå till första sidan och leta dig fram därifrån.",
    ),
    (404, "unknown"): ErrorText(
        "Det du frågar efter finns inte",
        "Enheten eller körningen finns inte bland de körningar som visas.",
        "Den kan ha tagits bort, eller ha körts om. Gå till första sidan och leta dig fram därifrån.",
    ),
    (404, "no_post"): ErrorText(
        "Posten finns inte på enhetens lista",
        "Inget har sparats. Posten kan ha avslutats i PMO eller flyttats till en annan enhet.",
        "Gå till enheten och sök efter posten där.",
        button="Till enheten",
    ),
    (404, "no_batch"): ErrorText(
        "Ingen torrkörning har gjorts ännu",
        "Här visas hur långt varje enhet har kommit, när väntelistorna har lästs och bedömts en första gång.",
        "Torrkörningen waitlist_dry_run går varje natt klockan 04. Den kan också startas för hand i Airflow. Har den "
        "gått men inte kommit i mål står det bland körningarna var den stannade.",
        path="korningar",
        button="Till körningarna",
        need=Need.EVERY_UNIT,
    ),
    (422, None): ErrorText(
        "Adressen går inte att läsa",
        "Något i adressen är inte som det ska vara.",
        "Gå till första sidan och leta dig fram därifrån.",
    ),
    (422, "form"): ErrorText(
        "Formuläret går inte att läsa",
        "Något i det är för långt eller har en form som sidan inte känner till. Inget har ändrats.",
        "Öppna sidan och gör om det där.",
        button="Till sidan",
    ),
    (500, None): ErrorText(
        "Något gick fel",
        "Sidan kunde inte visas. Inget har ändrats.",
        "Försök igen. Händer det på nytt finns orsaken i loggen för Airflows api-server.",
    ),
    (503, None): ErrorText(
        "Sidan kan inte visas just nu",
        "En inställning eller en fil som sidan bygger på är inte som den ska vara. Inget har ändrats.",
        "Orsaken står i loggen för Airflows api-server.",
    ),
    (503, "staging"): ErrorText(
        "Databasen svarar inte",
        "Databasen med torrkörningarna går inte att nå just nu. Inget har ändrats och inget har gått förlorat.",
        "Försök igen om en stund. Orsaken står i loggen för Airflows api-server.",
    ),
    (503, "busy"): ErrorText(
        "Databasen hinner inte svara",
        "Databasen är upptagen, eller också hämtar många sidor just nu. Inget har ändrats.",
        "Försök igen om en stund.",
    ),
    (503, "slow"): ErrorText(
        "Sidan tog för lång tid",
        "Sidan blev inte klar i tid. Inget har ändrats.",
        "Försök igen om en stund. Hur länge en sida får ta står i inställningen WAITLIST_PAGE_SECONDS.",
    ),
    (503, "release"): ErrorText(
        "Databasen hör till en annan version",
        "Tabellerna har inte samma version som sidorna.",
        "En äldre databas uppgraderas av nästa torrkörning. Är den nyare ska Airflow uppgraderas.",
    ),
}


def install(app: FastAPI) -> None:
    """Make an app answer errors with these pages, and add the headers to every answer."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    for kind in (WaitlistError, WaitedError):
        app.add_exception_handler(kind, _failed)
    app.add_middleware(_Guard)


def _answer(request: Request, status: int, about: str | None = None) -> Response:
    text = _TEXTS.get((status, about)) or _TEXTS.get((status, None)) or _TEXTS[500, None]
    if pages.wants_json(request):
        content = {"status": status, "error": about or status, "title": text.title}
        return JSONResponse(content, status, pages.NOT_KEPT)
    if about in {"foreign", "form"}:
        text = replace(text, path=request.state.form_page)
    if about in {"elsewhere", "no_post"} and "unit" in request.path_params:
        # An HSA-id may contain characters that must be escaped in an address.
        text = replace(text, path="enhet/" + quote(request.path_params["unit"], safe=""))
    login = get_auth_manager().get_url_login(next_url=_back_to(request)) if status == 401 else None
    reader = pages.reader_of(request)
    home = pages.home_of(reader)
    known = text.path is not None and (reader is None or reader.rights.allow(text.need))
    path, button = (text.path, text.button) if known else (home.path, home.button)
    shown: dict[str, Any] = {"text": text, "path": path, "button": button, "login": login}
    return pages.render(request, "error.html", status=status, login_style=_LOGIN_STYLE, **shown)


def _back_to(request: Request) -> str:
    """Return the address to return to after the login: a path, since the host's name comes from the request."""
    query = request.scope["query_string"]
    return quote(request.scope["path"]) + (f"?{quote(query, safe=_OF_A_QUERY)}" if query else "")


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    about = error.detail if isinstance(error, HTTPException) and (status, error.detail) in _TEXTS else None
    reader = pages.reader_of(request)
    home = pages.home_of(reader).path
    if about == Need.EVERY_UNIT and home and pages.path_of(request) == "/":
        # Airflow's menu leads everybody there. Relative, so that it is right behind a proxy too.
        return RedirectResponse(home, 303, pages.NOT_KEPT)
    if (status, about) == (403, None) and reader is not None and reader.rights.allow(Need.ANY_RIGHT):
        # Airflow's own refusal.
        about = "may"
    return _answer(request, status, about)


async def _unreadable(request: Request, _: Exception) -> Response:
    # FastAPI's own answer quotes the request.
    return _answer(request, 422)


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, NoBatchError):
        return _answer(request, 404, "no_batch")
    if isinstance(error, UnknownError):
        return _answer(request, 404, "unknown")
    # The project's own errors have no personal data, but they are written for engineers.
    log.error("%s: %s", type(error).__name__, error)
    if isinstance(error, OtherReleaseError):
        return _answer(request, 503, "release")
    return _answer(request, 503, "staging" if isinstance(error, StagingError | WaitedError) else None)


class _Guard:
    """Adds the headers, and answers unexpected errors: the server's own log would quote them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._behind_tls = str(conf.get("api", "base_url", fallback="")).startswith("https:")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        begun = False
        by_tls = scope.get("scheme") == "https" or self._behind_tls

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers: Any = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if by_tls:
                    headers["Strict-Transport-Security"] = _ONLY_BY_TLS
            await send(message)

        if scope["type"] == "http" and not addresses.is_readable(scope):
            scope = addresses.instead_of(scope)
        try:
            await self._app(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001 - the text of no error may reach the log
            log.error("%s", where(error))  # noqa: TRY400 - nor its traceback
            if begun:
                raise RuntimeError("an answer broke off") from None
            await _answer(Request(scope), 500)(scope, receive, guarded)
