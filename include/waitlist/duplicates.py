"""What can only be seen over the whole batch: a patient who stands twice on the same list of a unit.

The search runs before the assessment, so that a duplicate is one finding among the others and a lead may raise
it to ``blocks``. It keeps 24 bytes for each post that can have a duplicate, whatever the texts weigh.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.columns import text_bytes
from waitlist.exceptions import SnapshotError
from waitlist.posts import NO_POSTS, PostIds, Posts, RuleContext

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


class DuplicateSearch:
    """Collects posts chunk by chunk, then names those that overlap another (rule ``DUPLICATE_POST``)."""

    def __init__(self, context: RuleContext) -> None:
        if len(context.mappings.sdv_lists) >= 1 << _LIST_BITS:
            raise SnapshotError(f"the duplicate search takes fewer than {1 << _LIST_BITS} SDV lists")
        self._context = context
        self._units: dict[str | None, int] = {}
        self._keys: list[npt.NDArray[np.uint64]] = []
        self._windows: list[npt.NDArray[np.int32]] = []
        self._post_ids: list[PostIds] = []
        self._last_post_id: int | None = None

    def add(self, table: pa.Table) -> None:
        """Take in a chunk.

        Args:
            table: ``COLUMNS`` of posts in ascending order of ``post_id``, after every chunk before.

        Raises:
            SnapshotError: a post id comes twice or out of order.
        """
        posts = Posts(table, self._context)
        self._check_order(posts.post_id)
        candidates = posts.waits & posts.has_personnummer & posts.has_target_list & posts.has_window
        digits, _ = text_bytes(posts.identities.person_id.filter(pa.array(candidates)))
        person = (digits - np.uint8(ord("0"))).reshape(-1, len(_PLACES)) @ _PLACES
        unit = self._unit_numbers(posts)[candidates]
        target = posts.category.target_list[candidates].astype(np.uint64)
        self._keys.append((person << _PERSON_SHIFT) | (unit << _UNIT_SHIFT) | target)
        window = np.stack([posts.boka_from[candidates], posts.boka_fore[candidates]])
        self._windows.append(window.astype(np.int64).astype(np.int32))
        self._post_ids.append(posts.post_id[candidates])

    def find(self) -> PostIds:
        """Return the ids of all posts that overlap another of the same person, unit and list, sorted."""
        if not self._keys:
            return NO_POSTS
        keys = np.concatenate(self._keys)
        start, end = np.concatenate(self._windows, axis=1)
        post_ids = np.concatenate(self._post_ids)
        shared = _shared(keys)
        keys, start, end, post_ids = keys[shared], start[shared], end[shared], post_ids[shared]
        order = np.lexsort((start, keys))
        keys, start, end, post_ids = keys[order], start[order], end[order], post_ids[order]
        return np.sort(post_ids[_overlapping(keys, start, end)])

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
    search = DuplicateSearch(context)
    for table in tables:
        search.add(table)
    return search.find()


def _shared(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Return where the keys are that stand more than once: few of many."""
    order = np.argsort(keys)
    same = np.equal(keys[order[1:]], keys[order[:-1]])
    several = np.zeros(keys.size, dtype=np.bool_)
    several[1:] |= same
    several[:-1] |= same
    return np.asarray(order[several])


def _overlapping(
    keys: npt.NDArray[np.uint64], start: npt.NDArray[np.int32], end: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """Tell which windows meet another of their key, both ends inclusive; sorted by key, then start."""
    if keys.size == 0:
        return np.zeros(0, dtype=np.bool_)
    group = np.concatenate([[0], np.cumsum(keys[1:] != keys[:-1])]).astype(np.int64)
    # The latest end so far within each group: groups are lifted apart so that one running maximum serves all.
    lift = group << 33
    latest = np.maximum.accumulate(lift + end) - lift
    overlaps_earlier = np.zeros(keys.size, dtype=np.bool_)
    same = group[1:] == group[:-1]
    overlaps_earlier[1:] = same & (start[1:] <= latest[:-1])
    overlaps_later = np.zeros(keys.size, dtype=np.bool_)
    overlaps_later[:-1] = same & (start[1:] <= end[:-1])
    return overlaps_earlier | overlaps_later
