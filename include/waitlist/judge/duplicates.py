"""The search for duplicates over a whole batch: posts of one patient on the same list of a unit.

The search runs before the assessment, so that a duplicate is a finding like any other and a lead may raise it to
``blocks``. It keeps 24 bytes for each post that can have a duplicate: in memory for a small batch, otherwise in
temporary files without a name. No other process can open those files, and they disappear with the process.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import IO, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.columns.buffers import text_bytes
from waitlist.exceptions import SnapshotError
from waitlist.judge.posts import NO_POSTS, Posts, RuleContext
from waitlist.schema import PostIds

COLUMNS: Final = (
    "post_id",
    "personnummer",
    "enhet_hsa_id",
    "kategori",
    "kontaktform",
    "vantar_pa_besok",
    "boka_from",
    "boka_fore",
)
"""The columns of ``schema.POSTS`` that the search reads."""

# A key of 64 bits: 40 for the twelve digits of a person, 16 for the unit, 8 for the list.
_UNIT_BITS: Final = 16
_LIST_BITS: Final = 8
_UNIT_SHIFT: Final = np.uint64(_LIST_BITS)
_PERSON_SHIFT: Final = np.uint64(_LIST_BITS + _UNIT_BITS)
_PLACES: Final = np.array([10**place for place in reversed(range(12))], dtype=np.uint64)

_KEPT: Final = np.dtype([("key", np.uint64), ("start", np.int32), ("end", np.int32), ("post_id", np.int64)])
_BUCKETS: Final = 32
_SPILLED_BYTES: Final = 2**20
"""The most bytes that a bucket keeps in memory: about 1.4 million posts in all buckets together."""


class DuplicateSearch:
    """Collects posts chunk by chunk, then returns those that overlap another (rule ``DUPLICATE_POST``).

    A context manager: the collected data is deleted at its end.
    """

    def __init__(self, context: RuleContext) -> None:
        if len(context.mappings.sdv_lists) >= 1 << _LIST_BITS:
            raise SnapshotError(f"the duplicate search takes fewer than {1 << _LIST_BITS} SDV lists")
        self._context = context
        self._units: dict[str | None, int] = {}
        self._last_post_id: int | None = None
        self._open = ExitStack()
        self._buckets: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        """Create the buckets in which posts are collected."""
        for _ in range(_BUCKETS):
            self._buckets.append(self._open.enter_context(SpooledTemporaryFile(_SPILLED_BYTES)))
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the collected data."""
        self._open.close()

    def add(self, table: pa.Table) -> None:
        """Collect the posts of a chunk.

        Args:
            table: ``COLUMNS`` of posts in ascending order of ``post_id``, higher than in all earlier chunks.

        Raises:
            SnapshotError: a post id is repeated or out of order.
        """
        posts = Posts(table, self._context)
        self._check_order(posts.post_id)
        candidates = posts.waits & posts.has_personnummer & posts.has_target_list & posts.has_window
        digits, _ = text_bytes(posts.identities.person_id.filter(pa.array(candidates)))
        person = (digits - np.uint8(ord("0"))).reshape(-1, len(_PLACES)) @ _PLACES
        unit = self._unit_numbers(posts)[candidates]
        target = posts.category.target_list[candidates].astype(np.uint64)
        kept = np.empty(len(person), dtype=_KEPT)
        kept["key"] = (person << _PERSON_SHIFT) | (unit << _UNIT_SHIFT) | target
        kept["start"] = posts.boka_from[candidates].astype(np.int64)
        kept["end"] = posts.boka_fore[candidates].astype(np.int64)
        kept["post_id"] = posts.post_id[candidates]
        bucket_of = person % np.uint64(_BUCKETS)  # all posts of a person are in the same bucket
        for number, bucket in enumerate(self._buckets):
            bucket.write(kept[bucket_of == number].tobytes())

    def find(self) -> PostIds:
        """Return the ids of all posts that overlap another of the same person, unit and list, sorted."""
        found = [NO_POSTS]
        for bucket in self._buckets:
            bucket.seek(0)
            found.append(_duplicates_of(np.frombuffer(bucket.read(), dtype=_KEPT)))
        return np.sort(np.concatenate(found))

    def _check_order(self, post_id: PostIds) -> None:
        before = [] if self._last_post_id is None else [self._last_post_id]
        line = np.concatenate([np.array(before, dtype=np.int64), post_id])
        wrong = line[1:][np.diff(line) <= 0]
        if wrong.size:
            raise SnapshotError(f"post ids come twice or out of order in the snapshot: {wrong[:20].tolist()}")
        if line.size:
            self._last_post_id = int(line[-1])

    def _unit_numbers(self, posts: Posts) -> npt.NDArray[np.uint64]:
        encoded = posts.column("enhet_hsa_id").dictionary_encode(null_encoding="encode")
        numbers = [self._units.setdefault(unit, len(self._units)) for unit in encoded.dictionary.to_pylist()]
        if len(self._units) > 1 << _UNIT_BITS:
            raise SnapshotError(f"the duplicate search takes at most {1 << _UNIT_BITS} units in a batch")
        return np.asarray(np.array(numbers, dtype=np.uint64)[encoded.indices.to_numpy()])


def find(tables: Iterable[pa.Table], context: RuleContext) -> PostIds:
    """Search a whole batch; see ``DuplicateSearch``."""
    with DuplicateSearch(context) as search:
        for table in tables:
            search.add(table)
        return search.find()


def _duplicates_of(kept: npt.NDArray[np.void]) -> PostIds:
    kept = kept[_repeated(kept["key"])]
    kept = kept[np.lexsort((kept["start"], kept["key"]))]
    return np.asarray(kept["post_id"][_overlapping(kept["key"], kept["start"], kept["end"])])


def _repeated(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return the positions of the keys that occur more than once, usually few of many."""
    order = np.argsort(keys)
    same = np.equal(keys[order[1:]], keys[order[:-1]])
    several = np.zeros(keys.size, dtype=np.bool_)
    several[1:] |= same
    several[:-1] |= same
    return np.asarray(order[several])


def _overlapping(
    keys: npt.NDArray[np.uint64], start: npt.NDArray[np.int32], end: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """Return which windows overlap another of the same key, both ends inclusive; the rows are sorted by key, start."""
    if keys.size == 0:
        return np.zeros(0, dtype=np.bool_)
    group = np.concatenate([[0], np.cumsum(keys[1:] != keys[:-1])]).astype(np.int64)
    # The latest end so far within each group. Each group gets an offset that is larger than any end, so that one
    # running maximum over all rows never carries a value into the next group.
    offset = group << 33
    latest = np.maximum.accumulate(offset + end) - offset
    overlaps_earlier = np.zeros(keys.size, dtype=np.bool_)
    same = group[1:] == group[:-1]
    overlaps_earlier[1:] = same & (start[1:] <= latest[:-1])
    overlaps_later = np.zeros(keys.size, dtype=np.bool_)
    overlaps_later[:-1] = same & (start[1:] <= end[:-1])
    return overlaps_earlier | overlaps_later
