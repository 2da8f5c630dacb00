"""``python -m waitlist.source.pu``: show the request that would be sent, or ask for some test persons.

The command line is seen by everybody on the machine and kept by shells: ask for the service's test persons only.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from waitlist.command_line import STAGING_URL, add_staging
from waitlist.exceptions import SettingsError, WaitlistError
from waitlist.settings import Settings
from waitlist.source.pu.certificates import Credentials
from waitlist.source.pu.client import Address, PersonServiceClient
from waitlist.source.pu.messages import MOST_IDS, is_person_id, write_request
from waitlist.source.pu.rest import FileRest
from waitlist.source.pu.status import PersonStatus
from waitlist.staging import StagingStore, persons
from waitlist.staging.database import Database

_URL: Final = "WAITLIST_PU_URL"
_CERTIFICATE: Final = "WAITLIST_PU_CERTIFICATE"
_KEY: Final = "WAITLIST_PU_KEY"
_AUTHORITIES: Final = "WAITLIST_PU_AUTHORITIES"
_KEY_PASSWORD: Final = "WAITLIST_PU_KEY_PASSWORD"  # noqa: S105 - the variable's name
_SHOWN_DIGITS: Final = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as the command line says; 0 when all was answered, 1 when the service was not asked or failed."""
    parser = _parser()
    given = parser.parse_args(arguments)
    ids: list[str] = given.show_request or given.check
    if len(ids) > MOST_IDS or not all(map(is_person_id, ids)):
        parser.error(f"give up to {MOST_IDS} numbers of twelve digits")
    try:
        settings = Settings.read().person_service
        if given.show_request:
            request = write_request(ids, settings.pu_profile, settings.pu_logical_address)
            sys.stdout.write(request.decode("utf-8") + "\n")
            return 0
        address, staging = _address(parser, given), given.staging or os.environ.get(STAGING_URL)
        database = None if staging is None else _staging_database(staging)
        rest = FileRest(given.rest) if database is None else persons.DatabaseRest(database)
        client = PersonServiceClient(address, rest, settings)
        sys.stdout.write(f"Our certificate is valid until {client.certificate_ends:%Y-%m-%d %H:%M} UTC.\n")
        statuses = list(client.ask(ids))
        sys.stdout.writelines(f"{line}\n" for line in _lines(statuses))
        dead = next((status for status in statuses if status.deceased), None)
        if dead is not None and database is not None:
            persons.record_check(database, settings.pu_profile, deceased_seen_at=dead.asked_at)
            sys.stdout.write(f"Recorded: WAITLIST_PU may be required with the profile {settings.pu_profile}.\n")
        elif dead is not None:
            sys.stdout.write(f"Not recorded: give the staging database, by --staging or {STAGING_URL}.\n")
    except WaitlistError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2 if isinstance(fault, SettingsError) else 1
    return 0


def _staging_database(url: str) -> Database:
    store = StagingStore(url, connections=Settings.read().connections)
    store.migrate()
    return store.database


def _lines(statuses: list[PersonStatus]) -> Iterator[str]:
    for status in statuses:
        yield f"{'*' * 8}{status.person_id[-_SHOWN_DIGITS:]}: {', '.join(_words(status))}"
    if any(status.deceased for status in statuses):
        yield "A deceased person was seen: this profile tells of deaths."
    else:
        yield "No deceased person was seen. Ask for one before WAITLIST_PU is set to required."


def _words(status: PersonStatus) -> Iterator[str]:
    if not status.found:
        yield "not found"
        return
    facts = {
        "test person": status.test_person,
        "sekretessmarkering": status.protected_person,
        "skyddad folkbokföring": status.protected_record,
        "number changed": status.number_changed,
        "deceased": status.deceased,
        "found dead": status.found_dead,
        f"deregistered ({status.reason or 'without a reason'})": status.deregistered,
        "has a surname": status.name is not None,
    }
    yield "found"
    yield from (fact for fact, holds in facts.items() if holds)


def _address(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Address:
    missing = [
        variable
        for variable, value in (
            (_URL, given.url),
            (_CERTIFICATE, given.certificate),
            (_KEY, given.key),
            (_AUTHORITIES, given.authorities),
        )
        if not value
    ]
    if missing:
        parser.error(f"the service is not known: set {', '.join(missing)}, or the options of these names")
    password = os.environ.get(_KEY_PASSWORD)
    return Address(given.url, Credentials(Path(given.certificate), Path(given.key), Path(given.authorities), password))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.source.pu",
        description="The national person service. Everybody on this machine sees the numbers: give test persons only.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--show-request", nargs="+", metavar="ID", help="print the request; nothing is sent")
    what.add_argument("--check", nargs="+", metavar="ID", help="ask, and print what of the answer counts")
    environ = os.environ
    parser.add_argument("--url", default=environ.get(_URL), help=f"of the service; default: {_URL}")
    parser.add_argument(
        "--certificate",
        metavar="FILE",
        default=environ.get(_CERTIFICATE),
        help=f"ours, PEM; default: {_CERTIFICATE}",
    )
    parser.add_argument(
        "--key", metavar="FILE", default=environ.get(_KEY), help=f"default: {_KEY}; its password: {_KEY_PASSWORD}"
    )
    parser.add_argument(
        "--authorities",
        metavar="FILE",
        default=environ.get(_AUTHORITIES),
        help=f"roots by which the service is judged, PEM; default: {_AUTHORITIES}",
    )
    parser.add_argument(
        "--rest",
        metavar="FILE",
        type=Path,
        default=Path(tempfile.gettempdir()) / "waitlist" / "person-service-rest",
        help="keeps the moment before which nobody asks again, after a call that failed; the staging database keeps it "
        "where one is given",
    )
    add_staging(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
