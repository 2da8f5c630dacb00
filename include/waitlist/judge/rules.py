"""The rules, declared in one place: code, chapter, severity, columns read, disposition, and predicate.

A predicate returns the posts of a chunk for which its rule fires; it does not depend on the results of other rules.
The assessment and the expectation suites call the same predicate. Codes are public: they are in the staging schema,
the work lists and the docs. Chapters are those of Region Skåne's instruction for moving waiting lists to Millennium;
``docs/rules.md`` describes the rules in full. The Swedish texts are in ``swedish.words``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import dates, texts
from waitlist.facts.mappings import CARE_AREAS, CHILD_HEALTH, Unit
from waitlist.judge.identity import Kind
from waitlist.judge.persons import DECEASED, EMIGRATED, OLD_NUMBER
from waitlist.judge.posts import CONTACT_FORMS, Mask, Posts
from waitlist.settings import PersonsForTests, StraddlePolicy


class Severity(StrEnum):
    """The effect of a finding on its post."""

    BLOCKS = "blocks"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Disposition(StrEnum):
    """How a post is handled; every post has exactly one disposition."""

    ALREADY_RELEASED = "already_released"
    LEAVE = "leave"
    HANDLE_MANUALLY = "handle_manually"
    BOOK_IN_PMO = "book_in_pmo"
    BOOK_IN_MILLENNIUM = "book_in_millennium"
    FIX_IN_PMO = "fix_in_pmo"
    PLAN_UNIT = "plan_unit"
    MOVE_TO_SDV_LIST = "move_to_sdv_list"
    MIGRATE = "migrate"


class Code(StrEnum):
    """The public code of each rule, in the order in which findings are listed."""

    NOT_WAITING = "NOT_WAITING"
    NOT_WAITING_ON_SDV_LIST = "NOT_WAITING_ON_SDV_LIST"
    ID_MISSING = "ID_MISSING"
    ID_INVALID = "ID_INVALID"
    ID_COORDINATION_NUMBER = "ID_COORDINATION_NUMBER"
    ID_RESERVE_NUMBER = "ID_RESERVE_NUMBER"
    ID_UNSAFE_ON_SDV_LIST = "ID_UNSAFE_ON_SDV_LIST"
    TEST_PERSON = "TEST_PERSON"
    NAME_MISSING = "NAME_MISSING"
    FIRST_VISIT = "FIRST_VISIT"
    DATE_MISSING = "DATE_MISSING"
    DATE_INVERTED = "DATE_INVERTED"
    DATE_EXPIRED = "DATE_EXPIRED"
    ENDS_BEFORE_GO_LIVE = "ENDS_BEFORE_GO_LIVE"
    WITHIN_CUTOFF = "WITHIN_CUTOFF"
    NOT_ELIGIBLE_ON_SDV_LIST = "NOT_ELIGIBLE_ON_SDV_LIST"
    STRADDLES_CUTOFF = "STRADDLES_CUTOFF"
    UNIT_UNPLANNED = "UNIT_UNPLANNED"
    UNIT_ALREADY_LIVE = "UNIT_ALREADY_LIVE"
    CATEGORY_UNKNOWN = "CATEGORY_UNKNOWN"
    CATEGORY_NOT_MOVED = "CATEGORY_NOT_MOVED"
    LIST_OUTSIDE_CARE_AREA = "LIST_OUTSIDE_CARE_AREA"
    CONTACT_FORM_MISMATCH = "CONTACT_FORM_MISMATCH"
    BRANCH_NOT_IN_TEXT = "BRANCH_NOT_IN_TEXT"
    ATTACHMENT_NOT_MIGRATED = "ATTACHMENT_NOT_MIGRATED"
    ATTACHMENT_WITHOUT_TEXT = "ATTACHMENT_WITHOUT_TEXT"
    AGE_MISMATCH = "AGE_MISMATCH"
    AGE_IMPLAUSIBLE = "AGE_IMPLAUSIBLE"
    DUPLICATE_POST = "DUPLICATE_POST"
    CONTACT_FORM_UNKNOWN = "CONTACT_FORM_UNKNOWN"
    DESCRIPTION_OVER_LIMIT = "DESCRIPTION_OVER_LIMIT"
    TEXT_CLEANED = "TEXT_CLEANED"
    ALREADY_RELEASED = "ALREADY_RELEASED"
    PROTECTED_IDENTITY = "PROTECTED_IDENTITY"
    PU_DECEASED = "PU_DECEASED"
    PU_NUMBER_CHANGED = "PU_NUMBER_CHANGED"
    PU_DEREGISTERED = "PU_DEREGISTERED"
    PU_NOT_FOUND = "PU_NOT_FOUND"
    PU_TEST_PERSON = "PU_TEST_PERSON"
    PU_NAME_MISMATCH = "PU_NAME_MISMATCH"
    PU_NOT_ASKED = "PU_NOT_ASKED"


class Step(Enum):
    """The steps that decide a post's disposition; the first that applies decides (decision 0027, the instruction)."""

    RELEASED_BEFORE = 1, Disposition.ALREADY_RELEASED
    NOBODY_WAITS = 2, Disposition.LEAVE
    UNSAFE_PERSON = 3, Disposition.HANDLE_MANUALLY
    ENDS_BEFORE_GO_LIVE = 4, Disposition.BOOK_IN_PMO
    FIRST_VISIT = 5, Disposition.BOOK_IN_MILLENNIUM
    DATES = 6, Disposition.FIX_IN_PMO
    UNIT_UNPLANNED = 7, Disposition.PLAN_UNIT
    LIVE_OR_WITHIN_CUTOFF = 8, Disposition.BOOK_IN_MILLENNIUM
    CATEGORY_OR_TEXT = 9, Disposition.FIX_IN_PMO
    NOT_MOVED = 10, Disposition.MOVE_TO_SDV_LIST

    @property
    def disposition(self) -> Disposition:
        """The disposition that this step gives a post."""
        return self.value[1]


Places = npt.NDArray[np.intp]
Predicate = Callable[[Posts], Mask]
Detail = Callable[[Posts, Places], pa.Array]


def _no_detail(_posts: Posts, places: Places) -> pa.Array:
    return pa.nulls(len(places), pa.string())


@dataclass(frozen=True)
class Rule:
    """One rule of the domain.

    Attributes:
        code: the public code.
        chapter: the chapter of the instruction; empty for a decision of this project.
        severity: the built-in severity; a lead may raise it (``rule_severities.csv``).
        columns: columns of ``schema.POSTS`` that the predicate reads.
        predicate: posts, shape (n,) -> where the rule fires, shape (n,). ``docs/rules.md`` quotes its docstring.
        leads_to: the step that a blocking finding decides. None: the disposition is ``RAISED`` if a lead raises the
            rule, and a rule that is never raised decides nothing.
        detail: the detail in the finding's text, for the posts at the given positions; never personal data.
    """

    code: Code
    chapter: str
    severity: Severity
    columns: tuple[str, ...]
    predicate: Predicate
    leads_to: Step | None = None
    detail: Detail = _no_detail


_DECLARED: Final[dict[Code, Rule]] = {}


def _rule(
    code: Code,
    chapter: str,
    severity: Severity,
    columns: tuple[str, ...],
    *,
    leads_to: Step | None = None,
    detail: Detail = _no_detail,
) -> Callable[[Predicate], Predicate]:
    """Declare the rule whose predicate is decorated."""

    def declare(predicate: Predicate) -> Predicate:
        _DECLARED[code] = Rule(code, chapter, severity, columns, predicate, leads_to, detail)
        return predicate

    return declare


_TWO_YEARS: Final = 24
TEXTS: Final = ("patient", "orsak", "planerade_atgarder", "anvandare")
"""The text columns that are cleaned."""
_CATEGORY: Final = ("kategori", "kontaktform")
_DATES: Final = ("boka_from", "boka_fore")
_CUTOFF: Final = (*_DATES, "enhet_hsa_id")
_BLOCKS, _ERROR, _WARNING, _INFO = Severity.BLOCKS, Severity.ERROR, Severity.WARNING, Severity.INFO


def _target_contact_form(posts: Posts) -> pa.Array:
    forms = pa.array([row.kontaktform for row in posts.context.mappings.sdv_lists], pa.string())
    return pc.take(forms, pa.array(posts.category.target_list, mask=~posts.has_target_list))


def _recommended_list(posts: Posts, places: Places) -> pa.Array:
    """Return the name of the target list, null where it is outside the unit's care areas."""
    names = pa.array([row.sdv_lista for row in posts.context.mappings.sdv_lists], pa.string())
    return pc.take(names, pa.array(posts.category.target_list[places], mask=~posts.list_in_care_area[places]))


def _care_areas(posts: Posts, places: Places) -> pa.Array:
    """Return the target list's care area, followed by the unit's care areas."""
    of_list = pa.array([row.vardomrade for row in posts.context.mappings.sdv_lists], pa.string())
    of_unit = pa.array([_joined(unit) for unit in posts.units.rows], pa.string())
    list_area = pc.take(of_list, pa.array(posts.category.target_list[places]))
    unit_areas = pc.take(of_unit, pa.array(posts.units.row[places]))
    return pc.binary_join_element_wise(list_area, unit_areas, ", enheten till ")


def _joined(unit: Unit) -> str:
    return " och ".join(area for area in CARE_AREAS if area in unit.vardomraden)


def _target_form(posts: Posts, places: Places) -> pa.Array:
    return pc.take(_target_contact_form(posts), pa.array(places))


def _suggestions(posts: Posts, places: Places) -> pa.Array:
    """Return the SDV lists of the unit's care areas that are most similar to the category, the most similar first."""
    rows = pa.array(places)
    categories, forms = (pc.take(posts.column(name), rows).to_pylist() for name in _CATEGORY)
    areas = [unit.vardomraden for unit in posts.units.rows]
    areas.append(frozenset(CARE_AREAS))
    suggest = posts.context.matcher.suggest
    found = (
        "; ".join(suggest(category, form, areas[unit]))
        for category, form, unit in zip(categories, forms, posts.units.row[places].tolist(), strict=True)
    )
    return pa.array([names or None for names in found], pa.string())


def _reserve_kind(posts: Posts, places: Places) -> pa.Array:
    interim = pa.array(posts.identities.kind[places] == Kind.INTERIMSNUMMER)
    likely = pc.take(posts.identities.reserve_name, pa.array(places))
    return pc.if_else(interim, pa.scalar("interimsnummer"), likely)


def _missing_dates(posts: Posts, places: Places) -> pa.Array:
    without_from, without_fore = np.isnat(posts.boka_from[places]), np.isnat(posts.boka_fore[places])
    names = np.array(["", "Boka fr.o.m.", "Boka före", "Boka fr.o.m. och Boka före"])
    return pa.array(names[without_from + 2 * without_fore].tolist(), pa.string())


def _cutoff(posts: Posts, places: Places) -> pa.Array:
    return pa.array(np.datetime_as_string(posts.cutoff[places]).tolist(), pa.string())


def _driftstart(posts: Posts, places: Places) -> pa.Array:
    return pa.array(np.datetime_as_string(posts.units.driftstart[places]).tolist(), pa.string())


def _length(posts: Posts, places: Places) -> pa.Array:
    return pc.cast(pa.array(posts.beskrivning_length[places]), pa.string())


def _protected_by(posts: Posts, places: Places) -> pa.Array:
    """Name who has the mark; nothing where the person service is not asked."""
    if not posts.asks_persons:
        return _no_detail(posts, places)
    by_pmo, by_service = posts.flag("sekretess")[places], posts.is_protected_by_service[places]
    names = np.array(["", "PMO", "PU", "PMO, PU"])
    return pa.array(names[by_pmo + 2 * by_service].tolist(), pa.string())


def _named_deregistration(posts: Posts, places: Places) -> pa.Array:
    """Name the one reason that tells staff what to ask about."""
    emigrated = pa.array(posts.person_reason_is(EMIGRATED)[places])
    return pc.if_else(emigrated, pa.scalar("utvandrad"), pa.scalar(None, pa.string()))


@_rule(Code.NOT_WAITING, "1, 8", _BLOCKS, ("vantar_pa_besok",), leads_to=Step.NOBODY_WAITS)
def not_waiting(posts: Posts) -> Mask:
    """The post is administrative: no patient waits for a visit, telephone or video contact."""
    return ~posts.waits


@_rule(Code.NOT_WAITING_ON_SDV_LIST, "1", _ERROR, ("vantar_pa_besok", *_CATEGORY))
def not_waiting_on_sdv_list(posts: Posts) -> Mask:
    """The post is administrative and yet on an SDV list; it must be removed from the list."""
    return ~posts.waits & posts.on_sdv_list


@_rule(Code.ID_MISSING, "2", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def id_missing(posts: Posts) -> Mask:
    """The post has no number for the patient."""
    return posts.is_kind(Kind.MISSING)


@_rule(Code.ID_INVALID, "2", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def id_invalid(posts: Posts) -> Mask:
    """The number is of no known kind: no such date, a wrong check digit, a wrong shape, or a future birth date."""
    return posts.is_kind(Kind.INVALID)


@_rule(Code.ID_COORDINATION_NUMBER, "1, 2, 5", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def id_coordination_number(posts: Posts) -> Mask:
    """The number is a samordningsnummer."""
    return posts.is_kind(Kind.SAMORDNINGSNUMMER)


@_rule(Code.ID_RESERVE_NUMBER, "1, 2, 5", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON, detail=_reserve_kind)
def id_reserve_number(posts: Posts) -> Mask:
    """The number is a reservnummer, national or regional, or an interimsnummer."""
    return posts.is_kind(Kind.RESERVNUMMER, Kind.INTERIMSNUMMER)


@_rule(Code.ID_UNSAFE_ON_SDV_LIST, "1", _ERROR, ("personnummer", *_CATEGORY))
def id_unsafe_on_sdv_list(posts: Posts) -> Mask:
    """Any of the four rules above fires and the post is on an SDV list; it must be removed from the list."""
    return ~posts.has_personnummer & posts.on_sdv_list


@_rule(Code.TEST_PERSON, "", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def test_person(posts: Posts) -> Mask:
    """The personnummer is in `test_persons.csv`: a test patient, not a real person."""
    known = pc.is_in(posts.identities.person_id, value_set=posts.context.test_numbers)
    return np.asarray(known.to_numpy(zero_copy_only=False))


@_rule(Code.NAME_MISSING, "6", _BLOCKS, ("patient",), leads_to=Step.UNSAFE_PERSON)
def name_missing(posts: Posts) -> Mask:
    """The post has no name for the patient."""
    return posts.text("patient").empty


@_rule(Code.FIRST_VISIT, "3", _BLOCKS, ("nybesok",), leads_to=Step.FIRST_VISIT)
def first_visit(posts: Posts) -> Mask:
    """The post is for a nybesök; only return visits are migrated."""
    return posts.flag("nybesok")


@_rule(Code.DATE_MISSING, "2, 5", _BLOCKS, _DATES, leads_to=Step.DATES, detail=_missing_dates)
def date_missing(posts: Posts) -> Mask:
    """Boka fr.o.m. or Boka före is empty or not a date."""
    return np.isnat(posts.boka_from) | np.isnat(posts.boka_fore)


@_rule(Code.DATE_INVERTED, "2, 5", _BLOCKS, _DATES, leads_to=Step.DATES)
def date_inverted(posts: Posts) -> Mask:
    """Boka fr.o.m. is after Boka före."""
    return posts.boka_from > posts.boka_fore


@_rule(Code.DATE_EXPIRED, "1, 5", _BLOCKS, ("boka_fore",), leads_to=Step.DATES)
def date_expired(posts: Posts) -> Mask:
    """Boka före is before the as-of date (a "red date"), whether or not Boka fr.o.m. is.

    Staff update the date first; the cutoff applies to the new date.
    """
    return posts.expired


@_rule(Code.ENDS_BEFORE_GO_LIVE, "2 steg 3", _BLOCKS, _CUTOFF, leads_to=Step.ENDS_BEFORE_GO_LIVE, detail=_driftstart)
def ends_before_go_live(posts: Posts) -> Mask:
    """Boka före is before the unit's go-live: the visit cannot be booked in Millennium in time.

    Staff book it in PMO as usual.
    """
    return posts.cutoff_applies & (posts.boka_fore < posts.units.driftstart)


@_rule(Code.WITHIN_CUTOFF, "2 steg 3", _BLOCKS, _CUTOFF, leads_to=Step.LIVE_OR_WITHIN_CUTOFF, detail=_cutoff)
def within_cutoff(posts: Posts) -> Mask:
    """Boka före is on or after go-live, and not later than go-live + 28 days.

    Under the straddle policy `book` the rule also fires for a post of `STRADDLES_CUTOFF`.
    """
    within = posts.cutoff_applies & (posts.boka_fore >= posts.units.driftstart) & (posts.boka_fore <= posts.cutoff)
    if posts.context.rules.straddle_policy is StraddlePolicy.BOOK:
        within |= posts.straddles_cutoff
    return within


@_rule(Code.STRADDLES_CUTOFF, "2 steg 3", _INFO, _CUTOFF, detail=_cutoff)
def straddles_cutoff(posts: Posts) -> Mask:
    """Boka fr.o.m. is on or before go-live + 28 days and Boka före is after it, under every straddle policy."""
    return posts.straddles_cutoff


@_rule(Code.NOT_ELIGIBLE_ON_SDV_LIST, "2 steg 3, 3", _ERROR, ("nybesok", *_CUTOFF, *_CATEGORY))
def not_eligible_on_sdv_list(posts: Posts) -> Mask:
    """`FIRST_VISIT`, `WITHIN_CUTOFF` or `ENDS_BEFORE_GO_LIVE` fires and the post is on an SDV list.

    It must be removed from the list, otherwise the patient is booked twice.
    """
    return (first_visit(posts) | within_cutoff(posts) | ends_before_go_live(posts)) & posts.on_sdv_list


@_rule(Code.UNIT_UNPLANNED, "2", _BLOCKS, ("enhet_hsa_id",), leads_to=Step.UNIT_UNPLANNED)
def unit_unplanned(posts: Posts) -> Mask:
    """The unit has no row in `units.csv`, or its row has no go-live."""
    return np.isnat(posts.units.driftstart)


@_rule(Code.UNIT_ALREADY_LIVE, "1", _BLOCKS, ("enhet_hsa_id",), leads_to=Step.LIVE_OR_WITHIN_CUTOFF, detail=_driftstart)
def unit_already_live(posts: Posts) -> Mask:
    """The as-of date is on or after the unit's go-live."""
    return posts.units.driftstart <= dates.day(posts.context.as_of)


@_rule(Code.CATEGORY_UNKNOWN, "2 steg 1, 4", _BLOCKS, _CATEGORY, leads_to=Step.CATEGORY_OR_TEXT, detail=_suggestions)
def category_unknown(posts: Posts) -> Mask:
    """The category is neither an SDV list nor a base category of the mapping.

    The finding names up to three SDV lists of the unit's care areas, the most similar first.
    """
    return ~posts.has_target_list


@_rule(Code.CATEGORY_NOT_MOVED, "2 steg 6, 4", _BLOCKS, _CATEGORY, leads_to=Step.NOT_MOVED, detail=_recommended_list)
def category_not_moved(posts: Posts) -> Mask:
    """The category is a base category.

    The finding names the recommended SDV list, unless it is outside the unit's care areas.
    """
    return posts.has_target_list & ~posts.on_sdv_list


@_rule(Code.LIST_OUTSIDE_CARE_AREA, "3", _WARNING, ("enhet_hsa_id", *_CATEGORY), detail=_care_areas)
def list_outside_care_area(posts: Posts) -> Mask:
    """The target list's care area is not one of the unit's; no finding for a unit without a row in `units.csv`."""
    return ~posts.list_in_care_area


@_rule(Code.CONTACT_FORM_MISMATCH, "3", _WARNING, _CATEGORY, detail=_target_form)
def contact_form_mismatch(posts: Posts) -> Mask:
    """The target list is for telephone, video or home visits, and the post's contact form is another or unknown."""
    form_of_list = _target_contact_form(posts)
    agrees = pc.fill_null(pc.equal(form_of_list, posts.column("kontaktform")), False)
    return np.asarray(pc.and_not(pc.is_valid(form_of_list), agrees).to_numpy(zero_copy_only=False))


@_rule(Code.CONTACT_FORM_UNKNOWN, "", _WARNING, ("kontaktform",))
def contact_form_unknown(posts: Posts) -> Mask:
    """The contact form is not `besok`, `telefon`, `video` or `hembesok`."""
    known = pc.is_in(posts.column("kontaktform"), value_set=pa.array(CONTACT_FORMS))
    return ~np.asarray(known.to_numpy(zero_copy_only=False))


@_rule(
    Code.BRANCH_NOT_IN_TEXT,
    "2 steg 4",
    _BLOCKS,
    ("filial", "orsak", "planerade_atgarder"),
    leads_to=Step.CATEGORY_OR_TEXT,
)
def branch_not_in_text(posts: Posts) -> Mask:
    """The visit is at a branch (filial), and neither Orsak nor Planerade åtgärder names it."""
    missing = np.zeros(len(posts), dtype=np.bool_)
    filial = posts.column("filial")
    places = np.flatnonzero(~texts.is_empty(texts.fold_white_space(filial)))
    rows = pa.array(places)
    branch, reason, plan = (
        pc.take(column, rows).to_pylist()
        for column in (filial, posts.text("orsak").folded, posts.text("planerade_atgarder").folded)
    )
    for place, name, *written in zip(places, branch, reason, plan, strict=True):
        sought = texts.fold(name)
        missing[place] = not any(sought in texts.fold(text) for text in written if text)
    return missing


@_rule(Code.ATTACHMENT_NOT_MIGRATED, "2 steg 5", _WARNING, ("har_bilaga",))
def attachment_not_migrated(posts: Posts) -> Mask:
    """The post has an attachment, which is not migrated: staff must write what matters into the texts."""
    return posts.flag("har_bilaga")


@_rule(
    Code.ATTACHMENT_WITHOUT_TEXT,
    "2 steg 5",
    _BLOCKS,
    ("har_bilaga", "orsak", "planerade_atgarder"),
    leads_to=Step.CATEGORY_OR_TEXT,
)
def attachment_without_text(posts: Posts) -> Mask:
    """The post has an attachment, and both Orsak and Planerade åtgärder are empty."""
    return posts.flag("har_bilaga") & posts.text("orsak").empty & posts.text("planerade_atgarder").empty


@_rule(Code.AGE_MISMATCH, "3", _WARNING, ("personnummer", *_DATES, *_CATEGORY))
def age_mismatch(posts: Posts) -> Mask:
    """Throughout the booking window the person is outside the age limits, in months, of the SDV list of the post."""
    mismatch = np.zeros(len(posts), dtype=np.bool_)
    lists = posts.context.mappings.sdv_lists
    bounded = np.array([row.alder_fran_man is not None or row.alder_till_man is not None for row in lists] + [False])
    own = posts.category.own_list
    places = np.flatnonzero(bounded[own] & posts.has_personnummer & posts.has_window)
    lowest = np.array([-(2**31) if row.alder_fran_man is None else row.alder_fran_man for row in lists])
    highest = np.array([2**31 if row.alder_till_man is None else row.alder_till_man for row in lists])
    birth = posts.identities.birth_date[places]
    mismatch[places] = (dates.age_in_months(birth, posts.boka_from[places]) > highest[own[places]]) | (
        dates.age_in_months(birth, posts.boka_fore[places]) < lowest[own[places]]
    )
    return mismatch


@_rule(Code.AGE_IMPLAUSIBLE, "", _WARNING, ("personnummer", *_CATEGORY))
def age_implausible(posts: Posts) -> Mask:
    """The number has ten digits and `-`, which makes the person under two, and the target list is not for child health.

    Perhaps the person is over 100, and the `-` was never changed to `+`.
    """
    implausible = np.zeros(len(posts), dtype=np.bool_)
    suspect = posts.has_personnummer & posts.identities.of_this_century_by_sign & posts.has_target_list
    places = np.flatnonzero(suspect)
    for_children = np.array([row.vardomrade == CHILD_HEALTH for row in posts.context.mappings.sdv_lists], np.bool_)
    today = np.full(len(places), dates.day(posts.context.as_of))
    age = dates.age_in_months(posts.identities.birth_date[places], today)
    implausible[places] = (age < _TWO_YEARS) & ~for_children[posts.category.target_list[places]]
    return implausible


@_rule(Code.DUPLICATE_POST, "", _WARNING, ("post_id",))
def duplicate_post(posts: Posts) -> Mask:
    """Another post has the same person, unit and target list, and the windows overlap; both posts get the finding."""
    return posts.is_duplicate


@_rule(
    Code.DESCRIPTION_OVER_LIMIT,
    "6",
    _WARNING,
    ("anvandare", "orsak", "planerade_atgarder", "tidsatgang_min"),
    detail=_length,
)
def description_over_limit(posts: Posts) -> Mask:
    """Beskrivning has more code points than the field in Millennium can store; the text is not cut."""
    return posts.beskrivning_length > posts.context.rules.description_limit


@_rule(Code.TEXT_CLEANED, "6", _INFO, TEXTS)
def text_cleaned(posts: Posts) -> Mask:
    """Control characters other than tab and line breaks were removed before the text was stored."""
    cleaned = np.zeros(len(posts), dtype=np.bool_)
    for name in TEXTS:
        cleaned |= posts.text(name).had_control_characters
    return cleaned


@_rule(Code.ALREADY_RELEASED, "", _BLOCKS, ("post_id",), leads_to=Step.RELEASED_BEFORE)
def already_released(posts: Posts) -> Mask:
    """The post was released to Millennium in an earlier batch."""
    return posts.is_released


@_rule(Code.PROTECTED_IDENTITY, "8", _INFO, ("sekretess", "personnummer"), detail=_protected_by)
def protected_identity(posts: Posts) -> Mask:
    """PMO has a sekretessmarkering, or the person service has one or skyddad folkbokföring.

    The post migrates, and the mark is migrated with it. Where the service is asked, the finding names which of them
    has the mark.
    """
    return posts.flag("sekretess") | posts.is_protected_by_service


@_rule(Code.PU_DECEASED, "8", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def pu_deceased(posts: Posts) -> Mask:
    """The person service gives death as the reason of deregistration, or a date on which the person was found dead."""
    return posts.person_flag("found_dead") | posts.person_reason_is(DECEASED)


@_rule(Code.PU_NUMBER_CHANGED, "8", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def pu_number_changed(posts: Posts) -> Mask:
    """The person service says that the number is not the person's present one."""
    replaced = posts.person_flag("found") & ~posts.person_flag("is_primary")
    return replaced | posts.person_reason_is(OLD_NUMBER)


@_rule(Code.PU_DEREGISTERED, "8", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON, detail=_named_deregistration)
def pu_deregistered(posts: Posts) -> Mask:
    """The person is deregistered for another reason than death or a changed number, or for none that is known."""
    return posts.person_flag("deregistered") & ~posts.person_reason_is(DECEASED, OLD_NUMBER)


@_rule(Code.PU_NOT_FOUND, "8", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def pu_not_found(posts: Posts) -> Mask:
    """The person service has no record of the number."""
    return posts.answered & ~posts.person_flag("found")


@_rule(Code.PU_TEST_PERSON, "8", _BLOCKS, ("personnummer",), leads_to=Step.UNSAFE_PERSON)
def pu_test_person(posts: Posts) -> Mask:
    """The person service's record is made for tests, and `WAITLIST_PU_TEST_PERSONS` is `refuse`."""
    if posts.context.rules.pu_test_persons is PersonsForTests.ALLOW:
        return np.zeros(len(posts), dtype=np.bool_)
    return posts.person_flag("test_person")


@_rule(Code.PU_NAME_MISMATCH, "8", _WARNING, ("post_id",))
def pu_name_mismatch(posts: Posts) -> Mask:
    """No word of the surname or middle name that the person service has is in PMO's name of the patient.

    The number is somebody else's, or the patient has a new surname. No finding for a record without a surname.
    """
    return posts.has_other_name


@_rule(Code.PU_NOT_ASKED, "8", _INFO, ("vantar_pa_besok", "personnummer"))
def pu_not_asked(posts: Posts) -> Mask:
    """The patient waits and has a personnummer, and the person service has not answered about it."""
    if not posts.asks_persons:
        return np.zeros(len(posts), dtype=np.bool_)
    return posts.waits & posts.has_personnummer & ~posts.answered


OF_PERSONS: Final = frozenset(
    {
        Code.PU_DECEASED,
        Code.PU_NUMBER_CHANGED,
        Code.PU_DEREGISTERED,
        Code.PU_NOT_FOUND,
        Code.PU_TEST_PERSON,
        Code.PU_NAME_MISMATCH,
        Code.PU_NOT_ASKED,
    }
)
"""Rules that only fire where the person service is asked."""

RULES: Final[Mapping[Code, Rule]] = MappingProxyType({code: _DECLARED[code] for code in Code})
"""Every rule by its code, in the order in which findings are listed."""

BUILT_IN_SEVERITIES: Final[Mapping[str, str]] = MappingProxyType(
    {code.value: rule.severity.value for code, rule in RULES.items()}
)
"""Built-in severities by code, with which ``mappings.load_mappings`` checks ``rule_severities.csv``."""

DISPOSITIONS: Final[tuple[tuple[Disposition, tuple[Code, ...]], ...]] = tuple(
    (step.disposition, tuple(code for code, rule in RULES.items() if rule.leads_to is step)) for step in Step
)
"""The disposition for each blocking finding: the first row that applies decides; a post for which no row applies is
migrated."""

EDITION: Final = "2"
"""Change it when a rule or disposition is added, removed or redefined: counts of different editions are not comparable.
"""

EDITION_WITH_PERSONS: Final = f"{EDITION} with PU"
"""The same where the person service is asked: its rules come on top, and without it none of them may fire."""

RAISED: Final = Disposition.FIX_IN_PMO
"""The disposition for a raised rule outside ``DISPOSITIONS``; this step comes just before ``MOVE_TO_SDV_LIST``."""


def severity(rule: Rule, posts: Posts) -> Severity:
    """Return a rule's severity in this run: the built-in one, unless a lead or the straddle policy raised it."""
    context = posts.context
    if rule.code is Code.STRADDLES_CUTOFF and context.rules.straddle_policy is StraddlePolicy.REVIEW:
        return Severity.BLOCKS
    return Severity(context.mappings.raised.get(rule.code, rule.severity))
