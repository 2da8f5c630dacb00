"""Joins each post in the snapshot with its disposition and findings in the staging database.

Both are read once, in the order of ``post_id``, a chunk at a time. The rows that need an action are stored in
temporary files on disk, so that one unit at a time can be written, however large the batch is. All posts are counted,
and the counts must equal those of ``unit_summary``: if a post were lost here, nobody would call its patient.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.exceptions import WorkListError
from waitlist.facts.mappings import Mappings, SdvList, is_hsa_id
from waitlist.judge.rules import Code, Disposition
from waitlist.release.ledger import REJECTED, Owed
from waitlist.reports.readiness import Readiness
from waitlist.reports.worklist.advice import (
    Advice,
    Finding,
    Sheet,
    Withheld,
    advise,
    advise_change,
    advise_owed,
    advise_rejected,
)
from waitlist.reports.worklist.rows import Aside, make_rows, one_line
from waitlist.reports.worklist.sources import (
    Snapshot,
    StagedPosts,
    absent_posts,
    find_owed,
    knows_changes,
    knows_receipts,
)
from waitlist.staging import READABLE, Batch, StagingStore
from waitlist.staging.database import refusals_named

Progress = Callable[[str, int, int], None]
"""Called with the kind of work, the number done and the total."""

UNKNOWN: Final = ""
"""The key of the unit of posts whose unit is not known."""

_WITH_CUTOFF: Final = frozenset({Code.WITHIN_CUTOFF, Code.STRADDLES_CUTOFF})
_PROTECTED: Final = Code.PROTECTED_IDENTITY.value


@dataclass
class UnitFacts:
    """A unit of the batch, and how many posts it has."""

    key: str
    """HSA-id, or ``UNKNOWN``."""
    name: str
    wave: str | None
    go_live: date | None = None
    """The go-live by which the posts were judged."""
    cutoff: date | None = None
    """The last day that is booked directly in Millennium, where a finding has it."""
    posts: dict[Disposition, int] = field(default_factory=dict)
    rows: dict[Sheet, int] = field(default_factory=dict)
    gone: int = 0
    """Rows of posts that PMO no longer has; ``posts`` does not count them."""
    owed: set[int] = field(default_factory=set)
    """Posts for whose outcome the closing ledger waits, here or not."""
    planned_name: str = ""
    """The name in ``units.csv``; empty for a unit without a row."""
    lists: tuple[SdvList, ...] = ()
    """The SDV lists of the unit's care areas."""
    addresses: tuple[str, ...] = ()
    """Where its staff ask."""


def unit_key(hsa_id: str | None, mappings: Mappings) -> str:
    """Return the HSA-id of a post's unit; ``UNKNOWN`` when the text is not an HSA-id."""
    return hsa_id if hsa_id and (hsa_id in mappings.units or is_hsa_id(hsa_id)) else UNKNOWN


class Gathering:
    """A batch's units with their counts, and their rows in temporary files."""

    def __init__(
        self, readiness: Readiness, mappings: Mappings, aside: Aside, *, only: frozenset[str] | None = None
    ) -> None:
        """Prepare for a batch.

        Args:
            readiness: the batch and its counts.
            mappings: names and waves of the units.
            aside: the temporary files for the rows.
            only: keys of the units whose rows are wanted; None for all. All posts are counted in any case, their rows
                only of these units.
        """
        self._readiness = readiness
        self._mappings = mappings
        self._only = only
        self._aside = aside
        self._indices: dict[str, int] = {}
        self._owed: dict[str, dict[int, Owed]] = {}
        self.units: list[UnitFacts] = []
        # In a fixed order, so that the same batch gives the same files.
        for key in sorted(self._expected()):
            self._index_of(key)

    def gather(self, store: StagingStore, snapshot: Snapshot, progress: Progress) -> None:
        """Read the batch once.

        Raises:
            SnapshotError: the snapshot is damaged.
            StagingError: the database refused.
            WorkListError: snapshot and staging do not add up, or the batch was begun again meanwhile.
        """
        batch = self._readiness.batch
        done = 0
        self._read_owed(store)
        knows = {"knows_changes": knows_changes(store), "knows_receipts": knows_receipts(store)}
        with self._aside:
            with refusals_named(f"reading batch {batch.batch_id}"), store.database.reading() as read:
                staged = StagedPosts(read, batch.batch_id, **knows)
                for posts in snapshot.chunks():
                    self._add(posts, staged)
                    done += posts.num_rows
                    progress("posts read", done, batch.posts_extracted or 0)
                for gone in staged.gone():
                    self._add_gone(gone)
                self._add_owed()
            self._require_accounts()
            _require_same(batch, store.batch(batch.batch_id))

    def _add(self, posts: pa.Table, staged: StagedPosts) -> None:
        """Add a chunk of the snapshot with the dispositions and findings of its posts."""
        ids = posts["post_id"].to_numpy()
        first, last = int(ids[0]), int(ids[-1])
        dispositions = staged.dispositions(first, last)
        if not np.array_equal(dispositions["post_id"].to_numpy(), ids):
            raise WorkListError(
                f"batch {self._readiness.batch.batch_id}: snapshot and staging have different posts between "
                f"{first} and {last}; its rows were removed, or the batch is being run again"
            )
        units = self._unit_indices(dispositions["enhet_hsa_id"])
        self._count(units, dispositions["disposition"])
        self._note_units(units, posts["enhet"], dispositions["driftstart"])
        # Nobody reads the rows of the other units.
        wanted = np.flatnonzero(np.isin(units, [unit for unit in range(len(self.units)) if self._wants(unit)]))
        ids = ids[wanted]
        changes, rejected = staged.changes(first, last), staged.rejected(first, last)
        found_here = staged.findings(first, last)
        findings = _by_post(found_here.filter(pc.is_in(found_here["post_id"], pa.array(ids))), ids)
        dispositions_of = map(Disposition, dispositions["disposition"].take(pa.array(wanted)).to_pylist())
        advices: list[Advice] = []
        rows: list[int] = []
        for place, post_id, unit, disposition in zip(
            wanted.tolist(), ids.tolist(), units[wanted].tolist(), dispositions_of, strict=True
        ):
            found = findings.get(post_id, ())
            change = changes.get(post_id)
            if post_id in rejected:
                hidden = posts["sekretess"][place].as_py() is not False or any(it.rule == _PROTECTED for it in found)
                advice: Advice | None = advise_rejected(rejected[post_id], Withheld.PROTECTED if hidden else None)
            else:
                advice = advise(disposition, found) if change is None else advise_change("changed", change)
            owed = self._owed.get(self.units[unit].key, {}).pop(post_id, None)
            if owed is not None and advice is None:
                advice = advise_owed(migrates=disposition is Disposition.MIGRATE and owed.why != REJECTED)
            if advice is not None:
                self._note_row(unit, advice, found)
                advices.append(advice)
                rows.append(place)
        if rows:
            self._set_aside(
                posts.take(pa.array(rows)),
                units[rows],
                advices,
                protected=np.array(
                    [
                        any(finding.rule == _PROTECTED for finding in findings.get(post_id, ()))
                        for post_id in posts["post_id"].take(pa.array(rows)).to_pylist()
                    ]
                ),
                recommended=dispositions["recommended_list"].take(pa.array(rows)),
            )

    def _add_gone(self, posts: pa.Table) -> None:
        """Add released posts that PMO no longer has."""
        units = self._unit_indices(posts["enhet_hsa_id"])
        advices = [advise_change("gone", columns) for columns in posts["columns"].to_pylist()]
        for unit, advice in zip(units.tolist(), advices, strict=True):
            self._note_row(unit, advice)
            self.units[unit].gone += 1
        rows = [place for place, unit in enumerate(units.tolist()) if self._wants(unit)]
        self._set_aside(
            posts.take(pa.array(rows, pa.int64())),
            units[rows],
            [advices[place] for place in rows],
            protected=np.zeros(len(rows), dtype=np.bool_),
            recommended=pa.nulls(len(rows), pa.string()),
        )

    def _read_owed(self, store: StagingStore) -> None:
        # Texts that are no HSA-ids are of the unknown unit: its posts are found among all.
        only = None if self._only is None or UNKNOWN in self._only else self._only
        for hsa_id, posts in find_owed(store, self._readiness.batch, only).items():
            key = unit_key(hsa_id, self._mappings)
            self._owed.setdefault(key, {}).update(posts)
            self.units[self._index_of(key)].owed.update(posts)

    def _add_owed(self) -> None:
        """Add the posts of the ledger that their unit no longer has in PMO: the id and Boka före are known of them."""
        advice = advise_owed(migrates=False)
        for key, posts in sorted(self._owed.items()):
            unit = self._index_of(key)
            for _ in posts:
                self._note_row(unit, advice)
            if posts and self._wants(unit):
                absent = absent_posts(key, [posts[post_id] for post_id in sorted(posts)])
                self._set_aside(
                    absent,
                    np.full(len(posts), unit, dtype=np.int64),
                    [advice] * len(posts),
                    protected=np.zeros(len(posts), dtype=np.bool_),
                    recommended=pa.nulls(len(posts), pa.string()),
                )

    def _set_aside(
        self,
        posts: pa.Table,
        units: npt.NDArray[np.int64],
        advices: list[Advice],
        *,
        protected: npt.NDArray[np.bool_],
        recommended: pa.ChunkedArray,
    ) -> None:
        unknown = np.array([self.units[unit].key == UNKNOWN for unit in units.tolist()], dtype=np.bool_)
        self._aside.write(
            make_rows(posts, units, advices, protected=protected, unknown=unknown, recommended=recommended)
        )

    def _require_accounts(self) -> None:
        """Require that the posts read are as many as ``unit_summary`` counts."""
        expected = self._expected()
        differing = [unit.key or "the unknown unit" for unit in self.units if unit.posts != expected.get(unit.key, {})]
        if differing:
            raise WorkListError(
                f"batch {self._readiness.batch.batch_id}: the numbers of posts read and counted differ, in "
                f"{', '.join(differing)}"
            )

    def _expected(self) -> dict[str, dict[Disposition, int]]:
        expected: dict[str, dict[Disposition, int]] = {}
        for unit in (unit for wave in self._readiness.waves for unit in wave.units):
            counts = expected.setdefault(unit_key(unit.hsa_id, self._mappings), {})
            for name, posts in (*unit.progress.left.items(), (Disposition.MIGRATE, unit.progress.ready)):
                if posts:
                    counts[Disposition(name)] = counts.get(Disposition(name), 0) + posts
        return expected

    def _index_of(self, key: str) -> int:
        if key not in self._indices:
            unit = self._mappings.units.get(key)
            self._indices[key] = len(self.units)
            facts = UnitFacts(key, self._mappings.name_of(key), unit.vag if unit else None)
            facts.planned_name = unit.enhet if unit else ""
            facts.lists = tuple(
                row for row in self._mappings.sdv_lists if unit is None or row.vardomrade in unit.vardomraden
            )
            facts.addresses = self._mappings.addresses_of(key)
            self.units.append(facts)
        return self._indices[key]

    def _wants(self, unit: int) -> bool:
        return self._only is None or self.units[unit].key in self._only

    def _unit_indices(self, hsa_ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
        encoded = pc.dictionary_encode(hsa_ids.combine_chunks(), null_encoding="encode")
        of_code = [self._index_of(unit_key(text, self._mappings)) for text in encoded.dictionary.to_pylist()]
        return np.asarray(np.array(of_code, dtype=np.int64)[encoded.indices.to_numpy()])

    def _count(self, units: npt.NDArray[np.int64], dispositions: pa.ChunkedArray) -> None:
        found = pa.table({"unit": units, "name": dispositions})
        for row in found.group_by(["unit", "name"]).aggregate([([], "count_all")]).to_pylist():
            posts = self.units[row["unit"]].posts
            name = Disposition(row["name"])
            posts[name] = posts.get(name, 0) + row["count_all"]

    def _note_units(self, units: npt.NDArray[np.int64], names: pa.ChunkedArray, go_lives: pa.ChunkedArray) -> None:
        """Store the go-lives, and PMO's name of a unit without a row in ``units.csv``."""
        found = pa.table({"unit": units, "name": one_line(names), "go_live": go_lives}).group_by("unit")
        for row in found.aggregate([("name", "min"), ("go_live", "max")]).to_pylist():
            unit = self.units[row["unit"]]
            unit.go_live = unit.go_live or row["go_live_max"]
            if unit.name == unit.key != UNKNOWN:
                unit.name = row["name_min"] or unit.key

    def _note_row(self, place: int, advice: Advice, findings: Iterable[Finding] = ()) -> None:
        unit = self.units[place]
        unit.rows[advice.sheet] = unit.rows.get(advice.sheet, 0) + 1
        if unit.cutoff is None:
            found = (finding.detail for finding in findings if finding.rule in _WITH_CUTOFF and finding.detail)
            unit.cutoff = next((date.fromisoformat(detail) for detail in found), None)


def _by_post(findings: pa.Table, ids: npt.NDArray[np.int64]) -> Mapping[int, tuple[Finding, ...]]:
    """Return the findings by post; a post without findings is left out."""
    found = [Finding(*values) for values in zip(*(findings[name].to_pylist() for name in Finding._fields), strict=True)]
    bounds = np.searchsorted(findings["post_id"].to_numpy(), ids)
    ends = np.append(bounds, len(found))[1:]
    cut = zip(ids.tolist(), bounds.tolist(), ends.tolist(), strict=True)
    return {post_id: tuple(found[begin:end]) for post_id, begin, end in cut if begin < end}


def _require_same(begun: Batch, now: Batch) -> None:
    same = (begun.started_at, begun.rules_version, begun.posts_extracted, begun.posts_staged)
    if now.state not in READABLE or same != (now.started_at, now.rules_version, now.posts_extracted, now.posts_staged):
        raise WorkListError(f"batch {begun.batch_id} was begun again while it was read: try again when it is verified")
