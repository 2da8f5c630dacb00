"""What is taken of an answer, and a name that goes nowhere."""

import datetime as dt
import pickle

import pytest
from tests.support import official_numbers

from waitlist.source.pu.status import NameWords, PersonStatus, Reason

NUMBER = official_numbers.number(dt.date(1985, 5, 1), 238)
STATUS = PersonStatus(NUMBER, dt.datetime(2024, 10, 1, tzinfo=dt.UTC), found=True, name=NameWords("Hemligsson"))


@pytest.mark.parametrize(
    ("surname", "middle_name", "name", "occurs"),
    [
        ("Åberg", "", "Anna Åberg", True),
        ("Åberg", "", "ÅBERG, Anna", True),
        ("D'Angelo", "", "Anna D\u2019Angelo", True),
        ("D'Angelo", "", "Anna Angelo", False),
        ("Åberg", "", "Anna A\u030aberg", True),
        ("Åberg", "", "Anna ÅBERG", True),
        ("Berg", "", "Anna Åberg", False),
        ("Berg", "", "Anna Bergström", False),
        ("Berg-Lind", "", "Anna Lind", True),
        ("Lind", "", "Anna Berg\u2011Lind", True),
        ("Ny", "Gammal", "Anna Gammal", True),
        ("Ny", "", "Anna Gammal", False),
        ("von Berg", "", "Anna  Von  Dahl", True),
    ],
)
def test_a_whole_word_of_surname_or_middle_name(surname: str, middle_name: str, name: str, occurs: bool) -> None:
    assert NameWords(surname, middle_name).occur_in(name) is occurs


def test_neither_number_nor_name_is_shown() -> None:
    shown = f"{STATUS!r} {STATUS} {STATUS.name!r} {STATUS.name}"
    assert "Hemligsson" not in shown
    assert "hemligsson" not in shown
    assert NUMBER not in shown


def test_a_status_is_pickled_without_its_name_only() -> None:
    with pytest.raises(TypeError, match="kept nowhere"):
        pickle.dumps(STATUS)
    assert pickle.loads(pickle.dumps(STATUS.without_name())) == STATUS


def test_what_the_marks_and_reasons_mean() -> None:
    def status(**facts: object) -> PersonStatus:
        return PersonStatus(NUMBER, STATUS.asked_at, found=True, **facts)

    assert status(reason=Reason.DECEASED).deceased
    assert status(found_dead=True, reason=Reason.EMIGRATED).deceased
    assert not status(reason=Reason.EMIGRATED).deceased
    assert status(primary=False).number_changed
    assert status(reason=Reason.OLD_NUMBER).number_changed
    assert not status().number_changed
    assert status(protected_person=True).protected
    assert status(protected_record=True).protected
    assert not status().protected
