"""The format of figures: a small share is never shown as none, and less than all is never shown as all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitlist.facts.gates import Gate
from waitlist_airflow.web import formats


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 5_000, "0 %"), (2, 5_000, "<1 %"), (50, 5_000, "1 %"), (62, 100, "62 %"), (4_998, 5_000, ">99 %"),
        (5_000, 5_000, "100 %"), (0, 0, "–"),
    ],
)  # fmt: skip
def test_a_share_is_shown_as_none_or_all_only_when_it_is(part: int, whole: int, said: str) -> None:
    assert plain(formats.share(part, whole)) == said


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (0.0, "0 %"), (0.00004, "<0,01 %"), (0.0004, "0,04 %"), (0.05, "5 %"), (0.2361, "23,61 %"), (0.995, "99,5 %"),
        (0.99996, ">99,99 %"), (1.0, "100 %"),
    ],
)  # fmt: skip
def test_a_threshold_and_a_gate_are_shown_as_none_or_all_only_when_they_are(part: float, said: str) -> None:
    assert plain(formats.percent(part)) == said
    assert plain(formats.measured(Gate.UNHANDLED_SHARE, part)) == said


@given(st.floats(0, 1))
def test_only_an_empty_share_is_shown_as_none(part: float) -> None:
    assert (plain(formats.percent(part)) == "0 %") == (part == 0)
    assert (plain(formats.percent(part)) == "100 %") == (part == 1)


def test_a_gate_that_was_not_measured_has_no_figure() -> None:
    assert formats.measured(Gate.UNITS_WITHOUT_GO_LIVE, None) == "–"
    assert formats.measured(Gate.UNITS_WITHOUT_GO_LIVE, 2.0) == "2"


@pytest.mark.parametrize(
    ("length", "said"),
    [(0.0, "<0,1 s"), (0.04, "<0,1 s"), (0.44, "0,4 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7_800, "2 tim 10 min")],
)
def test_a_length_of_time_is_never_nothing(length: float, said: str) -> None:
    assert plain(formats.seconds(length)) == said


@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        ("failed: extract", ("extract",)),
        ("failed: extract_0, extract_12, check_contract", ("extract", "check_contract")),
    ],
)
def test_the_parts_of_a_step_have_the_name_of_the_step(reason: str, steps: tuple[str, ...]) -> None:
    assert formats.failed_steps(reason) == steps
