"""``python -m waitlist.simulator``: make a synthetic PMO."""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from waitlist import paths
from waitlist.command_line import url_without_password
from waitlist.simulator.generation import generate
from waitlist.simulator.orders import Order, SimulatorError

_QUIET_SECONDS: Final = 2.0
"""Shorter work has no progress bar."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate with the arguments of the command line; return 0 when all was written, 2 when nothing was."""
    given = _parser().parse_args(arguments)
    sqlite = given.sqlite or (None if given.postgres else given.out / "pmo.sqlite")
    try:
        order = Order(given.posts, given.seed, given.as_of)
        with _progress(order.posts) as progress:
            made = generate(
                order,
                given.out,
                sqlite=sqlite,
                postgres=given.postgres,
                mappings=given.mappings,
                replace=given.replace,
                progress=progress,
            )
    except SimulatorError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    sys.stdout.write(
        f"{made.posts:,} posts at {made.units} units, {made.extracted:,} of them waiting on {order.as_of}; "
        f"{made.released} were released in an earlier batch. Truth: {made.out / 'truth.parquet'}\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m waitlist.simulator", description="Make a synthetic PMO.")
    parser.add_argument("--posts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--as-of", type=dt.date.fromisoformat, default=dt.date(2024, 10, 1), metavar="YYYY-MM-DD")
    parser.add_argument("--sqlite", type=Path, metavar="FILE", help="default: pmo.sqlite in the folder")
    parser.add_argument(
        "--postgres",
        metavar="URL",
        type=url_without_password("put it into PGPASSWORD"),
        help="postgresql://user@host/database; a password is taken from PGPASSWORD",
    )
    parser.add_argument("--out", type=Path, default=Path(".demo"), metavar="FOLDER", help="mapping files and truth")
    parser.add_argument("--mappings", type=Path, default=paths.MAPPINGS, metavar="FOLDER")
    parser.add_argument("--replace", action="store_true", help="replace earlier output")
    return parser


@contextmanager
def _progress(posts: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error when the work takes more than a few seconds."""
    columns = (TextColumn("Synthetic PMO"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("posts", total=posts)
    begun = time.monotonic()

    def show(done: int) -> None:
        bar.update(task, completed=done)
        if not bar.live.is_started and time.monotonic() - begun > _QUIET_SECONDS:
            bar.start()

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


if __name__ == "__main__":
    sys.exit(main())
