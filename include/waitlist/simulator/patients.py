"""Chooses the patient of each post: a shared patient, or one with a row only for that post."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.simulator import persons
from waitlist.simulator.components import Components, Name
from waitlist.simulator.notes import written_name
from waitlist.simulator.orders import PATIENT, Order, SimulatorError
from waitlist.simulator.people import NOT_CENTENARIAN, People, Pool
from waitlist.simulator.persons import Identity
from waitlist.simulator.windows import LATE

Numbers = npt.NDArray[np.int64]


class PatientBook:
    """Assigns persons so that no unit has the same one twice, and stores the patients' ids."""

    def __init__(self, order: Order, people: People, units: int) -> None:
        self._as_of = order.as_of
        self._people = people
        random = np.random.default_rng([order.seed, 3])
        self._begin = random.integers(0, people.size[:, None], (len(Pool), units)).reshape(-1)
        self._taken = np.zeros(len(Pool) * units, dtype=np.int64)
        self._room = np.repeat(people.size, units)
        self._units = units
        self._next_id = people.listed + 1

    def shared(self) -> pa.Table:
        """Return the patients that any post may have."""
        people, count = self._people, self._people.listed
        columns = [
            pa.array(np.arange(1, count + 1)),
            pa.array(people.number[:count], pa.string()),
            pa.array(people.name[:count], pa.string()),
            pa.array(people.protected[:count].astype(np.int16)),
        ]
        return pa.Table.from_arrays(columns, schema=PATIENT)

    def persons(self, parts: Components) -> Numbers:
        """Give each post a person that no other post at its unit has; a group shares one.

        This also sets ``parts.pool``: small children by their window, and persons of their own for posts that need one.

        Returns:
            rows in ``People``, shape (n,).

        Raises:
            SimulatorError: there are too few persons for a unit.
        """
        small = parts.is_any("pool", Pool.SMALL_EARLY, Pool.SMALL_LATE)
        late = parts.is_any("dates", *LATE)
        parts.pool[small] = np.where(late, Pool.SMALL_LATE, Pool.SMALL_EARLY)[small]
        apart = (parts.name != Name.TRUE) | parts.own_row | (parts.group >= 0)
        parts.pool[apart & (parts.identity == Identity.TRUE)] = Pool.SPECIAL
        key = parts.pool * self._units + parts.unit
        speaker = _first_of_group(parts.group)
        alone = np.flatnonzero(speaker == np.arange(len(key)))
        order = alone[np.argsort(key[alone], kind="stable")]
        keys, starts, counts = np.unique(key[order], return_index=True, return_counts=True)
        turn = np.zeros(len(key), dtype=np.int64)
        turn[order] = np.arange(len(order)) - np.repeat(starts, counts)
        taken = self._begin[key] + self._taken[key] + turn[speaker]
        self._taken[keys] += counts
        if (self._taken > self._room).any():
            raise SimulatorError("a unit has run out of test persons: order fewer posts")
        size = self._people.size[parts.pool]
        return np.asarray(self._people.start[parts.pool] + taken % size)

    def rows(
        self, random: np.random.Generator, parts: Components, person: Numbers
    ) -> tuple[Numbers, pa.Table, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return each post's patient, with the new rows of patients that only one post or one group has.

        Returns:
            patient ids, shape (n,); the new rows; which posts' patients have a protected identity, shape (n,); and
            which have a number of ten digits with a hyphen, shape (n,).
        """
        people = self._people
        patient_id, protected, short = person + 1, people.protected[person], people.short[person]
        own = np.flatnonzero((person >= people.listed) | (parts.identity != Identity.TRUE))
        draws = random.integers(0, 2**31, len(own))
        rows: list[tuple[int, str | None, str | None, int]] = []
        of_group: dict[int, tuple[int, int]] = {}
        numbers: dict[int, str | None] = {}
        for place, draw in zip(own.tolist(), draws.tolist(), strict=True):
            group = int(parts.group[place])
            patient, members = of_group.get(group, (0, 0))
            protected[place] = parts.protected[place]
            if not members or parts.own_row[place]:
                patient, self._next_id = self._next_id, self._next_id + 1
                number = self._number(Identity(int(parts.identity[place])), int(person[place]), members, draw)
                numbers[patient] = number
                name = written_name(str(people.name[person[place]]), Name(int(parts.name[place])), draw)
                rows.append((patient, number, name, int(protected[place])))
            if group >= 0:
                of_group[group] = patient, members + 1
            patient_id[place] = patient
            short[place] = persons.is_short(numbers[patient])
        columns = zip(*rows, strict=True) if rows else [()] * len(PATIENT)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, PATIENT, strict=True)]
        return patient_id, pa.Table.from_arrays(arrays, schema=PATIENT), protected, short

    def _number(self, identity: Identity, person: int, member: int, draw: int) -> str | None:
        twelve = str(self._people.twelve[person])
        if identity is Identity.TRUE:
            return persons.written(twelve, self._as_of, member % 2)
        if np.datetime64(self._people.birth[person]) < NOT_CENTENARIAN:
            # Without its sign, a centenarian's number would be read as the number of a younger person.
            person = int(self._people.start[Pool.SPECIAL] + draw % self._people.size[Pool.SPECIAL])
            twelve = str(self._people.twelve[person])
        unborn = self._people.not_yet_born
        return persons.at_fault(identity, twelve, unborn[draw % len(unborn)], draw)


def _first_of_group(group: Numbers) -> Numbers:
    """Return for each post the index of its group's first post; without a group, its own index."""
    place = np.arange(len(group))
    grouped = np.flatnonzero(group >= 0)
    _, first, member = np.unique(group[grouped], return_index=True, return_inverse=True)
    place[grouped] = grouped[first][member]
    return place
