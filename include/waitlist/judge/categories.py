"""Which SDV list a post is on, and which SDV list it should be on (chapters 2, 3 and 4).

Only the name makes a category an SDV list or a base category. Names are compared in the forms ``mappings.list_key``
and ``mappings.category_key``. A similar name is not accepted: the category is unknown, and up to three SDV lists are
suggested to the staff that correct it, the most similar first.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.columns.buffers import TextColumn
from waitlist.facts.mappings import Mappings, category_key, list_key

SUGGESTED: Final = 3
"""The most lists that are suggested for an unknown category."""

_NONE: Final = -1
_REMEMBERED: Final = 10_000
_REMEMBERED_LENGTH: Final = 200
_WORD: Final = re.compile(r"[^\W_]+")
_LEAST_SHARED: Final = 4.0
"""Weight that two texts must share to be compared: more than the weight of "SDV Pv", about that of a rare trigram."""
_CLOSE_ENOUGH: Final = 0.35
_CLOSE_TO_BEST: Final = 0.75
_ABOUT_EQUAL: Final = 0.05
_FITTING_FORM: Final = 0.06
"""Added to the similarity of a list with the post's contact form, subtracted from that of a list with another one."""
_DIGITS: Final = 6
_UNSPECIFIED: Final = "ospecificera"
"""In the reason of a list that is for all that a profession does."""
_FINAL_A: Final = re.compile("a$")


@dataclass(frozen=True)
class CategoryMatch:
    """The lists that a column of categories leads to; each array has shape (n,) and the column's order."""

    own_list: npt.NDArray[np.int16]
    """Index into ``Mappings.sdv_lists`` of the list that the post is on, -1 for none."""
    target_list: npt.NDArray[np.int16]
    """Index of the list that it should be on: its own, else the recommended one; -1 for an unknown category."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The lists that one category leads to; -1 for none."""

    own: int
    targets: tuple[int, ...]
    """By contact form: first the list for forms that no row names, then in the order of ``CategoryMatcher._forms``."""


class CategoryMatcher:
    """The mapping of categories, prepared for matching whole columns."""

    def __init__(self, mappings: Mappings) -> None:
        """Prepare mappings that have no faults."""
        index = {row.sdv_lista: at for at, row in enumerate(mappings.sdv_lists)}
        named = [row for row in mappings.base_categories if row.kategori]
        self._lists = {list_key(name): at for name, at in index.items()}
        self._forms = {
            form: at for at, form in enumerate(sorted({row.kontaktform for row in named if row.kontaktform}), 1)
        }
        self._base: dict[str, dict[str | None, int]] = {}
        for row in named:
            self._base.setdefault(category_key(row.kategori), {})[row.kontaktform] = index[row.sdv_lista]
        self._found: dict[str, _Found] = {}
        self._similar = _SimilarLists(mappings, self._base)
        self._suggested: dict[tuple[str, str | None, frozenset[str]], tuple[str, ...]] = {}

    def match(self, kategori: TextColumn, kontaktform: TextColumn) -> CategoryMatch:
        """Match posts' categories, given their contact forms.

        Args:
            kategori: texts, shape (n,), as the source wrote them; null and blank texts are unknown categories.
            kontaktform: texts, shape (n,); a form that no mapping row names is treated as any other form.
        """
        category, categories = _encode(kategori)
        form, forms = _encode(kontaktform)
        found = [self._look_up(text) for text in categories]
        form_code = np.array([self._forms.get(text, 0) if text else 0 for text in forms])[form]
        targets = np.array([lists.targets for lists in found], np.int16)
        return CategoryMatch(
            np.array([lists.own for lists in found], np.int16)[category],
            targets[category, form_code],
        )

    def suggest(self, category: str | None, form: str | None, areas: Collection[str]) -> tuple[str, ...]:
        """Return the SDV lists that an unknown category may mean, the most similar first; empty if none is similar.

        Args:
            category: as the source wrote it.
            form: the post's contact form.
            areas: the unit's care areas; no list of another care area is suggested.
        """
        if category is None:
            return ()
        asked = (category[:_REMEMBERED_LENGTH], form, frozenset(areas))
        suggested = self._suggested.get(asked)
        if suggested is None:
            suggested = self._similar.closest(*asked)
            if len(self._suggested) >= _REMEMBERED:
                self._suggested.clear()
            self._suggested[asked] = suggested
        return suggested

    def _look_up(self, category: str | None) -> _Found:
        if category is None:
            return self._unknown()
        found = self._found.get(category)
        if found is None:
            found = self._find(category)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            if len(category) <= _REMEMBERED_LENGTH:
                self._found[category] = found
        return found

    def _find(self, category: str) -> _Found:
        own = self._lists.get(list_key(category), _NONE)
        if own != _NONE:
            return _Found(own, (own,) * (1 + len(self._forms)))
        by_form = self._base.get(category_key(category))
        if by_form is not None:
            any_form = by_form.get(None, _NONE)
            return _Found(_NONE, (any_form, *(by_form.get(form, any_form) for form in self._forms)))
        return self._unknown()

    def _unknown(self) -> _Found:
        return _Found(_NONE, (_NONE,) * (1 + len(self._forms)))


class _SimilarLists:
    """The texts about each SDV list: its name, profession and reason, and the base categories that lead to it.

    Similarity is measured by shared trigrams of words. A trigram weighs more the fewer texts contain it: "mån" is in
    many lists, "10 mån" in one. A compound such as "diabetessköterska" shares the trigrams of its parts.
    """

    def __init__(self, mappings: Mappings, base: Mapping[str, Mapping[str | None, int]]) -> None:
        self._rows = mappings.sdv_lists
        texts: list[str] = []
        self._leads_to: list[Mapping[str | None, int]] = []
        for at, row in enumerate(self._rows):
            about = [row.sdv_lista, f"{row.sdv_lista} {row.yrkeskategori}", f"{row.sdv_lista} {row.vardkontaktsorsak}"]
            if _UNSPECIFIED in row.vardkontaktsorsak and row.kontaktform is None:
                # The reception of a profession, by its abbreviation and as a compound: sjuksköterskemottagning.
                short = row.sdv_lista.split(" ")[2:3]
                about += [f"{name}-mottagning" for name in short] + [
                    f"{_FINAL_A.sub('e', row.yrkeskategori)}mottagning"
                ]
            texts += about
            self._leads_to += [{None: at}] * len(about)
        for category, by_form in base.items():
            texts.append(category)
            self._leads_to.append(by_form)
        trigrams = [_trigrams(text) for text in texts]
        self._place = {trigram: at for at, trigram in enumerate(sorted(set().union(*trigrams)))}
        present = np.zeros((len(texts), len(self._place)))
        for at, found in enumerate(trigrams):
            present[at, [self._place[trigram] for trigram in found]] = 1
        self._rarest = np.log(len(texts) + 1)
        self._weight = self._rarest - np.log(present.sum(axis=0) + 1)
        self._shares = present * self._weight
        self._whole = self._shares.sum(axis=1)

    def closest(self, category: str, form: str | None, areas: frozenset[str]) -> tuple[str, ...]:
        """Return at most ``SUGGESTED`` names, as ``CategoryMatcher.suggest`` does."""
        trigrams = _trigrams(category)
        # Sorted, because a set has no fixed order and the sum of floating-point numbers depends on the order.
        known = sorted(self._place[trigram] for trigram in trigrams if trigram in self._place)
        whole = self._weight[known].sum() + self._rarest * (len(trigrams) - len(known))
        shared = self._shares[:, known].sum(axis=1)
        enough = np.flatnonzero(shared >= _LEAST_SHARED)
        best: dict[int, float] = {}
        for at in enough.tolist():
            to = self._leads_to[at].get(form, self._leads_to[at].get(None, _NONE))
            if to != _NONE and self._rows[to].vardomrade in areas:
                # The mean of two measures: the share of the category that is in the text, and the Dice coefficient.
                likeness = (shared[at] / whole + 2 * shared[at] / (whole + self._whole[at])) / 2
                best[to] = max(best.get(to, 0.0), float(likeness) + self._fits(to, form))
        return tuple(self._rows[at].sdv_lista for at in _first(best))

    def _fits(self, at: int, form: str | None) -> float:
        list_form = self._rows[at].kontaktform
        return 0.0 if list_form is None else _FITTING_FORM if list_form == form else -_FITTING_FORM


def _first(likeness: Mapping[int, float]) -> tuple[int, ...]:
    """Return the most similar lists; lists of about equal similarity are returned all together, or not at all."""
    ranked = sorted(likeness, key=lambda at: (-round(likeness[at], _DIGITS), at))
    first: tuple[int, ...] = ()
    while ranked:
        equal = [at for at in ranked if likeness[at] > likeness[ranked[0]] - _ABOUT_EQUAL]
        best = likeness[first[0] if first else ranked[0]]
        if likeness[equal[0]] < max(_CLOSE_ENOUGH, _CLOSE_TO_BEST * best) or len(first) + len(equal) > SUGGESTED:
            break
        first += tuple(equal)
        ranked = ranked[len(equal) :]
    return first


def _trigrams(text: str) -> set[str]:
    """Return the trigrams of a text's words, each word with a space before and after it."""
    words = (f" {word} " for word in _WORD.findall(list_key(text)))
    return {word[at : at + 3] for word in words for at in range(len(word) - 2)}


def _encode(column: TextColumn) -> tuple[npt.NDArray[np.int64], list[str | None]]:
    """Return each row's index among the column's distinct values, and those values; the last value is None."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    indices = encoded.indices.fill_null(len(values) - 1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), np.int64), values
