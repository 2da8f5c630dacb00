"""A chunk of posts and the columns that the rules derive from it; each is computed once, when it is first read.

The assessment reads nearly all derived columns. An expectation builds a ``Posts`` from the few raw columns that its
rule reads, and computes nothing else.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import dates, texts
from waitlist.columns.dates import Days
from waitlist.facts.mappings import Mappings, Unit
from waitlist.judge.categories import CategoryMatch, CategoryMatcher
from waitlist.judge.identity import Identities, Kind, classify
from waitlist.judge.persons import Persons
from waitlist.schema import PostIds
from waitlist.settings import RuleSettings

Mask = npt.NDArray[np.bool_]
NO_POSTS: Final[PostIds] = np.empty(0, dtype=np.int64)
CONTACT_FORMS: Final = ("besok", "telefon", "video", "hembesok")
"""The values of ``kontaktform`` in contract 1."""

_SEPARATOR: Final = " | "


@dataclass(frozen=True)
class RuleContext:
    """All that a rule may read besides the post; a rule never reads the clock."""

    as_of: dt.date
    mappings: Mappings
    rules: RuleSettings

    @cached_property
    def matcher(self) -> CategoryMatcher:
        """The mapping of categories to lists, prepared for matching."""
        return CategoryMatcher(self.mappings)

    @cached_property
    def go_lives(self) -> Days:
        """Go-live of each unit in the order of the mapping, NaT if it has none; a last NaT for posts without a unit."""
        return np.array([dates.day(unit.driftstart) for unit in self.mappings.units.values()] + [dates.day(None)])

    @cached_property
    def row_of_unit(self) -> Mapping[str, int]:
        """The index in the mapping of each HSA-id."""
        return {hsa_id: row for row, hsa_id in enumerate(self.mappings.units)}

    @cached_property
    def test_numbers(self) -> pa.StringArray:
        """The Person-IDs of test patients."""
        numbers = (number for row in self.mappings.test_persons for number in row.nummer.numbers)
        return pa.array(sorted(set(numbers)), pa.string())

    @cached_property
    def covers(self) -> Mask:
        """Whether a unit (row) has the care area of a list (column).

        The last row is for posts without a unit, the last column for posts without a list; both are True throughout.
        """
        units, lists = self.mappings.units.values(), self.mappings.sdv_lists
        covered = np.ones((len(units) + 1, len(lists) + 1), dtype=np.bool_)
        for row, unit in enumerate(units):
            covered[row, :-1] = [sdv_list.vardomrade in unit.vardomraden for sdv_list in lists]
        return covered


@dataclass(frozen=True)
class CleanText:
    """A text column after cleaning: the texts folded to one line, and which of them had control characters."""

    folded: pa.StringArray
    had_control_characters: Mask

    @cached_property
    def empty(self) -> Mask:
        """Whether a text is null or only white space."""
        return texts.is_empty(self.folded)


@dataclass(frozen=True)
class UnitColumns:
    """The row of ``units.csv`` for each post's unit; ``row`` is -1 if the file does not have the unit."""

    rows: tuple[Unit, ...]
    row: npt.NDArray[np.int64]
    driftstart: Days
    """Go-live, NaT if the unit has no go-live."""

    @cached_property
    def known(self) -> Mask:
        """The unit has a row."""
        return self.row >= 0


class Posts:
    """A chunk of posts, shape (n,), in the order of its table."""

    def __init__(
        self,
        table: pa.Table,
        context: RuleContext,
        *,
        duplicates: PostIds = NO_POSTS,
        released: PostIds = NO_POSTS,
        persons: Persons | None = None,
    ) -> None:
        """Take the posts of a table.

        Args:
            table: columns of ``schema.POSTS``: all of them, or those that the rules in use read.
            context: as-of date, mappings and rule settings.
            duplicates: sorted post ids that ``duplicates.find`` returned for the whole batch.
            released: sorted post ids that an earlier batch released.
            persons: what the person service answered; None where it is not to be asked.
        """
        self._table = table
        self._duplicates = duplicates
        self._released = released
        self._persons = persons
        self._clean: dict[str, CleanText] = {}
        self.context = context

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def column(self, name: str) -> pa.Array:
        """Return a raw column as one array."""
        column = self._table.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def flag(self, name: str) -> Mask:
        """Return a 0/1 column as a mask; null, which only ``sekretess`` may have, is False."""
        column = self.column(name)
        known = column.fill_null(False) if column.null_count else column
        return np.asarray(known.to_numpy(zero_copy_only=False), dtype=np.bool_)

    def text(self, name: str) -> CleanText:
        """Return one of the three texts, or the name, after cleaning."""
        if name not in self._clean:
            cleaned, dirty = texts.clean(self.column(name))
            self._clean[name] = CleanText(texts.fold_white_space(cleaned), dirty)
        return self._clean[name]

    @cached_property
    def post_id(self) -> PostIds:
        """The only identifier that logs and reports may contain."""
        return np.asarray(self.column("post_id").to_numpy())

    @cached_property
    def waits(self) -> Mask:
        """A patient waits for a visit, telephone or video contact."""
        return self.flag("vantar_pa_besok")

    @cached_property
    def identities(self) -> Identities:
        """The classified number of each post."""
        return classify(self.column("personnummer"), self.context.as_of, self.context.mappings.reserve_numbers)

    def is_kind(self, *kinds: Kind) -> Mask:
        """Return where the number is of one of these kinds."""
        wanted = np.zeros(len(Kind), dtype=np.bool_)
        wanted[list(kinds)] = True
        return wanted[self.identities.kind]

    @cached_property
    def has_personnummer(self) -> Mask:
        """The number is a personnummer."""
        return self.is_kind(Kind.PERSONNUMMER)

    @property
    def asks_persons(self) -> bool:
        """Whether the person service is to be asked about everybody who waits."""
        return self._persons is not None

    @cached_property
    def answered(self) -> Mask:
        """The patient waits, and the person service has said something of the person."""
        return np.asarray(pc.is_valid(self._answer).to_numpy(zero_copy_only=False))

    def person_flag(self, name: str) -> Mask:
        """Return a flag of each person's answer, False for a person without an answer."""
        if self._persons is None:
            return np.zeros(len(self), dtype=np.bool_)
        found = pc.take(self._persons.answers.column(name).combine_chunks(), self._answer)
        return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False))

    def person_reason_is(self, *reasons: str) -> Mask:
        """Tell where the person was taken off the population register for one of these reasons."""
        if self._persons is None:
            return np.zeros(len(self), dtype=np.bool_)
        found = pc.take(self._persons.answers.column("reason").combine_chunks(), self._answer)
        return np.asarray(pc.is_in(found, value_set=pa.array(reasons)).to_numpy(zero_copy_only=False))

    @cached_property
    def has_other_name(self) -> Mask:
        """PMO's name has no word of the person's surname or middle name."""
        if self._persons is None:
            return np.zeros(len(self), dtype=np.bool_)
        return self.waits & np.isin(self.post_id, self._persons.other_name, assume_unique=True)

    @cached_property
    def is_protected_by_service(self) -> Mask:
        """The person service has either of its two marks of protection."""
        return self.person_flag("protected_person") | self.person_flag("protected_record")

    @cached_property
    def sekretess(self) -> pa.BooleanArray:
        """The mark of protection of PMO or of the person service; null where neither says so and PMO says nothing."""
        return pc.or_kleene(self.column("sekretess"), pa.array(self.is_protected_by_service))

    @cached_property
    def _answer(self) -> pa.Int32Array:
        """The place of each person's answer, null without one, and for a post whose patient does not wait.

        Only people who wait are asked about. A person may have posts of both kinds in different partitions, so with the
        answer on all of them a finding would depend on how the posts were divided.
        """
        if self._persons is None:
            return pa.nulls(len(self), pa.int32())
        asked = self._persons.answers.column("person_id").combine_chunks()
        place = pc.index_in(self.identities.person_id, value_set=asked)
        return pc.if_else(pa.array(self.waits), place, pa.scalar(None, pa.int32()))

    @cached_property
    def category(self) -> CategoryMatch:
        """The SDV list that each post is on, and the one that it should be on."""
        return self.context.matcher.match(self.column("kategori"), self.column("kontaktform"))

    @cached_property
    def on_sdv_list(self) -> Mask:
        """The post is on an SDV list."""
        return self.category.own_list >= 0

    @cached_property
    def has_target_list(self) -> Mask:
        """The post is on an SDV list, or the mapping recommends one."""
        return self.category.target_list >= 0

    @cached_property
    def list_in_care_area(self) -> Mask:
        """The target list's care area is one of the unit's; also True where the list or the unit is not known."""
        return self.context.covers[self.units.row, self.category.target_list]

    @cached_property
    def boka_from(self) -> Days:
        """Boka fr.o.m."""
        return dates.parse(self.column("boka_from"))

    @cached_property
    def boka_fore(self) -> Days:
        """Boka före, inclusive."""
        return dates.parse(self.column("boka_fore"))

    @cached_property
    def has_window(self) -> Mask:
        """The post has two valid dates in the right order."""
        return self.boka_from <= self.boka_fore  # a comparison with NaT is False

    @cached_property
    def expired(self) -> Mask:
        """Boka före is before the as-of date."""
        return self.boka_fore < dates.day(self.context.as_of)

    @cached_property
    def units(self) -> UnitColumns:
        """The row of the mapping for each post's unit."""
        encoded = pc.dictionary_encode(self.column("enhet_hsa_id"))
        by_id = self.context.row_of_unit
        row_of = [by_id.get(hsa_id, -1) for hsa_id in encoded.dictionary.to_pylist()]
        codes = pc.fill_null(encoded.indices, len(row_of)).to_numpy(zero_copy_only=False)
        row = np.array([*row_of, -1], dtype=np.int64)[codes]
        return UnitColumns(tuple(self.context.mappings.units.values()), row, self.context.go_lives[row])

    @cached_property
    def cutoff(self) -> Days:
        """Go-live + 28 days: the last day that is booked directly in Millennium (chapter 2, step 3)."""
        return self.units.driftstart + np.timedelta64(self.context.rules.cutoff_days, "D")

    @cached_property
    def cutoff_applies(self) -> Mask:
        """The window is in the right order and not expired, and the unit has a go-live."""
        return self.has_window & ~self.expired & ~np.isnat(self.cutoff)

    @cached_property
    def straddles_cutoff(self) -> Mask:
        """The window begins at or before the cutoff and ends after it."""
        return self.cutoff_applies & (self.boka_from <= self.cutoff) & (self.boka_fore > self.cutoff)

    def beskrivning(self, rows: pa.Array) -> pa.StringArray:
        """Return Beskrivning of the booking requests of some rows (chapter 6)."""
        parts = (_part(label, pc.take(folded, rows)) for label, folded in self._parts)
        return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*parts, ""), len(_SEPARATOR))

    @cached_property
    def beskrivning_length(self) -> npt.NDArray[np.int64]:
        """The number of code points of Beskrivning, computed without building the texts."""
        length = np.zeros(len(self), dtype=np.int64)
        for label, folded in self._parts:
            written = pc.fill_null(pc.utf8_length(folded), 0).to_numpy(zero_copy_only=False)
            length += np.where(written > 0, written + len(_labelled(label)), 0)
        return np.maximum(length - len(_SEPARATOR), 0)

    @cached_property
    def _parts(self) -> Sequence[tuple[str, pa.StringArray]]:
        """The parts of Beskrivning in their order: label and text, folded."""
        parts = [
            ("Användare", self.text("anvandare").folded),
            ("Orsak", self.text("orsak").folded),
            ("Planerade åtgärder", self.text("planerade_atgarder").folded),
        ]
        if self.context.rules.include_duration:
            minutes = pc.cast(self.column("tidsatgang_min"), pa.string())
            parts.append(("Tidsåtgång", pc.binary_join_element_wise(minutes, "min", " ")))
        return parts

    @cached_property
    def is_duplicate(self) -> Mask:
        """The search for duplicates over the whole batch found the post."""
        return np.isin(self.post_id, self._duplicates, assume_unique=True)

    @cached_property
    def is_released(self) -> Mask:
        """The post was released to Millennium in an earlier batch."""
        return np.isin(self.post_id, self._released, assume_unique=True)


def _part(label: str, folded: pa.StringArray) -> pa.StringArray:
    """Put separator and label before each text; an empty text gets neither."""
    # null_handling="skip" would be simpler, but it drops a row whose parts are all null (pyarrow 26).
    labelled = pc.binary_join_element_wise(_labelled(label), pc.fill_null(folded, ""), "")
    return pc.if_else(pa.array(texts.is_empty(folded)), "", labelled)


def _labelled(label: str) -> str:
    return f"{_SEPARATOR}{label}: "
