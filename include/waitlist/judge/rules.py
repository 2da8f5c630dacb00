"""The table of rules: code, chapter, severity, the columns read, and the one predicate.

A predicate looks at a chunk of posts and says where its rule fires, by its own condition, whatever the other
rules say. The assessment and the expectation suites call the same predicate. Codes are public: they stand in
the staging schema, the work lists and the docs. Chapters are those of Region Skåne's instruction for moving
waiting lists to Millennium; ``docs/rules.md`` tells the whole story. The Swedish texts are in ``messages``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from waitlist.columns import dates, texts
from waitlist.facts.mappings import CARE_AREAS, CHILD_HEALTH, Unit
from waitlist.judge.identity import Kind
from waitlist.judge.posts import CONTACT_FORMS, Mask, Posts
from waitlist.settings import StraddlePolicy


class Severity(StrEnum):
    """What a finding does to its post."""

    BLOCKS = "blocks"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Disposition(StrEnum):
    """What becomes of a post: every post has exactly one."""

    ALREADY_RELEASED = "already_released"
    LEAVE = "leave"
    HANDLE_MANUALLY = "handle_manually"
    BOOK_IN_PMO = "book_in_pmo"
    BOOK_IN_MILLENNIUM = "book_in_millennium"
    FIX_IN_PMO = "fix_in_pmo"
    PLAN_UNIT = "plan_unit"
    MOVE_TO_SDV_LIST = "move_to_sdv_list"
    MIGRATE = "migrate"


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
        chapter: where the instruction says so; empty for a decision of this project.
        severity: before a lead raises it (``rule_severities.csv``).
        columns: columns of ``schema.POSTS`` that the predicate reads.
        predicate: posts, shape (n,) -> where the rule fires, shape (n,).
        detail: what the finding's text names, for the posts at the given places; never personal data.
    """

    code: str
    chapter: str
    severity: Severity
    columns: tuple[str, ...]
    predicate: Predicate
    detail: Detail = _no_detail


def not_waiting(posts: Posts) -> Mask:
    """No patient waits for a visit, telephone or video contact."""
    return ~posts.waits


def not_waiting_on_sdv_list(posts: Posts) -> Mask:
    """... and yet the post lies on an SDV list."""
    return ~posts.waits & posts.on_sdv_list


def id_missing(posts: Posts) -> Mask:
    """No number."""
    return posts.is_kind(Kind.MISSING)


def id_invalid(posts: Posts) -> Mask:
    """Not a number of any known kind."""
    return posts.is_kind(Kind.INVALID)


def id_coordination_number(posts: Posts) -> Mask:
    """A samordningsnummer."""
    return posts.is_kind(Kind.SAMORDNINGSNUMMER)


def id_reserve_number(posts: Posts) -> Mask:
    """A reservnummer or an interimsnummer."""
    return posts.is_kind(Kind.RESERVNUMMER, Kind.INTERIMSNUMMER)


def id_unsafe_on_sdv_list(posts: Posts) -> Mask:
    """Any number but a personnummer, on an SDV list."""
    return ~posts.has_personnummer & posts.on_sdv_list


def test_person(posts: Posts) -> Mask:
    """A patient who does not exist (``test_persons.csv``)."""
    known = pc.is_in(posts.identities.person_id, value_set=posts.context.test_numbers)
    return np.asarray(known.to_numpy(zero_copy_only=False))


def name_missing(posts: Posts) -> Mask:
    """No patient name."""
    return posts.text("patient").empty


def first_visit(posts: Posts) -> Mask:
    """A nybesök."""
    return posts.flag("nybesok")


def date_missing(posts: Posts) -> Mask:
    """Boka fr.o.m. or Boka före is empty or no date."""
    return np.isnat(posts.boka_from) | np.isnat(posts.boka_fore)


def date_inverted(posts: Posts) -> Mask:
    """Boka fr.o.m. is after Boka före."""
    return posts.boka_from > posts.boka_fore


def date_expired(posts: Posts) -> Mask:
    """Boka före is before the as-of date."""
    return posts.expired


def ends_before_go_live(posts: Posts) -> Mask:
    """The window ends before the unit can book in Millennium."""
    return posts.cutoff_applies & (posts.boka_fore < posts.units.driftstart)


def within_cutoff(posts: Posts) -> Mask:
    """The window ends at go-live or later, and not after the cutoff; a straddler counts under the policy ``book``."""
    within = posts.cutoff_applies & (posts.boka_fore >= posts.units.driftstart) & (posts.boka_fore <= posts.cutoff)
    if posts.context.rules.straddle_policy is StraddlePolicy.BOOK:
        within |= posts.straddles_cutoff
    return within


def straddles_cutoff(posts: Posts) -> Mask:
    """The window begins at or before the cutoff and ends after it."""
    return posts.straddles_cutoff


def not_eligible_on_sdv_list(posts: Posts) -> Mask:
    """A nybesök, or a window that ends before go-live or within the cutoff, on an SDV list: booked twice otherwise."""
    return (first_visit(posts) | within_cutoff(posts) | ends_before_go_live(posts)) & posts.on_sdv_list


def unit_unplanned(posts: Posts) -> Mask:
    """The unit has no row in ``units.csv``, or no go-live."""
    return np.isnat(posts.units.driftstart)


def unit_already_live(posts: Posts) -> Mask:
    """The as-of date is on or after the unit's go-live."""
    return posts.units.driftstart <= dates.day(posts.context.as_of)


def category_unknown(posts: Posts) -> Mask:
    """Neither an SDV list nor a base category that the mapping knows."""
    return ~posts.has_target_list


def category_not_moved(posts: Posts) -> Mask:
    """A base category: the recommended SDV list comes with the finding."""
    return posts.has_target_list & ~posts.on_sdv_list


def list_outside_care_area(posts: Posts) -> Mask:
    """The target list's care area is not one of the unit's."""
    return ~posts.list_in_care_area


def contact_form_mismatch(posts: Posts) -> Mask:
    """The target list says telephone, video or home visit and the post another form."""
    said = _target_contact_form(posts)
    agrees = pc.fill_null(pc.equal(said, posts.column("kontaktform")), False)
    return np.asarray(pc.and_not(pc.is_valid(said), agrees).to_numpy(zero_copy_only=False))


def contact_form_unknown(posts: Posts) -> Mask:
    """A contact form outside the contract's values."""
    known = pc.is_in(posts.column("kontaktform"), value_set=pa.array(CONTACT_FORMS))
    return ~np.asarray(known.to_numpy(zero_copy_only=False))


def branch_not_in_text(posts: Posts) -> Mask:
    """The visit is at a branch, and neither Orsak nor Planerade åtgärder names the place."""
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


def attachment_not_migrated(posts: Posts) -> Mask:
    """The post has an attachment."""
    return posts.flag("har_bilaga")


def attachment_without_text(posts: Posts) -> Mask:
    """... and both text fields are empty."""
    return posts.flag("har_bilaga") & posts.text("orsak").empty & posts.text("planerade_atgarder").empty


def age_mismatch(posts: Posts) -> Mask:
    """The person is too old for the SDV list at Boka fr.o.m., or still too young at Boka före."""
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


def age_implausible(posts: Posts) -> Mask:
    """A child under two years by the sign alone, on a list that is not for children: perhaps a person of 100."""
    implausible = np.zeros(len(posts), dtype=np.bool_)
    suspect = posts.has_personnummer & posts.identities.of_this_century_by_sign & posts.has_target_list
    places = np.flatnonzero(suspect)
    for_children = np.array([row.vardomrade == CHILD_HEALTH for row in posts.context.mappings.sdv_lists], np.bool_)
    today = np.full(len(places), dates.day(posts.context.as_of))
    age = dates.age_in_months(posts.identities.birth_date[places], today)
    implausible[places] = (age < _TWO_YEARS) & ~for_children[posts.category.target_list[places]]
    return implausible


def duplicate_post(posts: Posts) -> Mask:
    """Same person, unit and target list with overlapping windows; found over the whole batch."""
    return posts.is_duplicate


def description_over_limit(posts: Posts) -> Mask:
    """Beskrivning is longer, in code points, than the receiving field."""
    return posts.beskrivning_length > posts.context.rules.description_limit


def text_cleaned(posts: Posts) -> Mask:
    """Control characters had to go from a text or the name."""
    cleaned = np.zeros(len(posts), dtype=np.bool_)
    for name in TEXTS:
        cleaned |= posts.text(name).had_control_characters
    return cleaned


def already_released(posts: Posts) -> Mask:
    """Released to Millennium in an earlier batch."""
    return posts.is_released


def protected_identity(posts: Posts) -> Mask:
    """Sekretessmarkering."""
    return posts.flag("sekretess")


_TWO_YEARS: Final = 24

TEXTS: Final = ("patient", "orsak", "planerade_atgarder", "anvandare")
"""The columns that are cleaned."""


def _target_contact_form(posts: Posts) -> pa.Array:
    forms = pa.array([row.kontaktform for row in posts.context.mappings.sdv_lists], pa.string())
    return pc.take(forms, pa.array(posts.category.target_list, mask=~posts.has_target_list))


def _recommended_list(posts: Posts, places: Places) -> pa.Array:
    """Name the target list; nothing where it is outside the unit's care areas."""
    names = pa.array([row.sdv_lista for row in posts.context.mappings.sdv_lists], pa.string())
    return pc.take(names, pa.array(posts.category.target_list[places], mask=~posts.list_in_care_area[places]))


def _care_areas(posts: Posts, places: Places) -> pa.Array:
    """Name the target list's care area and then the unit's own."""
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
    """Name the SDV lists of the unit's care areas that are closest to the category, the closest first."""
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


_CATEGORY: Final = ("kategori", "kontaktform")
_DATES: Final = ("boka_from", "boka_fore")
_CUTOFF: Final = (*_DATES, "enhet_hsa_id")
_BLOCKS, _ERROR, _WARNING, _INFO = Severity.BLOCKS, Severity.ERROR, Severity.WARNING, Severity.INFO

_TABLE: Final = (
    Rule("NOT_WAITING", "1, 8", _BLOCKS, ("vantar_pa_besok",), not_waiting),
    Rule("NOT_WAITING_ON_SDV_LIST", "1", _ERROR, ("vantar_pa_besok", *_CATEGORY), not_waiting_on_sdv_list),
    Rule("ID_MISSING", "2", _BLOCKS, ("personnummer",), id_missing),
    Rule("ID_INVALID", "2", _BLOCKS, ("personnummer",), id_invalid),
    Rule("ID_COORDINATION_NUMBER", "1, 2, 5", _BLOCKS, ("personnummer",), id_coordination_number),
    Rule("ID_RESERVE_NUMBER", "1, 2, 5", _BLOCKS, ("personnummer",), id_reserve_number, _reserve_kind),
    Rule("ID_UNSAFE_ON_SDV_LIST", "1", _ERROR, ("personnummer", *_CATEGORY), id_unsafe_on_sdv_list),
    Rule("TEST_PERSON", "", _BLOCKS, ("personnummer",), test_person),
    Rule("NAME_MISSING", "6", _BLOCKS, ("patient",), name_missing),
    Rule("FIRST_VISIT", "3", _BLOCKS, ("nybesok",), first_visit),
    Rule("DATE_MISSING", "2, 5", _BLOCKS, _DATES, date_missing, _missing_dates),
    Rule("DATE_INVERTED", "2, 5", _BLOCKS, _DATES, date_inverted),
    Rule("DATE_EXPIRED", "1, 5", _BLOCKS, ("boka_fore",), date_expired),
    Rule("ENDS_BEFORE_GO_LIVE", "2 steg 3", _BLOCKS, _CUTOFF, ends_before_go_live, _driftstart),
    Rule("WITHIN_CUTOFF", "2 steg 3", _BLOCKS, _CUTOFF, within_cutoff, _cutoff),
    Rule(
        "NOT_ELIGIBLE_ON_SDV_LIST",
        "2 steg 3, 3",
        _ERROR,
        ("nybesok", *_CUTOFF, *_CATEGORY),
        not_eligible_on_sdv_list,
    ),
    Rule("STRADDLES_CUTOFF", "2 steg 3", _INFO, _CUTOFF, straddles_cutoff, _cutoff),
    Rule("UNIT_UNPLANNED", "2", _BLOCKS, ("enhet_hsa_id",), unit_unplanned),
    Rule("UNIT_ALREADY_LIVE", "1", _BLOCKS, ("enhet_hsa_id",), unit_already_live, _driftstart),
    Rule("CATEGORY_UNKNOWN", "2 steg 1, 4", _BLOCKS, _CATEGORY, category_unknown, _suggestions),
    Rule("CATEGORY_NOT_MOVED", "2 steg 6, 4", _BLOCKS, _CATEGORY, category_not_moved, _recommended_list),
    Rule(
        "LIST_OUTSIDE_CARE_AREA",
        "3",
        _WARNING,
        ("enhet_hsa_id", *_CATEGORY),
        list_outside_care_area,
        _care_areas,
    ),
    Rule("CONTACT_FORM_MISMATCH", "3", _WARNING, _CATEGORY, contact_form_mismatch, _target_form),
    Rule(
        "BRANCH_NOT_IN_TEXT",
        "2 steg 4",
        _BLOCKS,
        ("filial", "orsak", "planerade_atgarder"),
        branch_not_in_text,
    ),
    Rule("ATTACHMENT_NOT_MIGRATED", "2 steg 5", _WARNING, ("har_bilaga",), attachment_not_migrated),
    Rule(
        "ATTACHMENT_WITHOUT_TEXT",
        "2 steg 5",
        _BLOCKS,
        ("har_bilaga", "orsak", "planerade_atgarder"),
        attachment_without_text,
    ),
    Rule("AGE_MISMATCH", "3", _WARNING, ("personnummer", *_DATES, *_CATEGORY), age_mismatch),
    Rule("AGE_IMPLAUSIBLE", "", _WARNING, ("personnummer", *_CATEGORY), age_implausible),
    Rule("DUPLICATE_POST", "", _WARNING, ("post_id",), duplicate_post),
    Rule("CONTACT_FORM_UNKNOWN", "", _WARNING, ("kontaktform",), contact_form_unknown),
    Rule(
        "DESCRIPTION_OVER_LIMIT",
        "6",
        _WARNING,
        ("anvandare", "orsak", "planerade_atgarder", "tidsatgang_min"),
        description_over_limit,
        _length,
    ),
    Rule("TEXT_CLEANED", "6", _INFO, TEXTS, text_cleaned),
    Rule("ALREADY_RELEASED", "", _BLOCKS, ("post_id",), already_released),
    Rule("PROTECTED_IDENTITY", "8", _INFO, ("sekretess",), protected_identity),
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.code: rule for rule in _TABLE})
"""Every rule by its code, in the order in which findings are listed."""

BUILT_IN_SEVERITIES: Final[Mapping[str, str]] = MappingProxyType({rule.code: rule.severity.value for rule in _TABLE})
"""Severities before a lead raises any: what ``mappings.load_mappings`` checks ``rule_severities.csv`` by."""

DISPOSITIONS: Final[tuple[tuple[Disposition, tuple[str, ...]], ...]] = (
    (Disposition.ALREADY_RELEASED, ("ALREADY_RELEASED",)),
    (Disposition.LEAVE, ("NOT_WAITING",)),
    (
        Disposition.HANDLE_MANUALLY,
        (
            "ID_MISSING",
            "ID_INVALID",
            "ID_COORDINATION_NUMBER",
            "ID_RESERVE_NUMBER",
            "TEST_PERSON",
            "NAME_MISSING",
        ),
    ),
    (Disposition.BOOK_IN_PMO, ("ENDS_BEFORE_GO_LIVE",)),
    (Disposition.BOOK_IN_MILLENNIUM, ("FIRST_VISIT",)),
    (Disposition.FIX_IN_PMO, ("DATE_MISSING", "DATE_INVERTED", "DATE_EXPIRED")),
    (Disposition.PLAN_UNIT, ("UNIT_UNPLANNED",)),
    (Disposition.BOOK_IN_MILLENNIUM, ("UNIT_ALREADY_LIVE", "WITHIN_CUTOFF")),
    (Disposition.FIX_IN_PMO, ("CATEGORY_UNKNOWN", "BRANCH_NOT_IN_TEXT", "ATTACHMENT_WITHOUT_TEXT")),
    (Disposition.MOVE_TO_SDV_LIST, ("CATEGORY_NOT_MOVED",)),
)
"""What a blocking finding leads to; the first row that holds decides, and a post with none is migrated."""

EDITION: Final = "2"
"""Another one when a rule or a disposition comes, goes or means something else: counts of two do not compare."""

RAISED: Final = Disposition.FIX_IN_PMO
"""What a rule outside ``DISPOSITIONS`` leads to once it blocks, just before ``MOVE_TO_SDV_LIST``."""


def severity(rule: Rule, posts: Posts) -> Severity:
    """Return a rule's severity in this run: as built in, as a lead raised it, or as the straddle policy says."""
    context = posts.context
    if rule.code == "STRADDLES_CUTOFF" and context.rules.straddle_policy is StraddlePolicy.REVIEW:
        return Severity.BLOCKS
    return Severity(context.mappings.raised.get(rule.code, rule.severity))
