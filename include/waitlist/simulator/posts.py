"""Makes the synthetic PMO chunk by chunk: posts from their components, and the truth beside them."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.simulator import texts
from waitlist.simulator.catalogue import CONTACT_FORMS, Catalogue
from waitlist.simulator.components import EXTRACTED, Components
from waitlist.simulator.draws import Draws
from waitlist.simulator.lists import ListChooser, months_between
from waitlist.simulator.notes import NoteWriter
from waitlist.simulator.orders import ATTACHMENT, CUTOFF_DAYS, POST, UNIT, Order, day_number
from waitlist.simulator.patients import PatientBook
from waitlist.simulator.people import make_people
from waitlist.simulator.register import Placed, Register
from waitlist.simulator.scenarios import SCENARIOS
from waitlist.simulator.truth import Outcome, decide, expect, expect_with_service, truth_table
from waitlist.simulator.units import Stage, Unit, make_units
from waitlist.simulator.windows import booking_windows, life_times, written_windows

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CHUNK_POSTS: Final = 20_000
_FIRST_POST_ID: Final = 1_000_000
_ID_STEP: Final = 2
"""Post ids have gaps, as in a database that has been in use."""
_UNKNOWN_FORMS: Final = ("chatt", "brev", "digitalt formulär", "grupp")
_DURATIONS: Final = np.array([15, 20, 30, 45, 60, 90], dtype=np.int32)
_NO_DURATION: Final = 0.3
_TWO_YEARS: Final = 24
"""Months."""
_SCENARIO_NAMES: Final = [scenario.name for scenario in SCENARIOS]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the synthetic PMO with the truth of its posts."""

    patients: pa.Table
    posts: pa.Table
    attachments: pa.Table
    truth: pa.Table
    released: pa.Array
    """Ids of the posts that the pilot batch released."""


class SyntheticPmo:
    """A synthetic PMO that is made while it is read; it can be read only once.

    Args:
        order: size, seed and as-of date.
        mappings: the folder of the mapping files; lists and base categories come from there.
    """

    def __init__(self, order: Order, mappings: Path) -> None:
        self.order = order
        self._catalogue = Catalogue.read(mappings)
        self._people = make_people(order.posts, order.as_of, order.seed)
        self.register = Register(order, self._people)
        """What the person service says of the patients; whole once every chunk was made."""
        self.units: list[Unit] = make_units(order.posts, order.as_of, order.seed, self._people.most_posts())
        self._draws = Draws(self.units, self._catalogue)
        self._book = PatientBook(order, self._people, len(self.units))
        self._chooser = ListChooser(self._catalogue, [unit.kind for unit in self.units])
        self._notes = NoteWriter()
        usual = order.as_of + dt.timedelta(days=int(Stage.WAVE_2.value))
        self._as_of = day_number(order.as_of)
        self._cutoff = np.array([day_number(unit.go_live or usual) + CUTOFF_DAYS for unit in self.units])
        self._hsa_id = np.array([unit.hsa_id for unit in self.units], dtype=object)
        self._has_row = np.array([unit.stage is not Stage.UNLISTED for unit in self.units])
        self._has_go_live = np.array([unit.go_live is not None for unit in self.units])
        self._in_first_wave = np.array([unit.stage is Stage.WAVE_1 for unit in self.units])
        self._is_live = np.array([unit.stage is Stage.LIVE for unit in self.units])
        self._in_area = np.array([[area in unit.areas for area in self._catalogue.areas] for unit in self.units])
        self._next_post, self._next_attachment = _FIRST_POST_ID, 1

    def unit_table(self) -> pa.Table:
        """Return the table ``enhet``."""
        columns = [
            pa.array(np.arange(1, len(self.units) + 1)),
            pa.array(self._hsa_id, pa.string()),
            pa.array([unit.name for unit in self.units], pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=UNIT)

    def patient_table(self) -> pa.Table:
        """Return the patients that many posts share; each chunk adds the patients of only one post."""
        return self._book.shared()

    def chunks(self) -> Iterator[Chunk]:
        """Yield the posts in the order of their ids.

        Raises:
            SimulatorError: there are too few persons for a unit.
        """
        for number, first in enumerate(range(0, self.order.posts, CHUNK_POSTS)):
            random = np.random.default_rng([self.order.seed, 4, number])
            yield self._chunk(random, first, min(CHUNK_POSTS, self.order.posts - first))

    def _chunk(self, random: np.random.Generator, first: int, count: int) -> Chunk:
        parts = self._draws.draw(random, first, count)
        begins, ends = booking_windows(random, parts, self._as_of, self._cutoff[parts.unit])
        person = self._book.persons(parts)
        birth = self._people.birth[person]
        lists = self._chooser.choose(random, parts, birth, begins, ends)
        form, target = self._chooser.settle_forms(random, parts, lists)
        patient_id, patients, protected, short = self._book.rows(random, parts, person)
        infant = months_between(birth, np.full(count, self._as_of)) < _TWO_YEARS
        post_id = self._post_ids(random, count)
        group = np.where(target >= 0, self._catalogue.groups[target], -1)
        reason, plan, clinician, branch = self._notes.write(random, parts, group)
        boka_from, boka_fore = written_windows(random, parts, begins, ends)
        registered, changed, closed = life_times(random, parts, self._as_of, birth, begins)
        columns = [
            pa.array(post_id),
            pa.array(patient_id),
            pa.array(parts.unit + 1),
            pa.array(self._chooser.written(random, parts, lists), pa.string()),
            _contact_forms(random, form),
            pa.array(parts.waiting.astype(np.int16)),
            pa.array(parts.first_visit.astype(np.int16)),
            pa.array(boka_from, pa.string()),
            pa.array(boka_fore, pa.string()),
            pa.array(reason, pa.string()),
            pa.array(plan, pa.string()),
            pa.array(clinician, pa.string()),
            pa.array(random.choice(_DURATIONS, count), mask=random.random(count) < _NO_DURATION),
            pa.array(branch, pa.string()),
            _timestamps(registered),
            _timestamps(changed),
            _timestamps(closed),
        ]
        outcome = self._outcome(parts, post_id, form, target, protected=protected, infant=short & infant)
        extracted = parts.is_any("life", *EXTRACTED)
        expected = expect(parts, outcome)
        if first == 0:
            would_migrate = extracted & (decide(expected) == "migrate")
            self.register.plant(parts, Placed(person, would_migrate, self._in_first_wave[parts.unit]))
        answers = self.register.of_posts(parts, person)
        scenarios = pa.array(_SCENARIO_NAMES).take(pa.array(parts.scenario, mask=parts.scenario < 0))
        return Chunk(
            patients=patients,
            posts=pa.Table.from_arrays(columns, schema=POST),
            attachments=self._attachments(random, parts, post_id),
            truth=truth_table(
                outcome, expected, expect_with_service(parts, expected, answers), extracted, (scenarios, answers)
            ),
            released=pa.array(post_id[parts.released]),
        )

    def _outcome(
        self, parts: Components, post_id: Numbers, form: Numbers, target: Numbers, *, protected: Mask, infant: Mask
    ) -> Outcome:
        says = np.where(target >= 0, self._catalogue.forms[target], -1)
        return Outcome(
            post_id=post_id,
            hsa_id=self._hsa_id[parts.unit],
            has_row=self._has_row[parts.unit],
            has_go_live=self._has_go_live[parts.unit],
            is_live=self._is_live[parts.unit],
            target=self._catalogue.lists[target],
            in_area=self._in_area[parts.unit, target],
            for_children=(target >= 0) & (self._catalogue.areas[target] == "Bhv"),
            infant_by_sign=infant,
            says_other_form=(says >= 0) & (says != form),
            protected=protected,
        )

    def _post_ids(self, random: np.random.Generator, count: int) -> Numbers:
        ids = self._next_post + np.arange(count) * _ID_STEP + random.integers(0, _ID_STEP, count)
        self._next_post += count * _ID_STEP
        return np.asarray(ids)

    def _attachments(self, random: np.random.Generator, parts: Components, post_id: Numbers) -> pa.Table:
        posts = np.repeat(post_id, parts.attachments)
        files = np.array(texts.FILES, dtype=object)[random.integers(0, len(texts.FILES), len(posts))]
        ids = self._next_attachment + np.arange(len(posts))
        self._next_attachment += len(posts)
        return pa.Table.from_arrays([pa.array(ids), pa.array(posts), pa.array(files, pa.string())], schema=ATTACHMENT)


def _contact_forms(random: np.random.Generator, form: Numbers) -> pa.Array:
    unknown = len(CONTACT_FORMS) + random.integers(0, len(_UNKNOWN_FORMS), len(form))
    names = pa.array([*CONTACT_FORMS, *_UNKNOWN_FORMS])
    return names.take(pa.array(np.where(form < len(CONTACT_FORMS), form, unknown)))


def _timestamps(seconds: Numbers) -> pa.Array:
    moments = pa.array(seconds.astype("datetime64[s]").astype("datetime64[us]"))
    return pc.if_else(pa.array(seconds >= 0), moments, pa.scalar(None, pa.timestamp("us")))
