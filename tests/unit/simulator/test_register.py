"""What the person service says of the synthetic patients: planted at known posts, and nothing else is changed."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from waitlist.judge.rules import OF_PERSONS, Code
from waitlist.simulator import PEOPLE, RELEASED, TRUTH, Order, generate
from waitlist.simulator.person_service import Person, read_people
from waitlist.simulator.register import Answer

AS_OF = dt.date(2024, 10, 1)

FIRES: Mapping[Answer, set[str]] = {
    Answer.DECEASED: {"PU_DECEASED"},
    Answer.FOUND_DEAD: {"PU_DECEASED", "PU_DEREGISTERED"},
    Answer.NUMBER_CHANGED: {"PU_NUMBER_CHANGED"},
    Answer.NUMBER_NOT_PRESENT: {"PU_NUMBER_CHANGED"},
    Answer.PRESENT_NUMBER: set(),
    Answer.EMIGRATED: {"PU_DEREGISTERED"},
    Answer.DEREGISTERED: {"PU_DEREGISTERED"},
    Answer.UNKNOWN: {"PU_NOT_FOUND"},
    Answer.PROTECTED_PERSON: {"PROTECTED_IDENTITY"},
    Answer.PROTECTED_RECORD: {"PROTECTED_IDENTITY"},
    Answer.SOMEBODY_ELSE: {"PU_NAME_MISMATCH"},
    Answer.NEW_SURNAME: {"PU_NAME_MISMATCH"},
    Answer.NEW_SURNAME_BESIDE: set(),
    Answer.NO_SURNAME: set(),
    Answer.TEST_PERSON: {"PU_TEST_PERSON"},
    Answer.DEAD_AFTER_RELEASE: {"PU_DECEASED"},
    Answer.DIES_LATER: set(),
}
BLOCKS = {"PU_DECEASED", "PU_NUMBER_CHANGED", "PU_DEREGISTERED", "PU_NOT_FOUND", "PU_TEST_PERSON"}


@dataclass(frozen=True)
class Made:
    """A synthetic PMO of the size of ``make up``."""

    truth: pd.DataFrame
    people: Mapping[str, Person]
    released: set[int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("register")
    generate(Order(6_000), out, sqlite=out / "pmo.sqlite")
    return Made(
        truth=pq.read_table(out / TRUTH).to_pandas(),
        people={person.extension: person for person in read_people(out / PEOPLE)},
        released=set(pd.read_csv(out / RELEASED).post_id),
    )


def test_every_answer_is_planted_and_every_rule_fires(made: Made) -> None:
    assert set(made.truth.answer.dropna()) == set(Answer) == set(FIRES)
    fired = {code for codes in made.truth.findings_with_service for code in codes}
    assert OF_PERSONS - fired == {Code.PU_NOT_ASKED}, "the service answers about everybody"


@pytest.mark.parametrize("answer", Answer)
def test_an_answer_adds_its_own_findings_to_each_post_of_the_person(made: Made, answer: Answer) -> None:
    posts = made.truth[made.truth.answer == answer]
    for post in posts.itertuples():
        assert set(post.findings_with_service) == set(post.findings) | FIRES[answer]
        by_hand = bool(FIRES[answer] & BLOCKS) and post.disposition != "already_released"
        assert post.disposition_with_service == ("handle_manually" if by_hand else post.disposition)


@pytest.mark.parametrize("answer", [answer for answer in Answer if answer is not Answer.DEAD_AFTER_RELEASE])
def test_an_answer_is_planted_where_a_post_would_migrate(made: Made, answer: Answer) -> None:
    assert "migrate" in set(made.truth.disposition[made.truth.answer == answer])


def test_other_posts_have_the_same_result_with_the_service(made: Made) -> None:
    others = made.truth[made.truth.answer.isna()]
    assert (others.disposition == others.disposition_with_service).all()
    assert [list(codes) for codes in others.findings] == [list(codes) for codes in others.findings_with_service]
    assert not {code for codes in made.truth.findings for code in codes} & OF_PERSONS


def test_no_rule_of_persons_decides_without_the_service(made: Made) -> None:
    planted = made.truth[made.truth.answer.notna()]
    assert (planted.disposition != planted.disposition_with_service).sum() >= 10
    assert 0.001 < len(planted) / len(made.truth) < 0.03


def test_persons_die_after_their_post_was_released(made: Made) -> None:
    dead = made.truth[made.truth.answer == Answer.DEAD_AFTER_RELEASE]
    assert set(dead.post_id) & made.released
    died = [dt.date.fromisoformat(person.since) for person in made.people.values() if person.since]
    between = [day for day in died if AS_OF - dt.timedelta(30) < day < AS_OF]
    later = [day for day in died if day > AS_OF]
    assert between
    assert later
    assert len(between) + len(later) == len(died)


def test_a_record_says_nothing_of_a_death_before_its_day() -> None:
    person = Person("199002012384", reason="AV", deregistered_at="2024-09-19", since="2024-09-19", surname="Prov")
    assert (person.on(dt.date(2024, 9, 18)).reason, person.on(dt.date(2024, 9, 18)).deregistered_at) == ("", "")
    assert person.on(dt.date(2024, 9, 18)).surname == "Prov"
    assert person.on(dt.date(2024, 9, 19)) == person.on(None) == person


def test_both_numbers_of_a_person_refer_to_each_other_and_one_is_the_present_one(made: Made) -> None:
    paired = [person for person in made.people.values() if person.referred]
    assert paired
    for person in paired:
        other = made.people[person.referred]
        assert other.referred == person.extension
        assert other.primary is not person.primary
        assert (person.surname, person.given_name) == (other.surname, other.given_name)


def test_the_same_order_gives_the_same_people(tmp_path: Path) -> None:
    for name in ("one", "two"):
        generate(Order(700, seed=7), tmp_path / name, sqlite=tmp_path / name / "pmo.sqlite")
    assert (tmp_path / "one" / PEOPLE).read_bytes() == (tmp_path / "two" / PEOPLE).read_bytes()
