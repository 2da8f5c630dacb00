"""Which SDV list a post lies on, and which one it is to lie on (chapters 2, 3 and 4).

A category is an SDV list or a base category by its name alone, compared in the forms ``mappings.list_key`` and
``mappings.category_key``. Nothing fuzzier counts: a near miss is unknown, with the closest name as a suggestion
for the people who correct it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.columns import TextColumn
from waitlist.mappings import Mappings, category_key, list_key

_NONE: Final = -1
_CLOSE_ENOUGH: Final = 0.85
"""Similarity from which a name is suggested: ``difflib``'s ratio, 1 for equal texts."""
_REMEMBERED: Final = 10_000
_REMEMBERED_LENGTH: Final = 200


@dataclass(frozen=True)
class CategoryMatch:
    """What the categories of a column mean, each array of shape (n,) and in the column's order."""

    own_list: npt.NDArray[np.int16]
    """Index into ``Mappings.sdv_lists`` of the list that the post lies on, -1 for none."""
    target_list: npt.NDArray[np.int16]
    """Index of the list that it is to lie on: its own, else the recommended one; -1 for an unknown category."""
    suggestion: pa.StringArray
    """The known name closest to an unknown category, null where none is close."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What one category means; -1 for nothing."""

    own: int
    targets: tuple[int, ...]
    """By contact form: first for the forms that no row names, then as in ``CategoryMatcher._forms``."""
    suggestion: int


class CategoryMatcher:
    """The mapping of categories, prepared for matching whole columns."""

    def __init__(self, mappings: Mappings) -> None:
        """Prepare faultless mappings."""
        index = {row.sdv_lista: at for at, row in enumerate(mappings.sdv_lists)}
        named = [row for row in mappings.base_categories if row.kategori]
        self._lists = {list_key(name): at for name, at in index.items()}
        self._forms = {
            form: at for at, form in enumerate(sorted({row.kontaktform for row in named if row.kontaktform}), 1)
        }
        self._base: dict[str, dict[str | None, int]] = {}
        for row in named:
            self._base.setdefault(category_key(row.kategori), {})[row.kontaktform] = index[row.sdv_lista]
        names = dict.fromkeys([*index, *(row.kategori for row in named)])
        self._names = pa.array(list(names), pa.string())
        self._similar = _SimilarNames([list_key(name) for name in names])
        self._found: dict[str, _Found] = {}

    def match(self, kategori: TextColumn, kontaktform: TextColumn) -> CategoryMatch:
        """Match posts' categories, given their contact forms.

        Args:
            kategori: texts, shape (n,), as the source wrote them; null and blank ones are unknown.
            kontaktform: texts, shape (n,); a value that no mapping row names counts as any other form.
        """
        category, categories = _encode(kategori)
        form, forms = _encode(kontaktform)
        found = [self._look_up(text) for text in categories]
        form_code = np.array([self._forms.get(text, 0) if text else 0 for text in forms])[form]
        targets = np.array([each.targets for each in found], np.int16)
        suggestion = np.array([each.suggestion for each in found], np.int32)[category]
        return CategoryMatch(
            np.array([each.own for each in found], np.int16)[category],
            targets[category, form_code],
            self._names.take(pa.array(suggestion, pa.int32(), mask=suggestion == _NONE)),
        )

    def _look_up(self, category: str | None) -> _Found:
        if category is None:
            return self._unknown(_NONE)
        found = self._found.get(category)
        if found is None:
            found = self._find(category)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            if len(category) <= _REMEMBERED_LENGTH:
                self._found[category] = found
        return found

    def _find(self, category: str) -> _Found:
        as_list = list_key(category)
        own = self._lists.get(as_list, _NONE)
        if own != _NONE:
            return _Found(own, (own,) * (1 + len(self._forms)), _NONE)
        by_form = self._base.get(category_key(category))
        if by_form is not None:
            any_form = by_form.get(None, _NONE)
            return _Found(_NONE, (any_form, *(by_form.get(form, any_form) for form in self._forms)), _NONE)
        return self._unknown(self._similar.closest(as_list))

    def _unknown(self, suggestion: int) -> _Found:
        return _Found(_NONE, (_NONE,) * (1 + len(self._forms)), suggestion)


class _SimilarNames:
    """Known names to suggest, with a cheap bound that spares most comparisons.

    A hostile extract may hold a new category in every post; only names that share enough characters with it are
    compared in earnest.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._alphabet = {sign: at for at, sign in enumerate(sorted({sign for name in names for sign in name}))}
        self._counts = np.array([self._count(name) for name in names]).reshape(len(names), len(self._alphabet))
        self._lengths = np.array([len(name) for name in names])

    def closest(self, text: str) -> int:
        """Return the index of the most similar name, the first of equally similar ones, -1 if none is close."""
        both = self._lengths + len(text)
        if not text or not (2 * np.minimum(self._lengths, len(text)) >= _CLOSE_ENOUGH * both).any():
            return _NONE
        shared = np.minimum(self._counts, self._count(text)).sum(axis=1)
        best, best_ratio = _NONE, 0.0
        for at in np.flatnonzero(2 * shared >= _CLOSE_ENOUGH * both).tolist():
            ratio = SequenceMatcher(None, self._names[at], text, autojunk=False).ratio()
            if ratio >= _CLOSE_ENOUGH and ratio > best_ratio:
                best, best_ratio = at, ratio
        return best

    def _count(self, text: str) -> npt.NDArray[np.int64]:
        counts = np.zeros(len(self._alphabet), np.int64)
        for sign, times in Counter(text).items():
            if sign in self._alphabet:
                counts[self._alphabet[sign]] = times
        return counts


def _encode(column: TextColumn) -> tuple[npt.NDArray[np.int64], list[str | None]]:
    """Return each row's index among the column's distinct values, and those values, the last of them None."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    indices = encoded.indices.fill_null(len(values) - 1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), np.int64), values
