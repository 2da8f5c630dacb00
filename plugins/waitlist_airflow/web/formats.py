"""Writes figures, dates and names in Swedish form; a figure never breaks across lines."""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from waitlist.facts.gates import SHARES, Gate
from waitlist.judge.rules import RULES
from waitlist.release.gates import off
from waitlist.release.sample.drawing import UNIT
from waitlist.reports.pages.overview import Status
from waitlist.reports.pages.unit import path_of
from waitlist.reports.readiness import wave_title
from waitlist.swedish import formats
from waitlist.swedish.steps import STEP_LABELS
from waitlist.swedish.words import (
    BACK_OUT_ANSWERS,
    BACK_OUT_HOW_TO_READ,
    BACK_OUT_TO_DO,
    CLOSING_FAULTS,
    DISPOSITION_LABELS,
    DISPOSITION_TEXTS,
    GATE_LABELS,
    LEAD_DECISION_FAULTS,
    LOG_ACTIONS,
    LOG_VERDICTS,
    OUTCOME_LABELS,
    PERSONS_NOT_ASKED,
    PERSONS_SUITE_NOT_APPLICABLE,
    POST_OUTCOME_LABELS,
    REQUEST_LABELS,
    SAMPLE_SOURCES,
    SAMPLE_STAGES,
    SAMPLE_UNIT_AIM,
    SAMPLE_VERDICTS,
    SEVERITY_LABELS,
    SUITE_LABELS,
    UNKNOWN_UNIT_NAME,
    WENT_LABELS,
    WORK_LIST_TEXTS,
    rule_label,
)
from waitlist_airflow.web import charts
from waitlist_airflow.web import flow_chart as flow

_MONTHS: Final = (
    "januari", "februari", "mars", "april", "maj", "juni", "juli", "augusti", "september", "oktober", "november",
    "december",
)  # fmt: skip
_PART: Final = re.compile(r"_\d+$")


def number(count: int) -> str:
    """Return a count with separated thousands: 12 345."""
    return formats.number(count).replace(" ", "\u202f").replace("-", "\u2212")


def share(part: int, whole: int) -> str:
    """Return a share in whole per cent; it is 0 or 100 only when that is exact, and a dash where the whole is 0."""
    return formats.share(part, whole).replace(" ", "\u00a0")


def day(value: date | None) -> str:
    """Return a date as 4 november 2024; a dash for None."""
    return "–" if value is None else f"{value.day} {_MONTHS[value.month - 1]} {value.year}".replace(" ", "\u00a0")


def moment(value: datetime | None) -> str:
    """Return a moment as 2024-10-01 kl. 04.12, in Stockholm's time; a dash for None."""
    return formats.moment(value).replace(" ", "\u00a0")


def counted(count: int, one: str, many: str) -> str:
    """Return a count with its noun: 1 post, 2 poster."""
    return f"{number(count)}\u00a0{one if abs(count) == 1 else many}"


def disposition(code: str) -> str:
    """Return the Swedish name of a disposition."""
    return DISPOSITION_LABELS[code]


def percent(part: float) -> str:
    """Return a share of 1 in per cent, to two decimals: 99,5 %. It is 0 or 100 only when that is exact."""
    return formats.percent(part).replace(" ", "\u00a0")


def seconds(length: float) -> str:
    """Return a length of time: <0,1 s, 0,4 s, 12 s, 3 min 5 s, 2 tim 10 min."""
    if length < 0.05:
        return "<0,1\u00a0s"
    if length < 10:
        return f"{length:.1f}".replace(".", ",") + "\u00a0s"
    whole = round(length)
    if whole < 60:
        return f"{whole}\u00a0s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest}\u00a0s".replace(" ", "\u00a0")
    return f"{minutes // 60} tim {minutes % 60} min".replace(" ", "\u00a0")


def measured(gate: Gate, figure: float | None) -> str:
    """Return a gate's figure or limit: a share in per cent, else a count; a dash where it was not measured."""
    if figure is None:
        return "–"
    return percent(figure) if gate in SHARES else number(round(figure))


def failed_steps(reason: str) -> tuple[str, ...]:
    """Return the failed steps of a run from the audit trail's text; the parts of a mapped step count as one step."""
    names = reason.removeprefix("failed: ").split(", ")
    return tuple(dict.fromkeys(_PART.sub("", name) for name in names))


@dataclass(frozen=True, slots=True)
class StatusText:
    """A unit's status in words, and the kind of its badge."""

    label: str
    kind: str
    meaning: str
    one: str
    """What one unit is, after its count: 1 klar."""
    many: str

    def of_units(self, units: int) -> str:
        """Return what so many units are, as it follows their count in a sentence."""
        return self.one if units == 1 else self.many


STATUS: Final[Mapping[Status, StatusText]] = {
    Status.LATE: StatusText(
        "Hinner inte",
        "bad",
        "Med de senaste veckornas takt är poster kvar vid driftstart.",
        "hinner inte",
        "hinner inte",
    ),
    Status.NO_GO_LIVE: StatusText(
        "Driftstart saknas", "bad", "Utan driftstart i planen kan inget migreras.", "utan driftstart", "utan driftstart"
    ),
    Status.BEHIND: StatusText(
        "Hinner inte än",
        "warn",
        "Med de senaste veckornas takt är poster kvar vid driftstart, men det är långt dit.",
        "hinner inte än",
        "hinner inte än",
    ),
    Status.UNSURE: StatusText(
        "Går inte att säga", "", "Det finns för få torrkörningar för att se en takt.", "utan prognos", "utan prognos"
    ),
    Status.ON_TIME: StatusText(
        "Hinner", "good", "Med de senaste veckornas takt är inget kvar vid driftstart.", "hinner", "hinner"
    ),
    Status.CLEAN: StatusText("Klar", "good", "Inget är kvar att hantera i PMO.", "klar", "klara"),
    Status.LIVE: StatusText("I drift", "", "Enheten är i drift. Det som är kvar bokas för hand.", "i drift", "i drift"),
}


def age(hours: int) -> str:
    """Return an age in words: för 3 timmar sedan."""
    if hours < 1:
        return "för mindre än en timme sedan"
    if hours < 48:
        return f"för {counted(hours, 'timme', 'timmar')} sedan"
    return f"för {counted(hours // 24, 'dag', 'dagar')} sedan"


def pace(per_week: float) -> str:
    """Return a pace in words: 12 färre i veckan."""
    figure = f"{abs(per_week):.1f}".replace(".", ",").removesuffix(",0")
    if not per_week:
        return "oförändrat antal"
    return f"{figure}\u00a0{'färre' if per_week > 0 else 'fler'} i veckan"


def sample_aim(aim: str) -> str:
    """Return why a post is in the aimed part of a sample."""
    return SAMPLE_UNIT_AIM if aim == UNIT else rule_label(aim)


def new_key() -> str:
    """Return a key for a form, so that it counts once however often it is sent."""
    return secrets.token_hex(16)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "number": number,
    "day": day,
    "moment": moment,
    "disposition": disposition,
    "rule": rule_label,
    "age": age,
    "failed_steps": failed_steps,
    "pace": pace,
    "unit_path": path_of,
    "wave": wave_title,
    "pair": zip,
}
GLOBALS: Final[Mapping[str, Any]] = {
    "share": share,
    "percent": percent,
    "seconds": seconds,
    "measured": measured,
    "GATE_LABELS": GATE_LABELS,
    "gates_off": off,
    "OUTCOME_LABELS": OUTCOME_LABELS,
    "SEVERITY_LABELS": SEVERITY_LABELS,
    "UNKNOWN_UNIT_NAME": UNKNOWN_UNIT_NAME,
    "PERSONS_NOT_ASKED": PERSONS_NOT_ASKED,
    "PERSONS_SUITE_NOT_APPLICABLE": PERSONS_SUITE_NOT_APPLICABLE,
    "REQUEST_LABELS": REQUEST_LABELS,
    "BACK_OUT_ANSWERS": BACK_OUT_ANSWERS,
    "BACK_OUT_HOW_TO_READ": BACK_OUT_HOW_TO_READ,
    "BACK_OUT_TO_DO": BACK_OUT_TO_DO,
    "LEAD_DECISION_FAULTS": LEAD_DECISION_FAULTS,
    "POST_OUTCOME_LABELS": POST_OUTCOME_LABELS,
    "CLOSING_FAULTS": CLOSING_FAULTS,
    "WENT_LABELS": WENT_LABELS,
    "WORK_LIST_TEXTS": WORK_LIST_TEXTS,
    "new_key": new_key,
    "rule_label": rule_label,
    "counted": counted,
    "charts": charts,
    "flow": flow,
    "RULES": frozenset(RULES),
    "STATUS": STATUS,
    "STEP_LABELS": STEP_LABELS,
    "DISPOSITION_TEXTS": DISPOSITION_TEXTS,
    "LOG_ACTIONS": LOG_ACTIONS,
    "LOG_VERDICTS": LOG_VERDICTS,
    "SAMPLE_SOURCES": SAMPLE_SOURCES,
    "SAMPLE_STAGES": SAMPLE_STAGES,
    "SUITE_LABELS": SUITE_LABELS,
    "SAMPLE_VERDICTS": SAMPLE_VERDICTS,
    "sample_aim": sample_aim,
}
