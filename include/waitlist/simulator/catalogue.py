"""The SDV lists and base categories for the generator, read directly from the mapping files.

The truth must not depend on the code that it judges, so this module reads the CSV files itself.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from waitlist.simulator.texts import group_of

Numbers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]

CONTACT_FORMS: Final = ("besok", "telefon", "video", "hembesok")
UNKNOWN_FORM: Final = len(CONTACT_FORMS)
"""The index of any contact form that is not in the contract."""
_NEAR_MISSES: Final = (
    "Läkarmottagningen", "Diabetsmottagning", "Distriktsköterskemottagning", "Lab/provtagning", "Hembesök",
    "Astma KOL-mottagning", "Telefontider", "Kurator", "Gastric by-pass", "Laekarmottagning", "SDV", "SDV Pv",
)  # fmt: skip
_LOCAL: Final = (
    "Årskontroll", "BVC 10 mån", "BVC-sköterska", "UM kurator", "UM barnmorska", "Väntar på provsvar",
    "Öronspolning", "Akutkö", "Läkare – kö 2", "Ska ringas upp",
)  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """Names of lists and categories, and the facts about them; an index of -1 means None."""

    lists: Texts
    """SDV lists, shape (l,)."""
    areas: Texts
    """Care area of each list, shape (l,)."""
    forms: Numbers
    """The contact form in each list's name, as an index in ``CONTACT_FORMS``, or -1; shape (l,)."""
    lower: Numbers
    """Lowest age in months, -1 for none; shape (l,)."""
    upper: Numbers
    """Highest age in months, -1 for none; shape (l,)."""
    groups: Numbers
    """Which notes suit each list; shape (l,)."""
    base: Texts
    """Base categories, shape (b,)."""
    targets: Numbers
    """The recommended list of each base category by contact form, unknown last; shape (b, 5)."""
    near_misses: Texts
    """Categories that resemble known ones, and the empty category."""
    local: Texts
    """Categories of a unit's own."""

    @classmethod
    def read(cls, mappings: Path) -> "Catalogue":
        """Read ``sdv_lists.csv`` and ``base_categories.csv`` of a mapping folder."""
        rows = _read_csv(mappings / "sdv_lists.csv")
        names = [row["sdv_lista"] for row in rows]
        targets: dict[str, list[int]] = {}
        for row in sorted(_read_csv(mappings / "base_categories.csv"), key=lambda row: row["kontaktform"] != ""):
            target = names.index(row["sdv_lista"])
            if not row["kontaktform"]:
                targets[row["kategori"]] = [target] * (len(CONTACT_FORMS) + 1)
            else:
                targets[row["kategori"]][CONTACT_FORMS.index(row["kontaktform"])] = target
        targets.pop("", None)
        return cls(
            lists=_texts(names),
            areas=_texts([row["vardomrade"] for row in rows]),
            forms=np.array([CONTACT_FORMS.index(row["kontaktform"]) if row["kontaktform"] else -1 for row in rows]),
            lower=np.array([int(row["alder_fran_man"] or -1) for row in rows]),
            upper=np.array([int(row["alder_till_man"] or -1) for row in rows]),
            groups=np.array([group_of(name) for name in names]),
            base=_texts(list(targets)),
            targets=np.array(list(targets.values())),
            near_misses=_texts([*_misspelled(names), *_NEAR_MISSES, None, ""]),
            local=_texts(list(_LOCAL)),
        )

    def list_named(self, name: str) -> int:
        """Return the index of an SDV list."""
        return int(np.flatnonzero(self.lists == name)[0])

    def base_named(self, name: str) -> int:
        """Return the index of a base category."""
        return int(np.flatnonzero(self.base == name)[0])


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _texts(values: list[str] | list[str | None]) -> Texts:
    return np.array(values, dtype=object)


def _misspelled(names: list[str]) -> list[str]:
    found = []
    for name in names:
        found += [name.replace("Återbesök", "Aterbesök"), name.replace("Återbesök", "Återbesok")]
        found += [name.replace("SDV ", ""), name.replace(" (", " ").replace(")", "")]
        found += [name.replace("SDV", "SVD"), name.replace("Ssk", "Sjuksköterska")]
    return sorted(set(found) - set(names))
