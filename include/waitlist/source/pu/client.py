"""Asks the service: SOAP 1.1 over mutual TLS, at most 500 persons a call, one call after the other.

Nothing is tried again here. A call that fails ends the asking and begins the rest, in which no process asks
(``rest``). An answer counts only when it is whole: of a call that failed nothing is handed on.
"""

import datetime as dt
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from waitlist.exceptions import PersonServiceError, PersonServiceRestError, PersonServiceSetupError
from waitlist.settings import PersonServiceSettings
from waitlist.source.pu.answers import AnswerError, read_answer, read_fault
from waitlist.source.pu.certificates import Credentials
from waitlist.source.pu.messages import HEADERS, MOST_IDS, is_person_id, write_request
from waitlist.source.pu.rest import REST, Rest
from waitlist.source.pu.status import PersonStatus
from waitlist.waiting import Watch

log: Final = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 10
_HTTPS_PORT: Final = 443
_NOT_OURS: Final = ("httpx", "httpcore")
"""Loggers that would write down a status line and headers, which the service fills with what it likes."""
_OPENSSL_CODE: Final = re.compile("[A-Z0-9_]{1,60}", re.ASCII)


@dataclass(frozen=True)
class Address:
    """Where the service is, and as whom it is asked."""

    url: str
    credentials: Credentials


class _SilentError(Exception):
    """The call took longer than it may."""


class PersonServiceClient:
    """One consumer of the service.

    Args:
        address: where the service is; the certificates are read at once.
        rest: keeps the moment before which nobody asks.
        settings: profile, logical address and how long a call may take.
        now: the present moment in UTC.

    Raises:
        PersonServiceSetupError: the address or a certificate is at fault.
    """

    def __init__(
        self,
        address: Address,
        rest: Rest,
        settings: PersonServiceSettings | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._url = _checked(address.url)
        self._context = address.credentials.context()
        self._validity = address.credentials.validity()
        self._rest = rest
        self._settings = settings or PersonServiceSettings()
        self._now = now

    @property
    def certificate_ends(self) -> dt.datetime:
        """When our own certificate expires, for a message in good time."""
        return self._validity.ends

    def require_valid_certificate(self) -> None:
        """Let our certificate be used.

        Raises:
            PersonServiceSetupError: it has expired, or is not valid yet.
        """
        self._validity.check(self._now())

    def ask(self, ids: Sequence[str]) -> Iterator[PersonStatus]:
        """Ask for persons, and give the answers of each call once all of that call are there.

        Args:
            ids: twelve digits each; one that comes twice is asked for once.

        Returns:
            one status for each person, in the order of ``ids``. A call is made when its first status is taken.

        Raises:
            PersonServiceSetupError: an id has another form, or our certificate has expired: nothing was asked.
            PersonServiceRestError: the service failed a moment ago: nothing was asked.
            PersonServiceError: the service did not answer, or not as agreed; the rest has begun.
        """
        distinct = list(dict.fromkeys(ids))
        malformed = sum(not is_person_id(person_id) for person_id in distinct)
        if malformed:
            raise PersonServiceSetupError(f"{malformed} of {len(distinct)} numbers do not have twelve digits")
        return self._answers(distinct)

    def _answers(self, ids: list[str]) -> Iterator[PersonStatus]:
        for first in range(0, len(ids), MOST_IDS):
            yield from self._call(ids[first : first + MOST_IDS])

    def _call(self, ids: list[str]) -> list[PersonStatus]:
        asked_at = self._now()
        self._validity.check(asked_at)
        until = self._rest.until()
        if until is not None and asked_at < until:
            raise PersonServiceRestError(f"the person service failed just now: nobody asks it before {_in_utc(until)}")
        begun = time.monotonic()
        outcome = self._outcome(ids, asked_at)
        if isinstance(outcome, str):
            until = self._now() + REST
            self._rest.rest_until(until)
            raise PersonServiceError(f"the person service {outcome}; nobody asks it again before {_in_utc(until)}")
        log.info("The person service answered for %d persons in %.1f s.", len(ids), time.monotonic() - begun)
        return outcome

    def _outcome(self, ids: list[str], asked_at: dt.datetime) -> list[PersonStatus] | str:
        """Make one call; what went wrong comes back as words, so that no error has another one as its context."""
        for name in _NOT_OURS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        seconds = self._settings.pu_seconds
        watch = Watch(seconds, _SilentError, self._url.port or _HTTPS_PORT)
        try:
            # Watched as a whole: with a limit for each read alone, an answer that arrives in drops could last for ever.
            return watch.connect(self._exchange, ids, asked_at)
        except (_SilentError, httpx.TimeoutException):
            return f"did not answer within {seconds} s (WAITLIST_PU_SECONDS)"
        except AnswerError as error:
            return f"gave an answer that is not as agreed: {error}"
        except _RefusedError as error:
            return f"refused the call: {error}"
        except httpx.HTTPError as error:
            return f"could not be reached, or broke off: {_of_transport(error)}"
        except Exception as error:  # noqa: BLE001 - the text of any error may quote a person
            return f"could not be asked: {type(error).__name__}"

    def _exchange(self, ids: list[str], asked_at: dt.datetime) -> list[PersonStatus]:
        request = write_request(ids, self._settings.pu_profile, self._settings.pu_logical_address)
        timeout = httpx.Timeout(self._settings.pu_seconds, connect=_CONNECT_SECONDS)
        # A connection for each call, since the watch knows a call by the socket that it opened. No proxy of the
        # environment: what is sent is for the service alone.
        with (
            httpx.Client(verify=self._context, trust_env=False, timeout=timeout) as client,
            client.stream("POST", self._url, content=request, headers=HEADERS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                fault = read_fault(response.iter_raw())
                raise _RefusedError(", ".join(filter(None, (f"HTTP {response.status_code}", fault))))
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise AnswerError("it is compressed")
            return read_answer(response.iter_raw(), ids, asked_at)


class _RefusedError(Exception):
    """HTTP said no; the text is safe to tell."""


def _checked(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme != "https" or not url.host or url.userinfo:
        raise PersonServiceSetupError("the address of the person service must be https://host/path, without a password")
    return url


def _in_utc(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _of_transport(error: BaseException) -> str:
    """Say what broke: the kind of the error, and OpenSSL's word for a certificate that was not accepted."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: OpenSSL's code {cause.verify_code} ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError) and _OPENSSL_CODE.fullmatch(cause.reason or ""):
            return f"TLS, {cause.reason}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
