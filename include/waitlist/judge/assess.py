"""The assessment: every post gets its findings, exactly one disposition, and a booking request if it migrates."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import texts
from waitlist.judge import booking_request
from waitlist.judge.persons import Persons
from waitlist.judge.posts import NO_POSTS, Mask, Posts, RuleContext
from waitlist.judge.rules import DISPOSITIONS, RAISED, RULES, Code, Disposition, Severity, severity
from waitlist.schema import POSTS, PostIds

DISPOSITION_SCHEMA: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("enhet_hsa_id", pa.string()),
        pa.field("kategori", pa.string()),
        pa.field("disposition", pa.string(), nullable=False),
        pa.field("recommended_list", pa.string()),
        pa.field("driftstart", pa.date32()),
        pa.field("boka_from", pa.date32()),
        pa.field("boka_fore", pa.date32()),
    ]
)
"""One row per post, in the order of the chunk."""

FINDING_SCHEMA: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
"""One row per finding, by post in the order of the chunk, then by rule in the order of ``RULES``."""

_ORDER: Final = tuple(Disposition)
_DECIDING: Final = frozenset(code for _, codes in DISPOSITIONS for code in codes)


@dataclass(frozen=True)
class Assessment:
    """The result of assessing a chunk of posts, as the three tables that are staged."""

    dispositions: pa.Table
    findings: pa.Table
    bokningsbegaran: pa.Table


def assess(
    table: pa.Table,
    context: RuleContext,
    *,
    duplicates: PostIds = NO_POSTS,
    released: PostIds = NO_POSTS,
    persons: Persons | None = None,
) -> Assessment:
    """Assess a chunk of posts.

    Args:
        table: posts of ``schema.POSTS``, shape (n,), each post id once.
        context: as-of date, mappings and rule settings.
        duplicates: post ids that ``duplicates.find`` returned for the whole batch.
        released: post ids that an earlier batch released.
        persons: what the person service answered; None where it is not to be asked.

    Returns:
        n dispositions, any number of findings, and one booking request for each ``migrate``.
    """
    posts = Posts(table, context, duplicates=duplicates, released=released, persons=persons)
    fired = {code: rule.predicate(posts) for code, rule in RULES.items()}
    severities = {code: severity(rule, posts) for code, rule in RULES.items()}
    disposition = _decide(fired, severities, len(posts))
    return Assessment(
        dispositions=_dispositions(posts, disposition, fired[Code.CATEGORY_NOT_MOVED] & posts.list_in_care_area),
        findings=_findings(posts, fired, severities),
        bokningsbegaran=booking_request.build(posts, disposition == _ORDER.index(Disposition.MIGRATE)),
    )


def decide(
    table: pa.Table,
    context: RuleContext,
    *,
    duplicates: PostIds = NO_POSTS,
    released: PostIds = NO_POSTS,
    persons: Persons | None = None,
) -> npt.NDArray[np.int8]:
    """Return only the disposition that ``assess`` gives each post, as an index into ``Disposition``.

    Args:
        table: the columns that ``columns_that_decide`` returns, for some posts, each post id once.
        context: as-of date, mappings and rule settings.
        duplicates: as for ``assess``.
        released: as for ``assess``.
        persons: as for ``assess``.
    """
    posts = Posts(table, context, duplicates=duplicates, released=released, persons=persons)
    deciding = {code: RULES[code] for code in rules_that_decide(context)}
    fired = {code: rule.predicate(posts) for code, rule in deciding.items()}
    return _decide(fired, {code: severity(rule, posts) for code, rule in deciding.items()}, len(posts))


def rules_that_decide(context: RuleContext) -> tuple[Code, ...]:
    """Return the rules that can decide a disposition under these facts and settings."""
    nothing = Posts(POSTS.empty_table(), context)
    return tuple(
        code for code, rule in RULES.items() if code in _DECIDING or severity(rule, nothing) is Severity.BLOCKS
    )


def columns_that_decide(context: RuleContext) -> tuple[str, ...]:
    """Return the columns of ``schema.POSTS`` that ``decide`` reads, in their order."""
    read = {"post_id"}.union(*(RULES[code].columns for code in rules_that_decide(context)))
    return tuple(name for name in POSTS.names if name in read)


def _decide(fired: dict[Code, Mask], severities: dict[Code, Severity], posts: int) -> npt.NDArray[np.int8]:
    """Return each post's disposition as an index into ``_ORDER``: the first row of ``DISPOSITIONS`` that applies."""
    raised = tuple(code for code, level in severities.items() if level is Severity.BLOCKS and code not in _DECIDING)
    decided = np.full(posts, _ORDER.index(Disposition.MIGRATE), dtype=np.int8)
    for disposition, codes in reversed((*DISPOSITIONS[:-1], (RAISED, raised), DISPOSITIONS[-1])):
        for code in codes:
            decided[fired[code]] = _ORDER.index(disposition)
    return decided


def _dispositions(posts: Posts, disposition: npt.NDArray[np.int8], recommended: Mask) -> pa.Table:
    labels = pa.array([value.value for value in _ORDER])
    lists = pa.array([row.sdv_lista for row in posts.context.mappings.sdv_lists], pa.string())
    to = pa.array(posts.category.target_list, mask=~recommended)
    return pa.Table.from_arrays(
        [
            posts.column("post_id"),
            texts.mark_control(posts.column("enhet_hsa_id")),
            texts.clean(posts.column("kategori"))[0],
            pc.take(labels, pa.array(disposition)),
            pc.take(lists, to),
            pa.array(posts.units.driftstart, pa.date32()),
            pa.array(posts.boka_from, pa.date32()),
            pa.array(posts.boka_fore, pa.date32()),
        ],
        schema=DISPOSITION_SCHEMA,
    )


def _findings(posts: Posts, fired: dict[Code, Mask], severities: dict[Code, Severity]) -> pa.Table:
    places: list[npt.NDArray[np.intp]] = []
    details: list[pa.Array] = []
    for code, rule in RULES.items():
        at = np.flatnonzero(fired[code])
        places.append(at)
        details.append(pc.cast(rule.detail(posts, at), pa.string()))
    counts = [len(at) for at in places]
    place = np.concatenate(places)
    rule_number = np.repeat(np.arange(len(RULES)), counts)
    order = np.lexsort((rule_number, place))
    by_rule = pa.array(rule_number[order])
    return pa.Table.from_arrays(
        [
            pa.array(posts.post_id[place[order]]),
            pc.take(pa.array([code.value for code in RULES]), by_rule),
            pc.take(pa.array([severities[code].value for code in RULES]), by_rule),
            pc.take(pa.concat_arrays(details), pa.array(order)),
        ],
        schema=FINDING_SCHEMA,
    )
