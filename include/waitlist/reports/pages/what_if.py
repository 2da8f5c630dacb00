"""Vad händer om: how many dispositions would change with another date, setting or row of the mapping.

The real rules judge the latest dry run's snapshot twice, by today's facts and by the changed ones, one chunk at a
time. The posts are only counted. Nothing is stored, and no file is changed.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from waitlist.exceptions import SnapshotError, WaitlistError
from waitlist.facts.csv_table import EARLIEST, LATEST
from waitlist.facts.mappings import BaseCategory, Mappings, category_key, list_key
from waitlist.judge.assess import columns_that_decide, decide
from waitlist.judge.duplicates import COLUMNS as DUPLICATE_COLUMNS
from waitlist.judge.duplicates import find as find_duplicates
from waitlist.judge.persons import Persons
from waitlist.judge.posts import CONTACT_FORMS, NO_POSTS, RuleContext
from waitlist.judge.rules import Code, Disposition
from waitlist.reports.pages.answer import Answer, read_answer
from waitlist.reports.pages.history import HANDLED_CODES, dry_runs
from waitlist.reports.pages.reading import reading
from waitlist.reports.readiness import wave_title
from waitlist.reports.worklist.sources import Snapshot, find_snapshot
from waitlist.schema import PostIds
from waitlist.settings import RuleSettings, StraddlePolicy
from waitlist.source.pu.asking import as_persons
from waitlist.source.snapshot import SnapshotPart, read_part
from waitlist.staging import StagingStore
from waitlist.staging.dry_runs import DryRun
from waitlist.swedish.formats import swedish

MOST_DAYS: Final = 366
WAVE: Final = "våg:"
"""The prefix of a wave's name, in a field that takes a unit's HSA-id as well."""
NO_LIST: Final = "-"
"""The value of the form that removes a category's row from the mapping."""

_CODES: Final = tuple(Disposition)
_UNIT: Final = "enhet_hsa_id"
_DUPLICATE: Final = Code.DUPLICATE_POST


class ProposalError(WaitlistError):
    """The question cannot be answered; ``faults`` has every fault in it, in Swedish."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults: Final = faults


@dataclass(frozen=True, slots=True)
class GoLive:
    """Another go-live for some units; None: no go-live."""

    units: tuple[str, ...]
    date: dt.date | None


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """Another row of the mapping, or with ``list_name`` None its removal."""

    category: str
    contact_form: str | None
    list_name: str | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposed changes; None: no change."""

    go_live: GoLive | None
    straddle_policy: StraddlePolicy | None
    cutoff_days: int | None
    category: CategoryRow | None


@dataclass(frozen=True, slots=True)
class Moves:
    """Posts with one disposition by today's facts and another by the changed ones."""

    before: Disposition
    after: Disposition
    posts: int


@dataclass(frozen=True, slots=True)
class UnitMoves:
    """A unit and its posts whose disposition changes."""

    hsa_id: str
    """Empty for posts without a unit."""
    name: str
    """As in ``units.csv``, else the HSA-id."""
    posts: int
    moves: tuple[Moves, ...]
    """Only the dispositions that change."""
    moved: int


@dataclass(frozen=True, slots=True)
class Consequences:
    """The consequences of a proposal."""

    posts: int
    moved: int
    before: Mapping[str, int]
    """Posts by disposition under today's facts, in the domain's order; without those that are zero both times."""
    after: Mapping[str, int]
    """The same under the changed ones."""
    moves: tuple[Moves, ...]
    """The changes of disposition, the most frequent first."""
    units: tuple[UnitMoves, ...]
    """The units with changes, the ones with most changes first."""
    left: Mapping[str, int]
    """Posts left to handle under the changed facts, by HSA-id."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice in a form."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The page: the choices of the form, the question, and the answer."""

    asked: Mapping[str, str]
    """As the form sent it."""
    waves: tuple[Choice, ...]
    units: tuple[Choice, ...]
    lists: tuple[str, ...]
    categories: tuple[str, ...]
    """Base categories of the mapping."""
    policy: StraddlePolicy
    """As it is set now."""
    cutoff_days: int
    """As it is set now."""
    faults: tuple[str, ...]
    """Every fault in the question, in Swedish."""
    batch: DryRun | None
    """The dry run whose snapshot was judged; None where no snapshot was judged."""
    consequences: Consequences | None
    seconds: float | None
    """The seconds that it took."""
    answer: Answer | None
    """Whether the units of another go-live would be ready in time; None where the question has none."""
    no_snapshot: bool
    """There is a dry run, but its snapshot has been removed or is in another place."""


def read_what_if(
    store: StagingStore, snapshots: UPath, asked: Mapping[str, str], mappings: Mappings, rules: RuleSettings
) -> WhatIf:
    """Read the page, and answer its question if there is one.

    Args:
        store: the staging database.
        snapshots: the folder under which each batch has its snapshot.
        asked: see ``read_proposal``.
        mappings: today's mapping files.
        rules: today's settings.

    Raises:
        NoBatchError: there is a question, and no dry run yet.
        StagingError: the database refused.
    """
    begun = time.perf_counter()
    faults: tuple[str, ...] = ()
    judged: tuple[DryRun, Consequences] | None = None
    answer: Answer | None = None
    no_snapshot = False
    try:
        proposal = read_proposal(asked, mappings)
        judged = None if proposal is None else consider(store, snapshots, proposal, mappings, rules)
        if proposal is not None and proposal.go_live is not None and judged is not None:
            asked_for = proposal.go_live
            with reading(store, "saying whether a wave makes it") as connection:
                answer = read_answer(connection, mappings, asked_for.units, asked_for.date, judged[1].left)
    except ProposalError as error:
        faults = error.faults
    except SnapshotError:
        no_snapshot = True
    units = sorted(mappings.units.values(), key=lambda unit: (swedish(unit.enhet), unit.hsa_id))
    waves = sorted({unit.vag for unit in units if unit.vag}, key=swedish)
    batch, consequences = judged or (None, None)
    return WhatIf(
        asked=asked,
        waves=tuple(Choice(WAVE + wave, wave_title(wave)) for wave in waves),
        units=tuple(Choice(unit.hsa_id, unit.enhet) for unit in units),
        lists=tuple(row.sdv_lista for row in mappings.sdv_lists),
        categories=tuple(dict.fromkeys(row.kategori for row in mappings.base_categories if row.kategori)),
        policy=rules.straddle_policy,
        cutoff_days=rules.cutoff_days,
        faults=faults,
        batch=batch,
        consequences=consequences,
        seconds=None if judged is None else round(time.perf_counter() - begun, 3),
        answer=answer,
        no_snapshot=no_snapshot,
    )


def read_proposal(asked: Mapping[str, str], mappings: Mappings) -> Proposal | None:
    """Read the proposal from a form; None where the form is empty.

    Args:
        asked: ``enhet`` (an HSA-id, or a wave after ``WAVE``) with ``driftstart``; ``grans`` (a straddle policy);
            ``dagar``; ``kategori`` with ``kontaktform`` and ``lista``. An empty value means no change.
        mappings: today's mapping files.

    Raises:
        ProposalError: with every fault.
    """
    faults: list[str] = []
    given = {name: text.strip() for name, text in asked.items() if text.strip()}
    proposal = Proposal(
        go_live=_go_live(given, mappings, faults.append),
        straddle_policy=_policy(given, faults.append),
        cutoff_days=_days(given, faults.append),
        category=_category(given, mappings, faults.append),
    )
    if faults:
        raise ProposalError(tuple(faults))
    return None if proposal == Proposal(None, None, None, None) else proposal


def consider(
    store: StagingStore, snapshots: UPath, proposal: Proposal, mappings: Mappings, rules: RuleSettings
) -> tuple[DryRun, Consequences]:
    """Judge the latest dry run's snapshot by today's facts and by the proposed ones.

    Memory holds one chunk of the snapshot, and 24 bytes a post where a lead has raised ``DUPLICATE_POST``.

    Args:
        store: the staging database.
        snapshots: the folder under which each batch has its snapshot.
        proposal: the proposed changes.
        mappings: today's mapping files.
        rules: today's settings.

    Returns:
        the dry run, and the consequences.

    Raises:
        NoBatchError: there is no dry run yet.
        SnapshotError: its snapshot is missing or damaged.
        StagingError: the database refused.
    """
    with reading(store, "finding the latest dry run") as connection:
        batch = dry_runs(connection)[-1]
    judged = store.batch(batch.batch_id)
    snapshot = find_snapshot(store, judged, snapshots)
    now = RuleContext(batch.as_of, mappings, rules)
    then = RuleContext(batch.as_of, _changed(mappings, proposal), _set(rules, proposal))
    duplicates = [_duplicates(snapshot, context) for context in (now, then)]
    columns = [name for name in columns_that_decide(then) if name in set(columns_that_decide(now)) | {_UNIT}]
    counts: Counter[tuple[str, int, int]] = Counter()
    for part in snapshot.parts:
        released = store.released_post_ids(part.lower, part.upper, up_to=batch.as_of)
        persons = _persons(snapshot, part, rules, judged.rules_version)
        for table in read_part(snapshot.folder, part, columns):
            before, after = (
                decide(table, context, duplicates=twice, released=released, persons=persons)
                for context, twice in zip((now, then), duplicates, strict=True)
            )
            _count(counts, table[_UNIT], before, after)
    return batch, _consequences(counts, mappings)


def _go_live(given: Mapping[str, str], mappings: Mappings, fault: Callable[[str], None]) -> GoLive | None:
    whose, when = given.get("enhet", ""), given.get("driftstart", "")
    if not whose:
        if when:
            fault("Välj den enhet eller våg som driftstarten gäller.")
        return None
    if whose.startswith(WAVE):
        units = tuple(unit.hsa_id for unit in mappings.units.values() if unit.vag == whose.removeprefix(WAVE))
    else:
        units = (whose,) if whose in mappings.units else ()
    if not units:
        fault("Enheten eller vågen finns inte i units.csv: välj en ur listan.")
    try:
        date = dt.date.fromisoformat(when) if when else None
    except ValueError:
        fault("Driftstarten är inget datum: skriv det som 2025-02-03, eller lämna det tomt för ingen driftstart.")
        return None
    if date is not None and not EARLIEST <= date <= LATEST:
        fault(f"Driftstarten ska ligga mellan {EARLIEST} och {LATEST}.")
        return None
    return GoLive(units, date)


def _policy(given: Mapping[str, str], fault: Callable[[str], None]) -> StraddlePolicy | None:
    asked = given.get("grans")
    if asked is None or asked in set(StraddlePolicy):
        return None if asked is None else StraddlePolicy(asked)
    fault("Hur datumintervall över gränsen hanteras: välj ett av alternativen i listan.")
    return None


def _days(given: Mapping[str, str], fault: Callable[[str], None]) -> int | None:
    asked = given.get("dagar")
    if asked is None:
        return None
    if not (asked.isascii() and asked.isdigit()) or len(asked) > 3 or int(asked) > MOST_DAYS:
        fault(f"Dagar efter driftstart är ett helt tal från 0 till {MOST_DAYS}.")
        return None
    return int(asked)


def _category(given: Mapping[str, str], mappings: Mappings, fault: Callable[[str], None]) -> CategoryRow | None:
    category, form, target = given.get("kategori", ""), given.get("kontaktform"), given.get("lista", "")
    if not category:
        if form or target:
            fault("Skriv den kategori i PMO som listan gäller.")
        return None
    lists = {row.sdv_lista for row in mappings.sdv_lists}
    if list_key(category) in {list_key(name) for name in lists}:
        fault("Kategorin är en SDV-väntelista. Den mappas inte, poster på den migreras som de är.")
    if form is not None and form not in CONTACT_FORMS:
        fault("Kontaktformen: välj en ur listan.")
    if not target:
        fault("Välj den SDV-väntelista som kategorin ska leda till, eller att raden tas bort.")
    elif target != NO_LIST and target not in lists:
        fault("SDV-väntelistan finns inte i katalogen: välj en ur listan.")
    elif target == NO_LIST and not any(_same(row, category, form) for row in mappings.base_categories):
        fault("Kategorin har ingen rad för den kontaktformen i base_categories.csv, så det finns ingen att ta bort.")
    return CategoryRow(category, form, None if target == NO_LIST else target)


def _same(row: BaseCategory, category: str, form: str | None) -> bool:
    return bool(row.kategori) and (category_key(row.kategori), row.kontaktform) == (category_key(category), form)


def _changed(mappings: Mappings, proposal: Proposal) -> Mappings:
    units, rows = dict(mappings.units), mappings.base_categories
    if proposal.go_live is not None:
        for hsa_id in proposal.go_live.units:
            units[hsa_id] = replace(units[hsa_id], driftstart=proposal.go_live.date)
    if proposal.category is not None:
        asked = proposal.category
        rows = tuple(row for row in rows if not _same(row, asked.category, asked.contact_form))
        if asked.list_name is not None:
            rows += (BaseCategory(asked.category, asked.contact_form, asked.list_name, "", ""),)
    return replace(mappings, units=units, base_categories=rows)


def _set(rules: RuleSettings, proposal: Proposal) -> RuleSettings:
    changed = {"straddle_policy": proposal.straddle_policy, "cutoff_days": proposal.cutoff_days}
    return rules.model_copy(update={name: value for name, value in changed.items() if value is not None})


def _duplicates(snapshot: Snapshot, context: RuleContext) -> PostIds:
    # A duplicate is a warning: it decides no disposition unless a lead has raised it.
    if _DUPLICATE not in context.mappings.raised:
        return NO_POSTS
    tables = (read_part(snapshot.folder, part, DUPLICATE_COLUMNS) for part in snapshot.parts)
    return find_duplicates(chain.from_iterable(tables), context)


def _persons(snapshot: Snapshot, part: SnapshotPart, rules: RuleSettings, rules_version: str) -> Persons | None:
    """Return what the person service had answered when the snapshot was judged; None where it is not to be asked."""
    if not rules.asks_persons or not snapshot.files.has_answers(part):
        return None
    return as_persons(snapshot.files.answers(part, rules_version))


def _count(
    counts: Counter[tuple[str, int, int]],
    units: pa.ChunkedArray,
    before: npt.NDArray[np.int8],
    after: npt.NDArray[np.int8],
) -> None:
    """Add a chunk's posts by unit, disposition before and disposition after."""
    encoded = pc.dictionary_encode(pc.fill_null(units.combine_chunks(), ""))
    size = len(_CODES)
    place = (encoded.indices.to_numpy().astype(np.int64) * size + before) * size + after
    for code, posts in enumerate(np.bincount(place).tolist()):
        if posts:
            unit, pair = divmod(code, size * size)
            counts[encoded.dictionary[unit].as_py(), *divmod(pair, size)] += posts


def _consequences(counts: Counter[tuple[str, int, int]], mappings: Mappings) -> Consequences:
    pairs: Counter[tuple[int, int]] = Counter()
    by_unit: dict[str, Counter[tuple[int, int]]] = {}
    for (unit, before, after), posts in counts.items():
        pairs[before, after] += posts
        by_unit.setdefault(unit, Counter())[before, after] += posts
    moves = tuple(_moves(pairs))
    units = [
        UnitMoves(
            hsa_id,
            mappings.name_of(hsa_id),
            found.total(),
            moving := tuple(_moves(found)),
            sum(move.posts for move in moving),
        )
        for hsa_id, found in by_unit.items()
    ]
    sides = [
        {code.value: sum(posts for pair, posts in pairs.items() if _CODES[pair[side]] is code) for code in _CODES}
        for side in (0, 1)
    ]
    seen = [code.value for code in _CODES if sides[0][code.value] or sides[1][code.value]]
    return Consequences(
        posts=pairs.total(),
        moved=sum(move.posts for move in moves),
        before={name: sides[0][name] for name in seen},
        after={name: sides[1][name] for name in seen},
        moves=moves,
        units=tuple(sorted((unit for unit in units if unit.moved), key=lambda unit: (-unit.moved, unit.hsa_id))),
        left={
            hsa_id: sum(posts for (_, after), posts in found.items() if _CODES[after].value not in HANDLED_CODES)
            for hsa_id, found in by_unit.items()
        },
    )


def _moves(pairs: Mapping[tuple[int, int], int]) -> Iterator[Moves]:
    moved = sorted((-posts, before, after) for (before, after), posts in pairs.items() if before != after)
    return (Moves(_CODES[before], _CODES[after], -posts) for posts, before, after in moved)
