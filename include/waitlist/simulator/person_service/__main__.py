"""``python -m waitlist.simulator.person_service``: simulates the national person service until it is stopped."""

import argparse
import datetime as dt
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from waitlist.simulator.person_service.cases import ODD, PEOPLE
from waitlist.simulator.person_service.certificates import make_certificates
from waitlist.simulator.person_service.people import read_people
from waitlist.simulator.person_service.server import PersonService, Switch

_CALL_SECONDS, _RECORD_SECONDS = 0.1, 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve with the arguments of the command line, until an interrupt or SIGTERM."""
    parser = _parser()
    given = parser.parse_args(arguments)
    # A shell's background job ignores SIGINT.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _serve(parser, given)
    return 0


def _serve(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    today = _no_day if given.day is None else partial(_day_in, given.day)
    try:
        people = {person.id: person for person in read_people(given.people)} if given.people else {}
        today()
    except (OSError, ValueError) as error:
        parser.error(str(error))
    # The cases have published numbers too, and a synthetic patient may have the same one: the patient counts.
    odd = {asked: switch for asked, switch in ODD.items() if asked not in people}
    everybody = {person.id: person for person in PEOPLE} | people
    certificates = make_certificates(given.out)
    pace = (_CALL_SECONDS, _RECORD_SECONDS) if given.producers_pace else (0, 0)
    service = PersonService(
        everybody.values(),
        certificates,
        port=given.port,
        odd=odd,
        call_seconds=pace[0],
        record_seconds=pace[1],
        today=today,
    )
    service.switch = given.switch
    deceased = next((one for one in everybody.values() if one.reason == "AV" and not one.since), None)
    with service:
        for name, value in (
            ("WAITLIST_PU_URL", service.url),
            ("WAITLIST_PU_CERTIFICATE", certificates.client.resolve()),
            ("WAITLIST_PU_KEY", certificates.client_key.resolve()),
            ("WAITLIST_PU_AUTHORITIES", certificates.authority.resolve()),
            ("DECEASED_TEST_PERSON", "" if deceased is None else deceased.extension),
        ):
            sys.stdout.write(f"export {name}={shlex.quote(str(value))}\n")
        sys.stdout.flush()
        service.wait()


def _no_day() -> None:
    return None


def _day_in(path: Path) -> dt.date:
    return dt.date.fromisoformat(path.read_text(encoding="ascii").strip())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.simulator.person_service",
        description="Stand in for the national person service. Prints where it is; knows the contract's cases.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--out", type=Path, default=Path(".demo/person_service"), metavar="FOLDER", help="certificates")
    parser.add_argument("--people", type=Path, metavar="FILE", help="persons besides the contract's cases (Parquet)")
    parser.add_argument(
        "--day",
        type=Path,
        metavar="FILE",
        help="holds the day YYYY-MM-DD as of which a call is answered, read at each call; default: the end of all days",
    )
    parser.add_argument("--switch", type=Switch, choices=list(Switch), help="what goes wrong with every call")
    parser.add_argument(
        "--producers-pace",
        action="store_true",
        help="take as long as the real producer may: 20 ms a record and 100 ms a call",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
