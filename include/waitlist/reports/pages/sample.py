"""Stickprov: the posts of a batch to compare with PMO before a decision, and with Millennium after the load."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from waitlist.facts.gates import Gate
from waitlist.facts.mappings import Mappings
from waitlist.judge.request_columns import COLUMNS
from waitlist.release.gates import read_gates
from waitlist.release.sample.drawing import Drawn
from waitlist.release.sample.state import Sample, State, assess, last_verdict, read_sample
from waitlist.reports.pages.history import unit_name
from waitlist.reports.pages.paging import Paging
from waitlist.reports.pages.reading import UnknownError
from waitlist.reports.sample_words import state_sentence
from waitlist.reports.worklist.posts import unit_key
from waitlist.staging import IMMUTABLE, Batch, BatchKind, BatchState, StagingStore, schema
from waitlist.staging.sample_sizes import Enlarged, read_enlarged
from waitlist.staging.sample_verdicts import OPEN_IN, Judged, Stage, Verdict, handled_by, last_number, read_judged
from waitlist.staging.store import find_batch
from waitlist.swedish.formats import swedish
from waitlist.swedish.words import SAMPLE_OFF

ROWS: Final = 50
"""Posts of a unit on a page."""


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """The batch that a sample is of."""

    batch_id: str
    wave: str | None
    as_of: dt.date
    state: BatchState
    gate_on: bool
    """Whether the gate was on when approval was asked for."""
    stage: Stage | None
    """What is judged now; None when nothing is: the batch is rejected or withdrawn."""


@dataclass(frozen=True, slots=True)
class SampleUnit:
    """The posts of the sample at one unit."""

    key: str
    name: str
    posts: int
    judged: Mapping[Stage, int]
    wrong: Mapping[Stage, int]


@dataclass(frozen=True, slots=True)
class SamplePage:
    """The page of a batch's sample."""

    batch: SampleBatch
    states: Mapping[Stage, State]
    """After the load only for a batch that was released."""
    told: Mapping[Stage, str]
    """The same in words."""
    enlarged: tuple[Enlarged, ...]
    units: tuple[SampleUnit, ...]
    purged: bool
    """Retention has removed its rows: which posts were in it is not known any more."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody has said of a post."""

    at: dt.datetime
    by: str
    verdict: Verdict | None
    """Of the whole post."""
    fields: Mapping[str, Verdict]
    """The fields that are not right."""
    word: str | None
    elsewhere: bool
    """An earlier batch with the same row has it."""


@dataclass(frozen=True, slots=True)
class SamplePost:
    """A post of the sample, without its patient."""

    post_id: int
    aims: tuple[str, ...]
    """Why it is in the aimed part; empty for the random part."""
    protected: bool
    verdicts: Mapping[Stage, Verdict | None]
    said: Mapping[Stage, tuple[Said, ...]]
    """What counts, the earliest first; the last holds."""
    handled: bool
    """The reader has given it an outcome or a mark, and does not judge it."""


@dataclass(frozen=True, slots=True)
class SampleUnitPage:
    """The page of a unit's part of a sample."""

    batch: SampleBatch
    key: str
    unit_name: str
    posts: tuple[SamplePost, ...]
    """A part of its posts: those that nobody has judged first, then by post id."""
    paging: Paging
    judged: int
    """How many of all its posts are judged, in the round that is open or the first one."""
    purged: bool
    told: int | None = None
    """The post that has just been judged."""


@dataclass(frozen=True, slots=True)
class RequestField:
    """A field of a booking request."""

    name: str
    label: str
    value: Any


@dataclass(frozen=True, slots=True)
class SamplePostPage:
    """The page of one post, with the fields of its booking request to compare."""

    batch: SampleBatch
    key: str
    unit_name: str
    post: SamplePost
    row_hash: str
    fields: tuple[RequestField, ...]
    """In the order of chapter 6; empty for a protected identity that was not asked for."""
    last: int
    """The number of the last judgement of the row, in the stage that is open."""

    @property
    def person_id(self) -> str | None:
        """The number of the patient that is shown; None where the fields are not."""
        return next((field.value for field in self.fields if field.name == "person_id"), None)

    def without_patient(self) -> "SamplePostPage":
        """Return the page without the booking request."""
        return replace(self, fields=(), row_hash="")


@dataclass(frozen=True, slots=True)
class SampleNotice:
    """A sample that a unit has posts in, for the unit's page."""

    batch_id: str
    wave: str | None
    stage: Stage
    left: int
    """Its posts that nobody has judged yet."""


@dataclass(frozen=True, slots=True)
class _Read:
    batch: Batch
    shown: SampleBatch
    sample: Sample
    enlarged: tuple[Enlarged, ...]


_STAGES: Final[Mapping[BatchState, Stage]] = {state: stage for stage, state in OPEN_IN.items()}


def read_sample_page(store: StagingStore, connection: sa.Connection, mappings: Mappings, batch_id: str) -> SamplePage:
    """Read the page of a batch's sample.

    Args:
        store: the staging database.
        connection: a connection from ``reading``.
        mappings: names of the units.
        batch_id: a migration for which approval was asked.

    Raises:
        UnknownError: there is no such batch.
        StagingError: the database refused.
    """
    read = _read(store, connection, batch_id)
    stages = [Stage.BEFORE, *([Stage.AFTER] if read.batch.released_at else [])]
    judged = {stage: read_judged(connection, batch_id, stage, read.sample.rows) for stage in stages}
    states = {stage: assess(read.sample, judged[stage]) for stage in stages}
    by_unit: dict[str, list[Drawn]] = {}
    for post in read.sample.drawn:
        by_unit.setdefault(unit_key(post.unit, mappings), []).append(post)
    units = [_unit(key, unit_name(key, mappings), posts, judged) for key, posts in by_unit.items()]
    return SamplePage(
        batch=read.shown,
        states=states,
        told={stage: state_sentence(state) for stage, state in states.items()},
        enlarged=read.enlarged,
        units=tuple(sorted(units, key=lambda unit: swedish(unit.name))),
        purged=not read.sample.posts,
    )


def read_sample_unit(
    store: StagingStore,
    connection: sa.Connection,
    mappings: Mappings,
    batch_id: str,
    *,
    key: str,
    actor: str,
    told: int | None = None,
    page: int = 1,
) -> SampleUnitPage:
    """Read the page of a unit's part of a sample.

    Args:
        store: the staging database.
        connection: a connection from ``reading``.
        mappings: names of the units.
        batch_id: a migration for which approval was asked.
        key: the unit's key.
        actor: the reader's user id.
        told: the post that has just been judged.
        page: the page of its posts.

    Raises:
        UnknownError: there is no such batch, or the unit has no post in its sample.
        StagingError: the database refused.
    """
    read = _read(store, connection, batch_id)
    drawn = [post for post in read.sample.drawn if unit_key(post.unit, mappings) == key]
    if not drawn and read.sample.posts:
        raise UnknownError("the unit has no post in the sample")
    stage = read.shown.stage or Stage.BEFORE
    verdicts = read_judged(connection, batch_id, stage, {post.post_id: post.row_hash for post in drawn})
    judged = {post.post_id for post in drawn if last_verdict(verdicts.get(post.post_id, ())) is not None}
    drawn.sort(key=lambda post: (post.post_id in judged, post.post_id))
    paging = Paging.of(page, ROWS, len(drawn))
    posts = _posts(connection, batch_id, drawn[paging.offset : paging.offset + ROWS], actor)
    return SampleUnitPage(
        batch=read.shown,
        key=key,
        unit_name=unit_name(key, mappings),
        posts=tuple(posts),
        paging=paging,
        judged=len(judged),
        purged=not read.sample.posts,
        told=told if told in judged else None,
    )


def read_sample_post(
    store: StagingStore,
    connection: sa.Connection,
    mappings: Mappings,
    batch_id: str,
    *,
    key: str,
    post_id: int,
    actor: str,
    masked: bool,
) -> SamplePostPage:
    """Read the page of one post of a sample.

    Args:
        store: the staging database.
        connection: a connection from ``reading``.
        mappings: names of the units.
        batch_id: a migration for which approval was asked.
        key: the unit's key.
        post_id: the post.
        actor: the reader's user id.
        masked: whether a protected identity is left out.

    Raises:
        UnknownError: there is no such batch, or the post is not in its sample at the unit.
        StagingError: the database refused.
    """
    read = _read(store, connection, batch_id)
    drawn = [post for post in read.sample.drawn if post.post_id == post_id and unit_key(post.unit, mappings) == key]
    if not drawn:
        raise UnknownError("the unit has no such post in the sample")
    (post,) = _posts(connection, batch_id, drawn, actor)
    table = schema.bokningsbegaran
    query = sa.select(table).where(table.c.batch_id == batch_id, table.c.post_id == post_id)
    row = connection.execute(query).mappings().one()
    hidden = masked and (post.protected or bool(row["sekretess"]))
    stage = read.shown.stage or Stage.BEFORE
    return SamplePostPage(
        batch=read.shown,
        key=key,
        unit_name=unit_name(key, mappings),
        post=post,
        row_hash="" if hidden else drawn[0].row_hash,
        fields=() if hidden else tuple(RequestField(it.name, it.label, row[it.name]) for it in COLUMNS),
        last=last_number(connection, post_id, drawn[0].row_hash, stage),
    )


def read_notices(store: StagingStore, connection: sa.Connection, mappings: Mappings, key: str) -> list[SampleNotice]:
    """Return the samples that are judged now and that a unit has posts in, for its page.

    Args:
        store: the staging database.
        connection: a connection from ``reading``.
        mappings: the units.
        key: the unit's key.
    """
    table, gate = schema.batch.c, schema.gate_result.c
    is_on = sa.exists().where(gate.batch_id == table.batch_id, gate.gate == Gate.SAMPLE.value)
    query = sa.select(table.batch_id, table.units).where(
        table.kind == BatchKind.MIGRATION.value, table.state.in_([state.value for state in _STAGES]), is_on
    )
    found = []
    for row in connection.execute(query.order_by(table.batch_id)).all():
        if row.units is not None and key not in row.units:
            continue
        read = _read(store, connection, row.batch_id)
        rows = {post.post_id: post.row_hash for post in read.sample.drawn if unit_key(post.unit, mappings) == key}
        if read.shown.stage is None or not rows:
            continue
        said = read_judged(connection, row.batch_id, read.shown.stage, rows)
        left = sum(last_verdict(said.get(post_id, ())) is None for post_id in rows)
        if left:
            found.append(SampleNotice(row.batch_id, read.batch.wave, read.shown.stage, left))
    return found


def read_told(store: StagingStore, connection: sa.Connection, batch_ids: Collection[str]) -> dict[str, str]:
    """Return in words how far the samples of some batches have come, for the page of their wave.

    Args:
        store: the staging database.
        connection: a connection from ``reading``.
        batch_ids: migrations for which approval was asked.
    """
    found = {}
    for batch_id in batch_ids:
        if any(result.gate is Gate.SAMPLE for result in read_gates(connection, batch_id)):
            read = _read(store, connection, batch_id)
            judged = read_judged(connection, batch_id, Stage.BEFORE, read.sample.rows)
            told = state_sentence(assess(read.sample, judged)) if read.sample.posts else "Posterna är gallrade."
        else:
            told = SAMPLE_OFF
        found[batch_id] = told
    return found


def _read(store: StagingStore, connection: sa.Connection, batch_id: str) -> _Read:
    batch = find_batch(connection, batch_id)
    if batch is None or batch.kind is not BatchKind.MIGRATION or batch.state not in IMMUTABLE:
        raise UnknownError("there is no such batch for which approval was asked")
    enlarged = read_enlarged(connection, batch_id)
    gate_on = any(result.gate is Gate.SAMPLE for result in read_gates(connection, batch_id))
    shown = SampleBatch(batch_id, batch.wave, batch.as_of, batch.state, gate_on, _STAGES.get(batch.state))
    return _Read(batch, shown, read_sample(store, connection, batch, enlarged), enlarged)


def _posts(connection: sa.Connection, batch_id: str, drawn: Collection[Drawn], actor: str) -> list[SamplePost]:
    rows = {post.post_id: post.row_hash for post in drawn}
    judged = {stage: read_judged(connection, batch_id, stage, rows) for stage in Stage}
    handled = handled_by(connection, actor, rows)
    return [
        SamplePost(
            post_id=post.post_id,
            aims=post.aims,
            protected=post.protected,
            verdicts={stage: last_verdict(judged[stage].get(post.post_id, ())) for stage in Stage},
            said={
                stage: tuple(_as_shown(told, batch_id) for told in judged[stage].get(post.post_id, ()))
                for stage in Stage
            },
            handled=post.post_id in handled,
        )
        for post in drawn
    ]


def _as_shown(told: Judged, batch_id: str) -> Said:
    fields = {name: verdict for name, verdict in told.verdicts.items() if verdict is not Verdict.RIGHT}
    return Said(told.at, told.actor, told.whole, fields, told.word, told.batch_id != batch_id)


def _unit(
    key: str, name: str, posts: Collection[Drawn], judged: Mapping[Stage, Mapping[int, tuple[Judged, ...]]]
) -> SampleUnit:
    said = {stage: [last_verdict(told.get(post.post_id, ())) for post in posts] for stage, told in judged.items()}
    return SampleUnit(
        key=key,
        name=name,
        posts=len(posts),
        judged={stage: sum(verdict is not None for verdict in verdicts) for stage, verdicts in said.items()},
        wrong={stage: sum(verdict is Verdict.WRONG for verdict in verdicts) for stage, verdicts in said.items()},
    )
