"""Chooses the list of a post, its spelling, and the contact form."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator.catalogue import CONTACT_FORMS, UNKNOWN_FORM, Catalogue
from waitlist.simulator.components import Category, Components, Contact, Spelling
from waitlist.simulator.orders import SimulatorError
from waitlist.simulator.people import Pool
from waitlist.simulator.units import Kind

Days = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
Luck = npt.NDArray[np.float64]

_WEIGHTS: Final = {
    "SDV Pv Läk Återbesök": 10, "SDV Pv Ssk Återbesök": 9, "SDV Pv Ssk Återbesök (diabetes)": 7,
    "SDV Pv Ssk Återbesök (hypertoni)": 6, "SDV Pv Läk Telefon Återbesök": 5, "SDV Pv Usk Provtagning Vuxen": 5,
    "SDV Pv Fys Återbesök": 5, "SDV Pv Kur Återbesök": 3, "SDV Pv Psyk Återbesök": 3,
    "SDV Pv Ssk Återbesök (astma/KOL)": 4, "SDV Pv Usk Provtagning Barn": 5, "SDV Um Bm Återbesök": 3,
    "SDV Um Kur Återbesök": 2, "Läkarmottagning": 6, "Distriktssköterskemottagning": 5, "Diabetesmottagning": 3,
    "Hypertonimottagning": 3, "Telefontid": 2, "Lab/provtagning (barn)": 2,
}  # fmt: skip
"""The weight of a list or a base category; all others have 1."""
_FOR_MINORS: Final = ("Läk Återbesök", "(vaccination)", "Die", "Kur", "Psyk", "Provtagning Barn")
_BASE_FOR: Final = {
    Pool.MINORS: ("Lab/provtagning (barn)", "Läkarmottagning", "Vaccination", "Psykologmottagning"),
    Pool.YOUTH: ("Kuratorsmottagning", "Gynekologisk mottagning", "Psykologmottagning", "Telefontid"),
    Pool.SMALL_EARLY: ("Vaccination", "Distriktssköterskemottagning", "Läkarmottagning"),
    Pool.SMALL_LATE: ("Vaccination", "Distriktssköterskemottagning", "Läkarmottagning"),
}
_ORDINARY_FORMS: Final = np.cumsum((0.82, 0.13, 0.03, 0.02))
_LOOSE_FORM: Final = 0.1
"""How often a base category's post has another form than the one in its name."""
_THREE_MONTHS: Final = 92


@dataclass(frozen=True, slots=True)
class _Choice:
    """A weighted choice."""

    rows: Numbers
    bounds: Luck

    @classmethod
    def of(cls, rows: Sequence[int] | Numbers, names: Texts) -> "_Choice":
        weights = np.array([_WEIGHTS.get(names[row], 1) for row in rows], dtype=float)
        return cls(np.asarray(rows, dtype=np.int64), np.cumsum(weights / weights.sum()))

    def draw(self, luck: Luck) -> Numbers:
        places = np.searchsorted(self.bounds, luck, side="right")
        return np.asarray(self.rows[np.minimum(places, len(self.rows) - 1)])


class ListChooser:
    """Chooses lists and base categories that fit a person's age and the unit, unless a fault was planted."""

    def __init__(self, catalogue: Catalogue, kinds: Sequence[Kind]) -> None:
        """Prepare.

        Args:
            catalogue: the lists and base categories.
            kinds: the kind of each unit.
        """
        self._catalogue = catalogue
        self._kind = np.array([list(Kind).index(kind) for kind in kinds])
        lists, lower, upper = catalogue.lists, catalogue.lower, catalogue.upper
        self._programme = np.flatnonzero(catalogue.areas == "Bhv")
        primary = np.flatnonzero(catalogue.areas == "Pv")
        adult = _Choice.of(primary[upper[primary] < 0], lists)
        minor = [row for row in primary[lower[primary] < 0] if any(word in lists[row] for word in _FOR_MINORS)]
        self._lists = {
            Pool.ADULTS: adult,
            Pool.SPECIAL: adult,
            Pool.MINORS: _Choice.of(minor, lists),
            Pool.YOUTH: _Choice.of(np.flatnonzero(catalogue.areas == "Um"), lists),
        }
        self._for_adults_only = primary[lower[primary] >= 0]
        self._for_minors_only = primary[upper[primary] >= 0]
        any_base = _Choice.of(np.flatnonzero(upper[catalogue.targets[:, UNKNOWN_FORM]] < 0), catalogue.base)
        self._bases = {pool: any_base for pool in Pool if pool not in _BASE_FOR}
        for pool, names in _BASE_FOR.items():
            self._bases[pool] = _Choice.of([catalogue.base_named(name) for name in names], catalogue.base)
        ageless = (lower < 0) & (upper < 0)
        elsewhere = [ageless & ~np.isin(catalogue.areas, kind.value.split(";")) for kind in Kind]
        self._outside = [_Choice.of(np.flatnonzero(rows), lists) for rows in elsewhere]

    def choose(
        self,
        random: np.random.Generator,
        parts: Components,
        birth: npt.NDArray[np.datetime64],
        begins: Days,
        ends: Days,
    ) -> Numbers:
        """Choose the list of each post, and its base category. A post on another category gets the list it would have.

        Where no list is for a small child of its age, its window is moved by three months: ``begins`` and ``ends``
        change in place, as ``parts.base`` does.

        Raises:
            SimulatorError: the mapping has no list for some ages.
        """
        luck, luck_of_base = random.random(len(birth)), random.random(len(birth))
        chosen = parts.list_.copy()
        small = (chosen < 0) & parts.is_any("pool", Pool.SMALL_EARLY, Pool.SMALL_LATE)
        for pool, choice in self._lists.items():
            here = (chosen < 0) & (parts.pool == pool)
            chosen[here] = choice.draw(luck[here])
        self._fit_windows(small, parts.pool == Pool.SMALL_LATE, birth, begins, ends)
        chosen[small] = self._by_age(months_between(birth[small], begins[small]), luck[small], parts.wrong_age[small])
        chosen[parts.wrong_age & parts.is_any("pool", Pool.ADULTS, Pool.SPECIAL)] = self._for_minors_only[0]
        chosen[parts.wrong_age & (parts.pool == Pool.MINORS)] = self._for_adults_only[0]
        for kind, choice in enumerate(self._outside):
            here = parts.outside & (self._kind[parts.unit] == kind)
            chosen[here] = choice.draw(luck[here])
        for pool, choice in self._bases.items():
            here = (parts.category == Category.BASE) & (parts.base < 0) & (parts.pool == pool)
            parts.base[here] = choice.draw(luck_of_base[here])
        return chosen

    def _fits(self, age: Numbers) -> Mask:
        """Tell which lists of the child health programme are for a child of each age, shape (n, lists)."""
        lower, upper = self._catalogue.lower[self._programme], self._catalogue.upper[self._programme]
        return np.asarray((lower <= age[:, None]) & (age[:, None] <= upper))

    def _fit_windows(
        self, small: Mask, late: Mask, birth: npt.NDArray[np.datetime64], begins: Days, ends: Days
    ) -> None:
        gap = small.copy()
        gap[small] = ~self._fits(months_between(birth[small], begins[small])).any(axis=1)
        begins[gap & late] += _THREE_MONTHS
        ends[gap & late] += _THREE_MONTHS
        begins[gap & ~late] -= _THREE_MONTHS

    def _by_age(self, age: Numbers, luck: Luck, wrong: Mask) -> Numbers:
        fits = self._fits(age)
        if not fits.any(axis=1).all():
            raise SimulatorError("sdv_lists.csv has no child health list for some ages of the test children")
        rank = (luck * fits.sum(axis=1)).astype(np.int64)
        right = np.argmax(np.cumsum(fits, axis=1) > rank[:, None], axis=1)
        lower, upper = self._catalogue.lower[self._programme], self._catalogue.upper[self._programme]
        far = np.where(age > upper.min(), np.argmin(upper), np.argmax(lower))
        return np.asarray(self._programme[np.where(wrong, far, right)])

    def settle_forms(self, random: np.random.Generator, parts: Components, lists: Numbers) -> tuple[Numbers, Numbers]:
        """Return each post's contact form, as an index in ``CONTACT_FORMS``, and its target list, -1 for None."""
        catalogue, count = self._catalogue, len(lists)
        ordinary = np.minimum(np.searchsorted(_ORDINARY_FORMS, random.random(count)), len(CONTACT_FORMS) - 1)
        on_base = parts.category == Category.BASE
        says = catalogue.forms[np.where(on_base, catalogue.targets[parts.base, UNKNOWN_FORM], lists)]
        loose = on_base & (random.random(count) < _LOOSE_FORM)
        form = np.where((says >= 0) & ~loose, says, ordinary)
        other = (form + 1 + random.integers(0, 3, count)) % len(CONTACT_FORMS)
        form = np.where(parts.contact == Contact.OTHER, other, form)
        form = np.where(parts.contact == Contact.UNKNOWN, UNKNOWN_FORM, form)
        form = np.where(parts.form >= 0, parts.form, form)
        parts.contact[form == UNKNOWN_FORM] = Contact.UNKNOWN
        target = np.where(on_base, catalogue.targets[parts.base, form], lists)
        return form, np.where(parts.is_any("category", Category.UNKNOWN, Category.LOCAL), -1, target)

    def written(self, random: np.random.Generator, parts: Components, lists: Numbers) -> Texts:
        """Write each post's category."""
        catalogue = self._catalogue
        text = catalogue.lists[lists]
        on_base = parts.category == Category.BASE
        text[on_base] = catalogue.base[parts.base[on_base]]
        for kind, names in ((Category.UNKNOWN, catalogue.near_misses), (Category.LOCAL, catalogue.local)):
            here = parts.category == kind
            text[here] = names[random.integers(0, len(names), len(lists))][here]
        spelled = (parts.spelling != Spelling.EXACT) & parts.is_any("category", Category.SDV, Category.BASE)
        for place in np.flatnonzero(spelled).tolist():
            text[place] = _spelled(text[place], Spelling(int(parts.spelling[place])))
        return np.asarray(text)


def months_between(birth: npt.NDArray[np.datetime64], on: Days) -> Numbers:
    """Count the whole months from births to days; a month is complete when its day number is reached."""
    days = on.astype("datetime64[D]")
    months = days.astype("datetime64[M]").astype(np.int64) - birth.astype("datetime64[M]").astype(np.int64)
    day_of = days - days.astype("datetime64[M]").astype("datetime64[D]")
    born_on = birth - birth.astype("datetime64[M]").astype("datetime64[D]")
    return np.asarray(months - (day_of < born_on))


def _spelled(name: str, kind: Spelling) -> str:
    spellings = {
        Spelling.OUTER_SPACE: f"  {name} ",
        Spelling.LOWER_CASE: name.lower(),
        Spelling.UPPER_CASE: name.upper(),
        Spelling.DOUBLE_SPACE: name.replace(" ", "  "),
        Spelling.NO_BREAK_SPACE: name.replace(" ", "\u00a0"),
        Spelling.DECOMPOSED: unicodedata.normalize("NFD", name),
        Spelling.NO_SPACE: name.replace(" (", "("),
        Spelling.ALIAS: name.replace(" Bhv ", " Bvc ").replace(" Psyk ", " Psy "),
    }
    return spellings[kind]
