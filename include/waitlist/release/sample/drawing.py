"""Which posts of a batch are compared: they follow from a hash of the verified rows alone, so nobody can choose.

The hash of all rows and the id of a post decide the post's place in an order. The random part is the beginning of the
order. The aimed part is on top: units and groups at risk are topped up to some looks, with the next posts in the same
order. A change of any row gives another order: a sample cannot be made to pass by mending its own posts only.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.judge.rules import Code
from waitlist.staging import schema
from waitlist.staging.database import Read
from waitlist.staging.row_hash import lines_of_rows

LOOKS: Final = 5
"""The fewest posts of each unit, and of each group at risk, that are compared; all of them where there are fewer."""
AT_RISK: Final = (
    Code.PROTECTED_IDENTITY,
    Code.DUPLICATE_POST,
    Code.STRADDLES_CUTOFF,
    Code.DESCRIPTION_OVER_LIMIT,
    Code.TEXT_CLEANED,
)
"""The groups at risk, by the rule whose finding makes a post a member."""
UNIT: Final = "unit"
"""Why a post is in the aimed part, besides the codes of ``AT_RISK``: its unit had too few looks."""

_ROWS: Final = pa.schema(
    [("post_id", pa.int64()), ("row_hash", pa.string()), ("sekretess", pa.bool_()), ("enhet_hsa_id", pa.string())]
)
_MARKS: Final = pa.schema([("post_id", pa.int64()), ("rule", pa.string())])


@dataclass(frozen=True, slots=True)
class Frame:
    """The rows of a batch that a sample is drawn from; the sequences have one value for each booking request."""

    post_ids: Sequence[int]
    """Ascending."""
    row_hashes: Sequence[str]
    units: Sequence[str]
    """HSA-ids; empty for a post without a unit."""
    marks: Mapping[int, frozenset[Code]] = field(default_factory=dict)
    """The groups at risk of a post, by post id."""

    @property
    def rows_hash(self) -> str:
        """The hash that an approval binds (``proof.Rows``)."""
        return hashlib.sha256(lines_of_rows(self.post_ids, self.row_hashes)).hexdigest()


@dataclass(frozen=True, slots=True)
class Drawn:
    """A post of the sample."""

    post_id: int
    row_hash: str
    unit: str
    """HSA-id; empty for a post without a unit."""
    aims: tuple[str, ...] = ()
    """Why it is in the aimed part: ``UNIT`` or a code of ``AT_RISK``; empty for a post of the random part."""
    protected: bool = False

    @property
    def is_random(self) -> bool:
        """Whether it is in the random part, which alone counts for the bound."""
        return not self.aims


def draw(frame: Frame, smallest: int, size: int) -> tuple[Drawn, ...]:
    """Draw a sample.

    Args:
        frame: the rows.
        smallest: the size of the random part before it is enlarged. The aimed part follows from it and stays, so that a
            larger sample has every post of a smaller one.
        size: the size of the random part.

    Returns:
        the random part in its order, then the aimed part.
    """
    order = _order(frame)
    aims: dict[int, list[str]] = {}
    chosen = set(order[:smallest])
    looks = Counter(frame.units[at] for at in chosen)
    for at in order:
        unit = frame.units[at]
        if at not in chosen and looks[unit] < LOOKS:
            chosen.add(at)
            looks[unit] += 1
            aims.setdefault(at, []).append(UNIT)
    marked = [at for at in order if frame.post_ids[at] in frame.marks]
    for code in AT_RISK:
        members = [at for at in marked if code in frame.marks[frame.post_ids[at]]]
        missing = LOOKS - sum(at in chosen for at in members)
        for at in [at for at in members if at not in chosen][: max(missing, 0)]:
            chosen.add(at)
            aims.setdefault(at, []).append(code.value)
    random = order[: max(size, smallest)]
    for at in random:
        aims.pop(at, None)
    return (*(_drawn(frame, at, ()) for at in random), *(_drawn(frame, at, why) for at, why in aims.items()))


def read_frame(read: Read, batch_id: str) -> Frame:
    """Read the rows of a batch.

    Args:
        read: a reader of the staging database.
        batch_id: the batch.
    """
    request, place, found = schema.bokningsbegaran.c, schema.disposition.c, schema.finding.c
    of_post = sa.and_(place.batch_id == request.batch_id, place.post_id == request.post_id)
    rows = sa.select(request.post_id, request.row_hash, request.sekretess, place.enhet_hsa_id)
    rows = rows.outerjoin_from(schema.bokningsbegaran, schema.disposition, of_post)
    rows = rows.where(request.batch_id == batch_id).order_by(request.post_id)
    marks = sa.select(found.post_id, found.rule).where(
        found.batch_id == batch_id, sa.or_(*(found.rule == code.value for code in AT_RISK))
    )
    post_ids, row_hashes, units = list[int](), list[str](), list[str]()
    of_posts: dict[int, frozenset[Code]] = {}
    for table in read(rows, _ROWS):
        post_ids += table["post_id"].to_pylist()
        row_hashes += table["row_hash"].to_pylist()
        units += [unit or "" for unit in table["enhet_hsa_id"].to_pylist()]
        protected = table.filter(table["sekretess"])["post_id"].to_pylist()
        of_posts |= dict.fromkeys(protected, frozenset({Code.PROTECTED_IDENTITY}))
    for post_id, code in _marks(read, marks):
        of_posts[post_id] = of_posts.get(post_id, frozenset()) | {code}
    return Frame(post_ids, row_hashes, units, of_posts)


def _marks(read: Read, query: sa.Select[tuple[int, str]]) -> Iterator[tuple[int, Code]]:
    for table in read(query, _MARKS):
        yield from zip(table["post_id"].to_pylist(), map(Code, table["rule"].to_pylist()), strict=True)


def _order(frame: Frame) -> list[int]:
    """Return the places of the rows in the order in which they are drawn."""
    seed = frame.rows_hash
    keys = [hashlib.sha256(f"{seed}\x1f{post_id}".encode()).digest() for post_id in frame.post_ids]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _drawn(frame: Frame, at: int, aims: Sequence[str]) -> Drawn:
    post_id = frame.post_ids[at]
    protected = Code.PROTECTED_IDENTITY in frame.marks.get(post_id, ())
    return Drawn(post_id, frame.row_hashes[at], frame.units[at], tuple(aims), protected)
