"""``python -m benchmarks.persons``: ask the simulated person service about many persons, at the real producer's limit.

The simulator takes what the contract allows the producer: 20 ms a record and 100 ms a call. Four processes ask at a
time, as the four slots of the pool ``pu`` do, and keep what is answered in a PostgreSQL database of its own. The
baselines are measured in the same run: a client that asks about one person a call, and one caller alone. The floor is
arithmetic: the producer's limit, with four calls in flight and nothing else.

No number here is anybody's: each is a published test number with a wrong check digit, since there are only 31,000
published ones.
"""

import argparse
import datetime as dt
import json
import math
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from tests.support.postgres import running_postgres

from benchmarks.__main__ import ROOT, about
from benchmarks.observe import end_on_signals
from waitlist.columns.dates import day_in_stockholm
from waitlist.simulator.person_service import Person, write_people
from waitlist.simulator.persons import digits, official
from waitlist.source.pu import Address, Credentials, PersonServiceClient, PersonStatus
from waitlist.source.pu.asking import Terms, Wanted, gather
from waitlist.source.pu.messages import MOST_IDS
from waitlist.staging import StagingStore, persons

CALL_SECONDS: Final = 0.1
RECORD_SECONDS: Final = 0.02
CALLERS: Final = 4
DAYS: Final = 7
_KEY: Final = b"k" * 32
_SETTLED: Final = 2
"""Calls after which memory is measured for the first time."""
_NAMES: Final = ("Provsson", "Testberg", "Demolund")
Row = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Where the service and the database are; ``staging`` is a SQLAlchemy URL."""

    url: str
    certificates: Path
    staging: str

    def address(self) -> Address:
        """Return the service as its client knows it."""
        names = ("client.pem", "client-key.pem", "authority.pem")
        return Address(self.url, Credentials(*(self.certificates / name for name in names)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the command line says."""
    given = _parser().parse_args(arguments)
    end_on_signals()
    with running_postgres() as server, tempfile.TemporaryDirectory(prefix="waitlist-persons-") as folder:
        most = max(given.persons, given.migration)
        with serving(Path(folder), most) as url:

            def site() -> Site:
                staging = server.libpq(server.create_database())
                StagingStore(staging).migrate()
                return Site(url, Path(folder) / "certificates", staging)

            rows = list(measure(site, given))
    found = {"about": about(), "rows": rows}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(rows)}\n\nAll of it: {given.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.persons", description="Ask about many persons.")
    parser.add_argument("--persons", type=int, default=250_000, help="of the first night")
    parser.add_argument("--migration", type=int, default=5_000, help="persons of a wave")
    parser.add_argument("--one-a-call", type=int, default=200, help="persons that the naive client asks about")
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "persons.json", metavar="FILE")
    return parser


def measure(site: Any, given: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each kind of asking."""
    yield _printed(one_a_call(site(), given.one_a_call))
    yield _printed(ask("a wave, one caller", site(), given.migration, callers=1))
    yield _printed(ask("a wave, four callers", site(), given.migration))
    here = site()
    yield _printed(ask("the first night, four callers", here, given.persons))
    yield _printed(ask("the night after, four callers", here, given.persons, night=1))


def one_a_call(site: Site, count: int) -> Row:
    """Ask about one person a call, one call after the other."""
    client = PersonServiceClient(site.address(), persons.DatabaseRest(StagingStore(site.staging).database))
    begun, cpu = time.monotonic(), time.process_time()
    for number in numbers(0, count):
        list(client.ask([number]))
    row = {"seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - cpu}
    return {
        "what": "one person a call, one caller",
        "persons": count,
        "asked": count,
        "callers": 1,
        "calls": count,
    } | row


def ask(what: str, site: Site, count: int, *, callers: int = CALLERS, night: int | None = None) -> Row:
    """Ask about persons in as many processes as there are callers.

    Args:
        what: the row's name.
        site: where to ask, and where to keep the answers.
        count: the persons.
        callers: processes.
        night: the number of nights since the answers were given, for a dry run that renews a part; None: every answer
            has to be of now, as in a first night or a migration.
    """
    bounds = [round(count * place / callers) for place in range(callers + 1)]
    with ProcessPoolExecutor(callers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            list(pool.map(time.sleep, [1.0] * callers))  # every process is started before the time is measured
            begun = time.monotonic()
            parts = list(pool.map(_ask_part, [site] * callers, bounds[:-1], bounds[1:], [night] * callers))
            seconds = time.monotonic() - begun
        except BaseException:
            # Otherwise the pool would wait for the end of what its processes have begun.
            for process in multiprocessing.active_children():
                process.kill()
            raise
    return {
        "what": what, "persons": count, "asked": sum(part["asked"] for part in parts), "callers": callers,
        "calls": sum(part["calls"] for part in parts), "seconds": seconds,
        "cpu_seconds": sum(part["cpu_seconds"] for part in parts),
        "peak_bytes": max(part["peak_bytes"] for part in parts),
        "grew_bytes": max(part["grew_bytes"] for part in parts),
    }  # fmt: skip


def _ask_part(site: Site, first: int, last: int, night: int | None) -> Row:
    """Ask about one process's persons by the step's own code, and say what it took."""
    database, now = StagingStore(site.staging).database, dt.datetime.now(dt.UTC)
    client = PersonServiceClient(site.address(), persons.DatabaseRest(database))
    day = day_in_stockholm(now) + dt.timedelta(night or 0)
    terms = Terms.since_moment(now) if night is None else Terms.of_a_night(day, DAYS, now)
    held: list[int] = []

    def asked(some: Sequence[str]) -> list[PersonStatus]:
        statuses = list(client.ask(some))
        held.append(_memory("VmRSS"))
        return statuses

    wanted, cpu = _wanted(first, last), time.process_time()
    found = gather(wanted, database, terms, asked, _KEY)
    if found.fault is not None or found.used.num_rows != last - first:
        raise RuntimeError(f"{found.used.num_rows} of {last - first} persons have an answer: {found.fault}")
    return {
        "asked": found.asked, "calls": len(held), "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": _memory("VmHWM"),
        "grew_bytes": max(held[_SETTLED - 1 :], default=0) - held[_SETTLED - 1] if len(held) >= _SETTLED else 0,
    }  # fmt: skip


def _wanted(first: int, last: int) -> Wanted:
    """Return persons with one post each, as the step finds them in its part of the snapshot."""
    found = sorted(numbers(first, last))
    names = [f"anna {_NAMES[place % len(_NAMES)]}".casefold() for place in range(len(found))]
    rows = pa.table({"person_id": found, "post_id": pa.array(range(len(found)), pa.int64()), "name": names})
    return Wanted(tuple(found), rows, tuple(range(1, len(found) + 1)))


def numbers(first: int, last: int) -> list[str]:
    """Return twelve digits for each place, which cannot be a personnummer."""
    births, serials = official()
    published = [digits(birth, int(serial)) for birth, serial in zip(births, serials, strict=True)]
    wrong = (
        f"{number[:-1]}{(int(number[-1]) + step) % 10}" for step in range(1, 10) for number in published
    )  # fmt: skip
    return list(islice(wrong, first, last))


@contextmanager
def serving(folder: Path, count: int) -> Iterator[str]:
    """Run the simulator in a process of its own, at the producer's limit; yield its address."""
    people = folder / "people.parquet"
    write_people((Person(number, given_name="Anna", surname=_NAMES[0]) for number in numbers(0, count)), people)
    command = ["-m", "waitlist.simulator.person_service", "--people", people, "--out", folder / "certificates"]
    process = subprocess.Popen([sys.executable, *command, "--producers-pace"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search("https://.*", process.stdout.readline())
        if found is None:
            raise RuntimeError("the simulator did not start")
        yield found[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def floor(row: Row) -> float:
    """Return the seconds that the producer may take for what was asked, with the row's calls in flight."""
    calls = math.ceil(row["asked"] / MOST_IDS) if row["callers"] > 1 else row["calls"]
    return (row["asked"] * RECORD_SECONDS + calls * CALL_SECONDS) / row["callers"]


HEAD: Final = (
    "| what | persons | asked about | calls | seconds | by the producer's limit | CPU s | largest process | grew by |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def line(row: Row) -> str:
    """Return a row in Markdown."""
    peak, grew = (f"{row[name] / 2**20:,.0f} MB" if name in row else "" for name in ("peak_bytes", "grew_bytes"))
    return (
        f"| {row['what']} | {row['persons']:,} | {row['asked']:,} | {row['calls']:,} | {row['seconds']:,.1f} |"
        f" {floor(row):,.1f} | {row['cpu_seconds']:.1f} | {peak} | {grew} |"
    )


def table(rows: Sequence[Row]) -> str:
    """Return all rows in Markdown."""
    return "\n".join([HEAD, *map(line, rows)])


def _printed(row: Row) -> Row:
    print(line(row), flush=True)
    return row | {"load": os.getloadavg()[0]}


def _memory(kind: str) -> int:
    """Return how much memory this process holds (``VmRSS``) or has held at most (``VmHWM``), in bytes."""
    # Not getrusage: its maximum is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024


if __name__ == "__main__":
    main()
