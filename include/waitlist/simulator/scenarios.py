"""The catalogue of planted posts: every fault at known posts, alone and together with others.

A scenario states some parts of its posts; all other parts are clean. ``truth`` states the outcome of the parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from waitlist.simulator.components import (
    Anchor,
    Branch,
    Category,
    Contact,
    Control,
    Dates,
    Life,
    Name,
    Spelling,
    Stamp,
    Text,
)
from waitlist.simulator.people import Pool
from waitlist.simulator.persons import Identity

Part = int | str
Parts = Mapping[str, Part]


class Where(Enum):
    """The kind of unit at which a scenario is planted."""

    HEALTH = "a planned unit with primary care"
    CHILD = "a planned unit with child health"
    CHILD_ONLY = "a planned child health centre"
    YOUTH = "a planned youth clinic"
    PILOT = "the unit of the pilot batch"
    LIVE = "a unit that is live"
    NO_GO_LIVE = "a unit without go-live"
    UNLISTED = "a unit without a row"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Posts that are planted together; several share one person and one unit."""

    name: str
    posts: tuple[Parts, ...]
    where: Where = Where.HEALTH
    times: int = 5
    """How often in 20,000 posts."""
    once: bool = False
    """Only among the first 20,000 posts."""


def _one(title: str, where: Where = Where.HEALTH, times: int = 5, *, once: bool = False, **parts: Part) -> Scenario:
    if where in {Where.CHILD, Where.CHILD_ONLY}:
        parts.setdefault("pool", Pool.SMALL_LATE)
    if where is Where.YOUTH:
        parts.setdefault("pool", Pool.YOUTH)
    return Scenario(title, (parts,), where, times, once)


def _same_person(name: str, *posts: Parts, times: int = 4) -> Scenario:
    return Scenario(name, tuple({"list_": _DIABETES} | dict(post) for post in posts), times=times)


def _window(first: int, last: int, **parts: Part) -> Parts:
    return {"anchor": Anchor.CUTOFF, "first": first, "last": last} | parts


_DIABETES: Final = "SDV Pv Ssk Återbesök (diabetes)"
_PSYCHOLOGIST: Final = "SDV Pv Psyk Återbesök"
_TELEPHONE: Final = "SDV Pv Läk Telefon Återbesök"
_VISIT, _PHONE, _VIDEO, _HOME, _UNKNOWN = range(5)

_IDENTITY: Final = (
    *(
        _one(f"identity: {fault.name.lower()}", times=3, identity=fault)
        for fault in Identity
        if fault not in {Identity.TRUE, Identity.TEST_PERSON}
    ),
    # Only one may be clean: two at one unit would be duplicates of each other.
    _one("test person", times=1, once=True, identity=Identity.TEST_PERSON, list_=_DIABETES),
    _one("test person without dates", identity=Identity.TEST_PERSON, list_=_DIABETES, dates=Dates.NEITHER),
    _one("test person on an unknown category", identity=Identity.TEST_PERSON, category=Category.UNKNOWN),
    _one("no number, on a base category", identity=Identity.MISSING, category=Category.BASE),
    _one("wrong check digit, on a base category", identity=Identity.CHECK_DIGIT, category=Category.BASE),
    _one("samordningsnummer, on a base category", identity=Identity.COORDINATION, category=Category.BASE),
    _one("reserve number, on an unknown category", identity=Identity.NATIONAL_RESERVE, category=Category.UNKNOWN),
    _one("samordningsnummer of a child", Where.CHILD, identity=Identity.COORDINATION),
    _one(
        "protected and samordningsnummer",
        identity=Identity.COORDINATION,
        own_row=True,
        protected=True,
    ),
    _one("protected", own_row=True, protected=True),
    _one("no name", name=Name.MISSING),
    _one("name of control characters", times=3, name=Name.CONTROL_ONLY),
    _one("control character in the name", name=Name.WITH_CONTROL),
)
_WAITING: Final = (
    _one("not waiting, on an SDV list", waiting=False),
    _one("not waiting, on a base category", waiting=False, category=Category.BASE),
    _one("not waiting, samordningsnummer, on an SDV list", waiting=False, identity=Identity.COORDINATION),
    _one("not waiting, expired, first visit", waiting=False, first_visit=True, dates=Dates.EXPIRED),
    _one("first visit, on an SDV list", first_visit=True),
    _one("first visit, on a base category", first_visit=True, category=Category.BASE),
    _one("first visit within the cutoff", first_visit=True, dates=Dates.WITHIN),
    _one("first visit that ends before go-live", first_visit=True, dates=Dates.BEFORE_GO_LIVE),
    _one("not waiting, ends before go-live", waiting=False, dates=Dates.BEFORE_GO_LIVE),
    _one("first visit without dates", first_visit=True, dates=Dates.NEITHER),
    _one("first visit at a unit without go-live", Where.NO_GO_LIVE, first_visit=True),
    _one(
        "nothing right",
        identity=Identity.MISSING,
        name=Name.MISSING,
        waiting=False,
        first_visit=True,
        dates=Dates.NEITHER,
        category=Category.UNKNOWN,
        contact=Contact.UNKNOWN,
        text=Text.EMPTY,
        branch=Branch.NOT_NAMED,
        attachments=2,
    ),
)
_DATES: Final = (
    *(_one(f"dates: {kind.name.lower()}", times=6, dates=kind) for kind in Dates if kind is not Dates.LATE),
    *(
        _one(f"dates on a base category: {kind.name.lower()}", times=3, dates=kind, category=Category.BASE)
        for kind in (
            Dates.BEFORE_GO_LIVE,
            Dates.WITHIN,
            Dates.STRADDLING,
            Dates.EXPIRED,
            Dates.NO_FROM,
            Dates.INVERTED,
        )
    ),
    *(_one(f"date written: {stamp.name.lower()}", stamp=stamp) for stamp in Stamp if stamp is not Stamp.DATE),
    _one("expired, timestamp", dates=Dates.EXPIRED, stamp=Stamp.MIDNIGHT),
    _one("a child's expired window", Where.CHILD, dates=Dates.EXPIRED),
    _one("a child's window within the cutoff", Where.CHILD, dates=Dates.WITHIN),
    _one("samordningsnummer, ends before go-live", identity=Identity.COORDINATION, dates=Dates.BEFORE_GO_LIVE),
    _one("unknown category, ends before go-live", category=Category.UNKNOWN, dates=Dates.BEFORE_GO_LIVE),
)
_UNITS: Final = (
    _one("unit without go-live", Where.NO_GO_LIVE),
    _one("unit without go-live, expired", Where.NO_GO_LIVE, dates=Dates.EXPIRED),
    _one("unit without go-live, ends today", Where.NO_GO_LIVE, dates=Dates.TODAY),
    _one("unit without go-live, list of another area", Where.NO_GO_LIVE, outside=True),
    _one("unit without a row", Where.UNLISTED),
    _one("unit without a row, list of another area", Where.UNLISTED, outside=True),
    _one("unit without a row, base category", Where.UNLISTED, category=Category.BASE),
    _one("live unit", Where.LIVE),
    _one("live unit, within the cutoff", Where.LIVE, dates=Dates.WITHIN),
    _one("live unit, ends today", Where.LIVE, dates=Dates.TODAY),
    _one("live unit, straddling the cutoff", Where.LIVE, dates=Dates.STRADDLING),
    _one("live unit, unknown category", Where.LIVE, category=Category.UNKNOWN),
    _one("released in the pilot", Where.PILOT, times=40, released=True, life=Life.PILOT),
)
_CATEGORIES: Final = (
    _one("near miss of a category", times=20, category=Category.UNKNOWN),
    _one("local category", category=Category.LOCAL),
    _one("local category of a child health centre", Where.CHILD_ONLY, category=Category.LOCAL),
    *(
        _one(f"list written: {spelling.name.lower()}", spelling=spelling, list_=_DIABETES)
        for spelling in Spelling
        if spelling is not Spelling.ALIAS
    ),
    *(
        _one(f"base category written: {spelling.name.lower()}", times=3, spelling=spelling, base="Hembesök (läkare)")
        for spelling in Spelling
        if spelling not in {Spelling.EXACT, Spelling.ALIAS}
    ),
    _one("alias Bvc", Where.CHILD, spelling=Spelling.ALIAS),
    _one("alias Psy", spelling=Spelling.ALIAS, list_=_PSYCHOLOGIST),
    *(
        _one(f"Läkarmottagning, form {form}", base="Läkarmottagning", form=form)
        for form in (_VISIT, _PHONE, _VIDEO, _HOME, _UNKNOWN)
    ),
    *(_one(f"Telefontid, form {form}", base="Telefontid", form=form) for form in (_VISIT, _PHONE, _VIDEO, _UNKNOWN)),
    _one("home visit list as an ordinary visit", base="Hembesök (läkare)", form=_VISIT),
    _one("telephone list, another form", list_=_TELEPHONE, contact=Contact.OTHER),
    _one("telephone list, unknown form", list_=_TELEPHONE, contact=Contact.UNKNOWN),
    _one("unknown contact form", contact=Contact.UNKNOWN),
    _one("list of another area", outside=True),
    _one("list of another area, child health", Where.CHILD_ONLY, outside=True),
    _one("list of another area, youth", Where.YOUTH, outside=True),
    _one("base category of another area", Where.CHILD_ONLY, category=Category.BASE),
)
_AGES: Final = (
    _one("child on another age's list", Where.CHILD, times=8, wrong_age=True),
    _one("child on another age's list, expired", Where.CHILD, wrong_age=True, dates=Dates.EXPIRED),
    _one("child on another age's list, no dates", Where.CHILD, wrong_age=True, dates=Dates.NEITHER),
    _one("child on another age's list, dates inverted", Where.CHILD, wrong_age=True, dates=Dates.INVERTED),
    _one("child on another age's list, reserve number", Where.CHILD, wrong_age=True, identity=Identity.INTERIM),
    _one("adult on the children's list", wrong_age=True),
    _one("adult without a name on the children's list", times=3, wrong_age=True, name=Name.MISSING),
    _one("minor on the adults' list", wrong_age=True, pool=Pool.MINORS),
    _one("small child on a list of health centres", times=15, pool=Pool.SMALL_LATE, list_=_DIABETES),
)
_TEXTS: Final = (
    *(_one(f"branch: {kind.name.lower()}", branch=kind) for kind in Branch if kind is not Branch.NONE),
    _one("branch, no text", branch=Branch.NOT_NAMED, text=Text.EMPTY),
    _one("branch, no text, on a base category", branch=Branch.NOT_NAMED, text=Text.EMPTY, category=Category.BASE),
    _one("branch named beside a control character", branch=Branch.IN_REASON, control=Control.REASON),
    _one("attachment", attachments=1),
    _one("attachments", attachments=3),
    _one("attachment, reason only", attachments=1, text=Text.REASON),
    _one("attachment, no text", attachments=1, text=Text.EMPTY),
    _one("attachment, no text but control characters", attachments=1, text=Text.EMPTY, control=Control.PLAN),
    _one("attachment, no text, branch", attachments=2, text=Text.EMPTY, branch=Branch.ONLY_CLINICIAN),
    _one("no text", text=Text.EMPTY),
    _one("long text", text=Text.LONG),
    _one("huge text", times=2, once=True, text=Text.HUGE),
    _one("text long by white space", text=Text.WIDE),
    _one("text of emoji", text=Text.EMOJI),
    *(_one(f"control character: {kind.name.lower()}", control=kind) for kind in Control if kind is not Control.NONE),
)
_LIVES: Final = (
    *(_one(f"life: {life.name.lower()}", times=6, life=life) for life in Life if life not in {Life.OPEN, Life.PILOT}),
    _one("registered later, at fault", life=Life.REGISTERED_LATER, identity=Identity.CHECK_DIGIT),
)
_SAME_PERSON: Final = (
    _same_person("pair", _window(0, 40, duplicate=True), _window(20, 60, duplicate=True)),
    _same_person("pair, same window", _window(5, 30, duplicate=True), _window(5, 30, duplicate=True)),
    _same_person(
        "chain of three",
        _window(0, 20, duplicate=True),
        _window(15, 40, duplicate=True),
        _window(35, 60, duplicate=True),
    ),
    _same_person(
        "short window inside a long one, then one after it",
        _window(0, 90, duplicate=True),
        _window(10, 15, duplicate=True),
        _window(60, 70, duplicate=True),
    ),
    _same_person("pair that shares a day", _window(0, 20, duplicate=True), _window(20, 40, duplicate=True)),
    _same_person("pair a day apart", _window(0, 20), _window(21, 40)),
    _same_person(
        "list and base category",
        _window(0, 40, duplicate=True),
        _window(10, 50, duplicate=True, base="Diabetesmottagning"),
    ),
    _same_person(
        "number written two ways",
        _window(0, 40, duplicate=True, own_row=True),
        _window(10, 50, duplicate=True, own_row=True),
    ),
    _same_person(
        "list written two ways",
        _window(0, 40, duplicate=True, spelling=Spelling.NO_SPACE),
        _window(10, 50, duplicate=True, spelling=Spelling.LOWER_CASE),
    ),
    _same_person(
        "pair, one a first visit",
        _window(0, 40, duplicate=True, first_visit=True),
        _window(10, 50, duplicate=True),
    ),
    _same_person(
        "expired pair",
        {"anchor": Anchor.AS_OF, "first": -60, "last": -20, "dates": Dates.EXPIRED, "duplicate": True},
        {"anchor": Anchor.AS_OF, "first": -30, "last": -5, "dates": Dates.EXPIRED, "duplicate": True},
    ),
    _same_person("pair, one not waiting", _window(0, 40), _window(10, 50, waiting=False)),
    _same_person("pair on two lists", _window(0, 40), _window(10, 50, list_=_PSYCHOLOGIST)),
    _same_person("pair, one closed", _window(0, 40), _window(10, 50, life=Life.CLOSED)),
    _same_person("pair, one to come", _window(0, 40), _window(10, 50, life=Life.REGISTERED_LATER)),
    _same_person(
        "three, one without dates",
        _window(0, 40, duplicate=True),
        _window(10, 50, duplicate=True),
        {"dates": Dates.NO_FORE},
    ),
)

SCENARIOS: Final = (
    *_IDENTITY, *_WAITING, *_DATES, *_UNITS, *_CATEGORIES, *_AGES, *_TEXTS, *_LIVES, *_SAME_PERSON,
)  # fmt: skip
