"""The units of the demo, obviously invented, and the state of their waiting lists."""

import csv
import datetime as dt
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

DEMO_UNITS: Final = 30
POSTS_PER_UNIT: Final = 667
MOST_UNITS: Final = 1_500


class Kind(Enum):
    """The kind of a unit; the value is its care areas in the form of ``units.csv``."""

    HEALTH_CENTRE = "Pv"
    FAMILY_CENTRE = "Pv;Bhv"
    CHILD_HEALTH = "Bhv"
    YOUTH_CLINIC = "Um"


class Stage(Enum):
    """A unit's stage on the as-of date; the value is the days from then to go-live, None without a go-live."""

    LIVE = -15
    WAVE_1 = 48
    WAVE_2 = 125
    WAVE_3 = 216
    NO_GO_LIVE = None
    UNLISTED = "no row in units.csv"


class _Model(NamedTuple):
    name: str
    kind: Kind
    stage: Stage


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of the synthetic PMO."""

    hsa_id: str
    name: str
    kind: Kind
    stage: Stage
    go_live: dt.date | None
    pilot: bool
    """Some of its posts were released in an earlier batch."""
    share: float
    """Its share of all posts."""
    mess: float
    """How many posts are left to correct, in relation to an ordinary unit with 1."""

    @property
    def areas(self) -> frozenset[str]:
        """Its care areas."""
        return frozenset(self.kind.value.split(";"))


_PV, _FAM, _BVC, _UM = Kind.HEALTH_CENTRE, Kind.FAMILY_CENTRE, Kind.CHILD_HEALTH, Kind.YOUTH_CLINIC
_MODELS: Final = (
    _Model("Vårdcentralen Ekbacken", _PV, Stage.WAVE_1),
    _Model("Vårdcentralen Solängen", _PV, Stage.WAVE_1),
    _Model("BVC Solrosen", _BVC, Stage.WAVE_1),
    _Model("Ungdomsmottagningen Kompassen", _UM, Stage.WAVE_1),
    _Model("Familjecentralen Lyckan", _FAM, Stage.WAVE_1),
    _Model("Vårdcentralen Strandvägen", _PV, Stage.WAVE_1),
    _Model("Vårdcentralen Björkhaga", _PV, Stage.WAVE_1),
    _Model("BVC Myrstacken", _BVC, Stage.WAVE_1),
    _Model("Vårdcentralen Linden", _PV, Stage.WAVE_2),
    _Model("Vårdcentralen Granliden", _PV, Stage.WAVE_2),
    _Model("Vårdcentralen Åsikten", _PV, Stage.WAVE_2),
    _Model("Familjecentralen Regnbågen", _FAM, Stage.WAVE_2),
    _Model("BVC Blåsippan", _BVC, Stage.WAVE_2),
    _Model("Ungdomsmottagningen Fyren", _UM, Stage.WAVE_2),
    _Model("Vårdcentralen Kvarnbacken", _PV, Stage.WAVE_2),
    _Model("Vårdcentralen Älvkullen", _PV, Stage.WAVE_2),
    _Model("Vårdcentralen Norrskenet", _PV, Stage.WAVE_2),
    _Model("Vårdcentralen Havsutsikten", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Västanvind", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Rönnbäret", _PV, Stage.WAVE_3),
    _Model("Familjecentralen Trädgården", _FAM, Stage.WAVE_3),
    _Model("BVC Snigeln", _BVC, Stage.WAVE_3),
    _Model("Ungdomsmottagningen Vågbrytaren", _UM, Stage.WAVE_3),
    _Model("Vårdcentralen Lövsångaren", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Östergläntan", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Tallkotten", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Hedblomman", _PV, Stage.WAVE_3),
    _Model("Vårdcentralen Månskenet", _PV, Stage.NO_GO_LIVE),
    _Model("Vårdcentralen Sländan", _PV, Stage.UNLISTED),
    _Model("Vårdcentralen Gläntan", _PV, Stage.LIVE),
)
_WAVES: Final = {Stage.LIVE: "0", Stage.WAVE_1: "1", Stage.WAVE_2: "2", Stage.WAVE_3: "3"}
_SIZE: Final = {_PV: 1.0, _FAM: 1.2, _BVC: 0.5, _UM: 0.45}
_MESS: Final = {Stage.WAVE_1: 0.6, Stage.WAVE_2: 1.15, Stage.WAVE_3: 1.25}
_VISITS: Final = 150
"""The return visits a week of all units in the weeks after go-live, in a demo of 6,000 posts."""
_COLUMNS: Final = (
    "hsa_id", "enhet", "vardomraden", "driftstart", "vag", "begard_plats", "vardinrattning", "besok_per_vecka",
    "huvudman", "owner", "note",
)  # fmt: skip
_PRIVATE: Final = 4
"""Every fourth unit belongs to a private provider, with another organisation number."""


def make_units(posts: int, as_of: dt.date, seed: int, most_posts: dict[Kind, int]) -> list[Unit]:
    """Return as many units as the posts need: 30 in the demo, at most 1,500.

    Args:
        posts: how many posts there will be.
        as_of: the day from which go-lives are counted.
        seed: decides the size of each unit and how many of its posts are left to correct.
        most_posts: how many posts a unit of a kind can have before it runs out of persons.
    """
    random = np.random.default_rng([seed, 1])
    count = min(MOST_UNITS, max(DEMO_UNITS, math.ceil(posts / POSTS_PER_UNIT)))
    models = [_MODELS[number % DEMO_UNITS] for number in range(count)]
    sizes = np.array([_SIZE[model.kind] * (1.0 if model.stage in _MESS else 0.6) for model in models])
    sizes *= np.clip(random.lognormal(0, 0.25, count), 0.6, 1.6)
    shares = _capped(sizes / sizes.sum(), np.array([most_posts[model.kind] / posts for model in models]))
    untidy = np.clip(random.lognormal(0, 0.4, count), 0.4, 2.2)
    units = []
    for number, model in enumerate(models):
        go_live = as_of + dt.timedelta(model.stage.value) if isinstance(model.stage.value, int) else None
        series = number // DEMO_UNITS + 1
        units.append(
            Unit(
                hsa_id=_hsa_id(number),
                name=model.name if series == 1 else f"{model.name} {series}",
                kind=model.kind,
                stage=model.stage,
                go_live=go_live,
                pilot=number % DEMO_UNITS == 0,
                share=float(shares[number]),
                mess=float(_MESS.get(model.stage, 1.0) * untidy[number]),
            )
        )
    return units


def write_units(units: list[Unit], path: Path) -> None:
    """Write ``units.csv``, without the unplanned units."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for number, unit in enumerate(units):
            if unit.stage is Stage.UNLISTED:
                continue
            known_in_millennium = number % 3 == 1
            rows.writerow(
                (
                    unit.hsa_id,
                    unit.name,
                    unit.kind.value,
                    unit.go_live.isoformat() if unit.go_live else "",
                    _WAVES.get(unit.stage, ""),
                    f"{unit.name} Mottagning" if known_in_millennium else "",
                    f"{unit.name} (Primärvård)" if known_in_millennium else "",
                    # One unit in four has not said how many visits it can book.
                    "" if number % 4 == 3 else round(unit.share * _VISITS),
                    "privat" if _is_private(number) else "region",
                    "Migreringsledningen",
                    "" if unit.go_live else "Driftstart är inte beslutad.",
                )
            )


def _hsa_id(number: int) -> str:
    organisation = "9999999999" if _is_private(number) else "2120009999"
    century = "16" if number % 10 == 5 else ""
    return f"SE{century}{organisation}-DEMO{number + 1:04d}"


def _is_private(number: int) -> bool:
    return number % _PRIVATE == _PRIVATE - 1


def _capped(shares: npt.NDArray[np.float64], most: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Limit each unit to its cap, and divide the excess among the units below theirs."""
    full = np.zeros(len(shares), dtype=bool)
    while (shares[~full] > most[~full]).any():
        full |= shares > most
        shares = np.where(full, most, shares)
        shares[~full] *= (1 - most[full].sum()) / shares[~full].sum()
    return shares
