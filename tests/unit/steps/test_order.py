"""The steps of a night: declared once, in an order in which each comes after those that it needs."""

import ast
import inspect

import pytest

from waitlist.paths import PROJECT
from waitlist.steps.night import Night
from waitlist.steps.order import NIGHT

NAMES = [step.name for step in NIGHT]


def test_each_step_comes_after_those_that_it_needs() -> None:
    for place, step in enumerate(NIGHT):
        assert set(step.after) <= set(NAMES[:place]), step.name


def test_the_suites_look_at_the_answers_of_the_person_service_after_all_are_there() -> None:
    assert {"check_contract", "check_persons"} <= set(NIGHT[NAMES.index("check_snapshot")].after)


@pytest.mark.parametrize("step", NIGHT, ids=NAMES)
def test_a_step_is_a_method_of_the_night_that_takes_what_the_order_says(step) -> None:
    taken = set(inspect.signature(getattr(Night, step.name)).parameters)
    assert ("now" in taken, "number" in taken) == (step.timed, step.mapped)


def test_the_chain_can_be_read_in_the_dag_file() -> None:
    told = ast.get_docstring(ast.parse((PROJECT / "dags" / "waitlist_dry_run.py").read_text(encoding="utf-8"))) or ""
    places = [told.index(f"`{name}`") for name in NAMES]
    assert places == sorted(places)
