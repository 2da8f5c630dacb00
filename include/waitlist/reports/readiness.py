"""The readiness table in Swedish: for each unit, how many posts are ready to migrate and how many are left to handle.

The figures come from ``unit_summary`` and ``finding`` of one batch that counts for readers. Names, waves and go-lives
come from ``units.csv``. Days are counted from the batch's as-of date.

    python -m waitlist.reports.readiness [--staging URL] [--batch ID] [--mappings DIR]
"""

import argparse
import operator
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from waitlist.command_line import add_staging, staging_url
from waitlist.deployment import asks_persons
from waitlist.exceptions import RefusedError, WaitlistError
from waitlist.facts.mappings import Mappings, load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES, OF_PERSONS, Disposition
from waitlist.settings import Settings
from waitlist.staging import READABLE, Batch, StagingStore, schema
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import latest_for_everybody, read_dry_runs
from waitlist.staging.queries import read_sql
from waitlist.swedish.formats import number, share, swedish
from waitlist.swedish.words import DISPOSITION_LABELS, UNKNOWN_UNIT_NAME, rule_label

LATEST: Final = "latest"
_WIDTH_OF_A_FILE: Final = 100
_TOP_FINDINGS: Final = 10
_DATE_WIDTH: Final = 10
_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of some posts migrate, and how many do not."""

    posts: int
    """All posts extracted: the denominator of every share."""
    ready: int
    """Posts that migrate."""
    left: Mapping[str, int]
    """Posts of each other disposition that occurs, in the domain's order."""


@dataclass(frozen=True, slots=True)
class UnitReadiness:
    """One unit of a batch."""

    hsa_id: str
    """Empty for posts without a unit."""
    name: str
    """As in ``units.csv``, else the HSA-id."""
    go_live: date | None
    days_left: int | None
    """Days from the as-of date to go-live; zero or less once the unit is live."""
    progress: Progress


@dataclass(frozen=True, slots=True)
class WaveReadiness:
    """Units that go live together; ``wave`` is None for those without one."""

    wave: str | None
    go_live: date | None
    """The first go-live among its units."""
    units: tuple[UnitReadiness, ...]
    progress: Progress


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many posts a rule found; ``label`` is its Swedish name."""

    rule: str
    label: str
    posts: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """The readiness of a batch, for a migration lead."""

    batch: Batch
    waves: tuple[WaveReadiness, ...]
    """By go-live; then the waves without one, and last the units without a wave."""
    progress: Progress
    findings: tuple[RuleCount, ...]
    """Every rule with a finding, the most frequent first."""
    asked_persons: bool
    """The person service had to be asked."""


def read_readiness(store: StagingStore, batch_id: str, mappings: Mappings) -> Readiness:
    """Read a batch's readiness from the result tables.

    Args:
        store: the staging database.
        batch_id: a batch, or ``LATEST`` for the dry run of ``dry_runs.latest_for_everybody``.
        mappings: names, waves and go-lives of the units.

    Raises:
        StagingError: there is no such batch, or it does not count for readers.
    """
    summary = schema.unit_summary.c
    with refusals_named("reading readiness"), store.database.connected() as connection:
        batch = store.batch(_latest(connection) if batch_id == LATEST else batch_id)
        if batch.state not in READABLE:
            raise RefusedError(f"batch {batch.batch_id} is {batch.state}: it counts only once it is verified")
        rows = connection.execute(
            sa.select(summary.enhet_hsa_id, summary.disposition, summary.posts).where(
                summary.batch_id == batch.batch_id
            )
        ).all()
        counts = sa.text(read_sql("count_findings", store.database.schema)).bindparams(batch_id=batch.batch_id)
        findings = tuple(RuleCount(rule, rule_label(rule), posts) for rule, posts in connection.execute(counts))
    by_unit: dict[str, dict[str, int]] = {}
    for hsa_id, disposition, posts in rows:
        by_unit.setdefault(hsa_id, {})[disposition] = posts
    waves, progress = waves_of(by_unit, mappings, batch.as_of), progress_of(by_unit.values())
    return Readiness(batch, waves, progress, findings, asks_persons(batch.facts))


def _latest(connection: sa.Connection) -> str:
    latest = latest_for_everybody(read_dry_runs(connection))
    if latest is None:
        raise RefusedError("no dry run has been verified yet: run one first")
    return latest.batch_id


def waves_of(by_unit: Mapping[str, Mapping[str, int]], mappings: Mappings, as_of: date) -> tuple[WaveReadiness, ...]:
    """Return the waves of some units, in the order of ``Readiness.waves``.

    Args:
        by_unit: posts by disposition, by HSA-id.
        mappings: names, waves and go-lives of the units.
        as_of: the day that days left are counted from.
    """
    waves: dict[str | None, list[UnitReadiness]] = {}
    for hsa_id, counts in by_unit.items():
        unit = mappings.units.get(hsa_id)
        go_live = unit.driftstart if unit else None
        days_left = (go_live - as_of).days if go_live else None
        waves.setdefault(unit.vag if unit else None, []).append(
            UnitReadiness(hsa_id, mappings.name_of(hsa_id), go_live, days_left, progress_of([counts]))
        )
    grouped = [
        WaveReadiness(
            wave,
            min((unit.go_live for unit in units if unit.go_live), default=None),
            tuple(sorted(units, key=lambda unit: (swedish(unit.name), unit.hsa_id))),
            progress_of(by_unit[unit.hsa_id] for unit in units),
        )
        for wave, units in waves.items()
    ]
    return tuple(
        sorted(grouped, key=lambda wave: (wave.wave is None, wave.go_live or date.max, swedish(wave.wave or "")))
    )


def progress_of(counts: Iterable[Mapping[str, int]]) -> Progress:
    """Add up posts by disposition."""
    total: dict[str, int] = {}
    for count in counts:
        for disposition, posts in count.items():
            total[disposition] = total.get(disposition, 0) + posts
    left = {name.value: total[name] for name in Disposition if name in total and name is not Disposition.MIGRATE}
    return Progress(sum(total.values()), total.get(Disposition.MIGRATE, 0), left)


def render(readiness: Readiness) -> RenderableType:
    """Return the table for a terminal; it wraps to any width of at least 60 columns."""
    batch = readiness.batch
    kind = {"dry_run": "Torrkörning", "migration": "Migrering"}[batch.kind]
    ready_width = len(_ready(readiness.progress))
    parts: list[RenderableType] = [
        Text(f"{kind} per {batch.as_of.isoformat()}: vad kan migreras, och vad återstår?", style="bold"),
        Text(f"Körning {batch.batch_id}", style="dim"),
    ]
    for wave in readiness.waves:
        title = wave_title(wave.wave)
        parts += ["", Rule(Text(title, style="bold"), align="left", characters="─")]
        parts.append(_Row(("Enhet", "Driftstart", "Dagar kvar", "Migreras"), ready_width, "dim"))
        for unit in wave.units:
            name = unit.name if unit.hsa_id else UNKNOWN_UNIT_NAME
            go_live = unit.go_live.isoformat() if unit.go_live else "saknas"
            parts.append(_Row((name, go_live, _days(unit.days_left), _ready(unit.progress)), ready_width))
            parts.append(_Left(unit.progress))
        parts.append(_Row((f"Summa {title}", "", "", _ready(wave.progress)), ready_width, "bold"))
        parts.append(_Left(wave.progress))
    parts += ["", Rule(Text("Alla enheter", style="bold"), align="left", characters="─")]
    parts.append(_Row(("Summa", "", "", _ready(readiness.progress)), ready_width, "bold"))
    parts.append(_Left(readiness.progress))
    others = [found for found in readiness.findings if found.rule not in OF_PERSONS]
    if others:
        parts += ["", _findings_table("Vanligaste anmärkningarna", others[:_TOP_FINDINGS])]
    parts += ["", *_of_persons(readiness)]
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _Left:
    """The posts left, on indented lines as wide as the console; a disposition and its count stay on one line."""

    progress: Progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        items = [
            f"{DISPOSITION_LABELS[disposition]} {number(posts)}" for disposition, posts in self.progress.left.items()
        ]
        # textwrap breaks only at ordinary spaces.
        whole = " · ".join(item.replace(" ", "\xa0") for item in items) or "Inget återstår"
        indent = "    "
        lines = textwrap.wrap(
            whole, options.max_width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
        yield Text("\n".join(lines).replace("\xa0", " "))


@dataclass(frozen=True, slots=True)
class _Row:
    """A unit's name and three columns on one line; a name that is too long wraps in a table."""

    cells: tuple[str, str, str, str]
    ready_width: int
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        name, *others = self.cells
        widths = (_DATE_WIDTH, _DATE_WIDTH, self.ready_width)
        left = options.max_width - sum(widths) - _GAP * len(widths)
        fits = cell_len(name) <= left and all(map(operator.le, map(cell_len, others), widths))
        # One line of text takes a tenth of a table's time, and a region has more than a thousand units.
        yield self._line(left, widths) if fits else self._table()

    def _line(self, left: int, widths: tuple[int, int, int]) -> Text:
        name, go_live, days, ready = self.cells
        first, second, third = widths
        gap = " " * _GAP
        cells = (set_cell_size(name, left), set_cell_size(go_live, first), days.rjust(second), ready.rjust(third))
        return Text(gap.join(cells), style=self.style)

    def _table(self) -> Table:
        row = Table.grid(expand=True, padding=(0, _GAP, 0, 0))
        row.add_column(ratio=1)
        row.add_column(width=_DATE_WIDTH)
        row.add_column(width=_DATE_WIDTH, justify="right")
        row.add_column(width=self.ready_width, justify="right")
        row.add_row(*(Text(cell, style=self.style) for cell in self.cells))
        return row


def wave_title(wave: str | None) -> str:
    """Return a wave's name: Våg 1, both for "1" and for "Våg 1" in the file."""
    if wave is None:
        return "Utan våg"
    return wave if wave.casefold().startswith("våg") else f"Våg {wave}"


def _days(left: int | None) -> str:
    if left is None:
        return "–"
    return number(left) if left > 0 else "i drift"


def _ready(progress: Progress) -> str:
    return f"{number(progress.ready)} av {number(progress.posts)} ({share(progress.ready, progress.posts)})"


def _of_persons(readiness: Readiness) -> list[RenderableType]:
    """Return what the person service brought about, or that nobody has asked it."""
    title = "Kontroll mot folkbokföringen (Personuppgiftstjänsten)"
    found = [count for count in readiness.findings if count.rule in OF_PERSONS]
    if found:
        return [_findings_table(title, found)]
    outcome = "Inga anmärkningar." if readiness.asked_persons else "Ingen patient är kontrollerad: WAITLIST_PU är off."
    return [Text(title, style="bold"), Text(f"  {outcome}")]


def _findings_table(title: str, findings: Sequence[RuleCount]) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False, title_justify="left")
    table.title = Text(title, style="bold")
    table.add_column("Anmärkning", ratio=1)
    table.add_column("Regel", overflow="fold")
    table.add_column("Poster", justify="right", no_wrap=True)
    for found in findings:
        table.add_row(found.label, found.rule, number(found.posts))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the readiness table; return 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m waitlist.reports.readiness", description="Print the readiness table."
    )
    add_staging(parser)
    parser.add_argument("--batch", default=LATEST, metavar="ID", help="a batch; without it the latest dry run")
    parser.add_argument("--mappings", type=Path, metavar="DIR", help="folder of the mapping files")
    given = parser.parse_args(arguments)
    url = staging_url(parser, given)
    try:
        settings = Settings.read()
        mappings = load_mappings(given.mappings or settings.mappings_dir, raisable=BUILT_IN_SEVERITIES)
        store = StagingStore(url, connections=settings.connections)
        readiness = read_readiness(store, given.batch, mappings)
    except WaitlistError as error:
        Console(stderr=True).print(Text(str(error)), soft_wrap=True)
        return 1
    console = Console()
    Console(width=None if console.is_terminal else _WIDTH_OF_A_FILE).print(render(readiness))
    return 0


if __name__ == "__main__":
    sys.exit(main())
