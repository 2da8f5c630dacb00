"""The expected outcome: each post's findings and disposition, from its parts.

Nothing here reads the post itself or the code that judges it. The statements hold for the default
settings (28 days, policy ``book``, no raised severity) at the as-of date of the generation. What holds where the
person service is asked is stated beside: there the service has answered about every person that waits, and its test
records are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from waitlist.simulator.components import (
    Branch,
    Category,
    Components,
    Contact,
    Control,
    Dates,
    Name,
    Text,
)
from waitlist.simulator.persons import Identity
from waitlist.simulator.register import Answer

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]

SCHEMA: Final = pa.schema(
    [
        pa.field("post_id", pa.int64(), nullable=False),
        pa.field("enhet_hsa_id", pa.string(), nullable=False),
        pa.field("disposition", pa.string(), nullable=False),
        pa.field("findings", pa.list_(pa.string()), nullable=False),
        pa.field("recommended_list", pa.string()),
        pa.field("scenario", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("disposition_with_service", pa.string(), nullable=False),
        pa.field("findings_with_service", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row for each post in an extract at the as-of date; findings are sorted codes.

``answer`` is the planted answer of the person service about the post's person (``register.Answer``), null where it is
ordinary. Without the service ``disposition`` and ``findings`` hold, with it the last two columns.
"""

_MISSING: Final = (Identity.MISSING,)
_COORDINATION: Final = (Identity.COORDINATION, Identity.COORDINATION_DAY_UNKNOWN)
_RESERVE: Final = (
    Identity.NATIONAL_RESERVE,
    Identity.STOCKHOLM,
    Identity.VASTRA_GOTALAND,
    Identity.VARMLAND,
    Identity.SKANE,
    Identity.CARELINK,
    Identity.UNKNOWN_RESERVE,
    Identity.INTERIM,
)
_NO_DATE: Final = (Dates.NO_FROM, Dates.NO_FORE, Dates.NEITHER, Dates.NO_FROM_EXPIRED)
_INVERTED: Final = (Dates.INVERTED, Dates.INVERTED_EXPIRED)
_EXPIRED: Final = (Dates.EXPIRED, Dates.EXPIRED_YESTERDAY, Dates.NO_FROM_EXPIRED, Dates.INVERTED_EXPIRED)
_BEFORE_GO_LIVE: Final = (Dates.BEFORE_GO_LIVE, Dates.BEFORE_GO_LIVE_LAST_DAY, Dates.TODAY)
_WITHIN: Final = (Dates.WITHIN, Dates.WITHIN_FIRST_DAY, Dates.WITHIN_LAST_DAY)
_STRADDLING: Final = (Dates.STRADDLING, Dates.STRADDLING_EDGE)

_FIRST_THAT_HOLDS: Final = (
    ("already_released", ("ALREADY_RELEASED",)),
    ("leave", ("NOT_WAITING",)),
    (
        "handle_manually",
        (
            "ID_MISSING",
            "ID_INVALID",
            "ID_COORDINATION_NUMBER",
            "ID_RESERVE_NUMBER",
            "TEST_PERSON",
            "NAME_MISSING",
            "PU_DECEASED",
            "PU_NUMBER_CHANGED",
            "PU_DEREGISTERED",
            "PU_NOT_FOUND",
            "PU_TEST_PERSON",
        ),
    ),
    ("book_in_pmo", ("ENDS_BEFORE_GO_LIVE",)),
    ("book_in_millennium", ("FIRST_VISIT",)),
    ("fix_in_pmo", ("DATE_MISSING", "DATE_INVERTED", "DATE_EXPIRED")),
    ("plan_unit", ("UNIT_UNPLANNED",)),
    ("book_in_millennium", ("UNIT_ALREADY_LIVE", "WITHIN_CUTOFF")),
    ("fix_in_pmo", ("CATEGORY_UNKNOWN", "BRANCH_NOT_IN_TEXT", "ATTACHMENT_WITHOUT_TEXT")),
    ("move_to_sdv_list", ("CATEGORY_NOT_MOVED",)),
    ("migrate", ()),
)

_FIRE: Final[Mapping[str, tuple[Answer, ...]]] = {
    "PU_DECEASED": (Answer.DECEASED, Answer.FOUND_DEAD, Answer.DEAD_AFTER_RELEASE),
    "PU_NUMBER_CHANGED": (Answer.NUMBER_CHANGED, Answer.NUMBER_NOT_PRESENT),
    # A record that has only the date of being found dead is deregistered without a reason.
    "PU_DEREGISTERED": (Answer.EMIGRATED, Answer.DEREGISTERED, Answer.FOUND_DEAD),
    "PU_NOT_FOUND": (Answer.UNKNOWN,),
    "PU_TEST_PERSON": (Answer.TEST_PERSON,),
    "PU_NAME_MISMATCH": (Answer.SOMEBODY_ELSE, Answer.NEW_SURNAME),
}
_PROTECTED: Final = (Answer.PROTECTED_PERSON, Answer.PROTECTED_RECORD)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Facts about the posts besides their components; arrays of shape (n,)."""

    post_id: Numbers
    hsa_id: npt.NDArray[np.object_]
    has_row: Mask
    """The unit has a row in ``units.csv``."""
    has_go_live: Mask
    is_live: Mask
    target: npt.NDArray[np.object_]
    """Name of the target list; None where the category is unknown."""
    in_area: Mask
    """The target list's care area is one of the unit's."""
    for_children: Mask
    """The target list is one of child health."""
    infant_by_sign: Mask
    """The person is under two years, and the number is written with ten digits and a hyphen."""
    says_other_form: Mask
    """The target list's name has a contact form, and the post has another."""
    protected: Mask


def expect(parts: Components, outcome: Outcome) -> dict[str, Mask]:
    """Return for each finding the posts that get it."""
    on_list = parts.category == Category.SDV
    known = on_list | (parts.category == Category.BASE)
    in_order = ~parts.is_any("dates", *_NO_DATE, *_INVERTED)
    no_text = parts.text == Text.EMPTY
    attached = parts.attachments > 0
    missing = parts.is_any("identity", *_MISSING)
    coordination = parts.is_any("identity", *_COORDINATION)
    reserve = parts.is_any("identity", *_RESERVE)
    personnummer = parts.is_any("identity", Identity.TRUE, Identity.TEST_PERSON)
    straddles = outcome.has_go_live & parts.is_any("dates", *_STRADDLING)
    early = outcome.has_go_live & parts.is_any("dates", *_BEFORE_GO_LIVE)
    too_early = early & ~outcome.is_live
    within = straddles | outcome.has_go_live & parts.is_any("dates", *_WITHIN) | early & outcome.is_live
    return {
        "NOT_WAITING": ~parts.waiting,
        "NOT_WAITING_ON_SDV_LIST": ~parts.waiting & on_list,
        "ID_MISSING": missing,
        "ID_INVALID": ~(missing | coordination | reserve | personnummer),
        "ID_COORDINATION_NUMBER": coordination,
        "ID_RESERVE_NUMBER": reserve,
        "ID_UNSAFE_ON_SDV_LIST": ~personnummer & on_list,
        "TEST_PERSON": parts.identity == Identity.TEST_PERSON,
        "NAME_MISSING": parts.is_any("name", Name.MISSING, Name.CONTROL_ONLY),
        "FIRST_VISIT": parts.first_visit,
        "DATE_MISSING": parts.is_any("dates", *_NO_DATE),
        "DATE_INVERTED": parts.is_any("dates", *_INVERTED),
        "DATE_EXPIRED": parts.is_any("dates", *_EXPIRED),
        "ENDS_BEFORE_GO_LIVE": too_early,
        "WITHIN_CUTOFF": within,
        "NOT_ELIGIBLE_ON_SDV_LIST": (parts.first_visit | within | too_early) & on_list,
        "STRADDLES_CUTOFF": straddles,
        "UNIT_UNPLANNED": ~outcome.has_go_live,
        "UNIT_ALREADY_LIVE": outcome.is_live,
        "CATEGORY_UNKNOWN": ~known,
        "CATEGORY_NOT_MOVED": parts.category == Category.BASE,
        "LIST_OUTSIDE_CARE_AREA": known & outcome.has_row & ~outcome.in_area,
        "CONTACT_FORM_MISMATCH": outcome.says_other_form,
        "BRANCH_NOT_IN_TEXT": parts.is_any("branch", Branch.NOT_NAMED, Branch.ONLY_CLINICIAN, Branch.IN_PART),
        "ATTACHMENT_NOT_MIGRATED": attached,
        "ATTACHMENT_WITHOUT_TEXT": attached & no_text,
        "AGE_MISMATCH": parts.wrong_age & personnummer & in_order,
        "AGE_IMPLAUSIBLE": (parts.identity == Identity.TRUE) & outcome.infant_by_sign & known & ~outcome.for_children,
        "DUPLICATE_POST": parts.duplicate,
        "CONTACT_FORM_UNKNOWN": parts.contact == Contact.UNKNOWN,
        "DESCRIPTION_OVER_LIMIT": parts.is_any("text", Text.LONG, Text.HUGE),
        "TEXT_CLEANED": (parts.control != Control.NONE) | parts.is_any("name", Name.CONTROL_ONLY, Name.WITH_CONTROL),
        "ALREADY_RELEASED": parts.released,
        "PROTECTED_IDENTITY": outcome.protected,
    }


def expect_with_service(parts: Components, expected: Mapping[str, Mask], answers: Texts) -> dict[str, Mask]:
    """Return for each finding the posts that get it where the person service is asked.

    Args:
        parts: the components of the posts.
        expected: what ``expect`` says of them.
        answers: the planted answer about each post's person, or None.
    """
    fired = {code: np.isin(answers, causes) for code, causes in _FIRE.items()}
    # Names are compared where somebody waits, or where a released post is open.
    fired["PU_NAME_MISMATCH"] &= parts.waiting | parts.released
    return {
        **expected,
        **fired,
        "PROTECTED_IDENTITY": expected["PROTECTED_IDENTITY"] | np.isin(answers, _PROTECTED),
    }


def decide(expected: Mapping[str, Mask]) -> Texts:
    """Return the disposition of each post by its findings."""
    undecided = np.ones_like(expected["NOT_WAITING"])
    disposition = np.empty(len(undecided), dtype=object)
    for name, causes in _FIRST_THAT_HOLDS:
        holds = undecided & (
            np.any([expected[code] for code in causes if code in expected], axis=0) if causes else True
        )
        disposition[holds] = name
        undecided &= ~holds
    return disposition


def truth_table(
    outcome: Outcome,
    expected: Mapping[str, Mask],
    with_service: Mapping[str, Mask],
    extracted: Mask,
    planted: tuple[pa.Array, Texts],
) -> pa.Table:
    """Return the truth of a chunk, for the extracted posts only.

    Args:
        outcome: facts about the posts.
        expected: what ``expect`` says of them.
        with_service: what ``expect_with_service`` says of them.
        extracted: which posts are in an extract.
        planted: each post's scenario, and the answer about its person; null and None where nothing was planted.
    """
    scenarios, answers = planted
    to_move = expected["CATEGORY_NOT_MOVED"] & ~expected["LIST_OUTSIDE_CARE_AREA"]
    columns = [
        pa.array(outcome.post_id[extracted]),
        pa.array(outcome.hsa_id[extracted], pa.string()),
        pa.array(decide(expected)[extracted], pa.string()),
        _codes(expected, extracted),
        pa.array(outcome.target[extracted], pa.string(), mask=~to_move[extracted]),
        scenarios.filter(pa.array(extracted)),
        pa.array(answers[extracted], pa.string()),
        pa.array(decide(with_service)[extracted], pa.string()),
        _codes(with_service, extracted),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _codes(expected: Mapping[str, Mask], extracted: Mask) -> pa.Array:
    """Return the sorted codes of each extracted post."""
    codes = sorted(expected)
    fired = np.stack([expected[code][extracted] for code in codes], axis=1)
    offsets = np.concatenate([[0], np.cumsum(fired.sum(axis=1))])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(codes, pa.string()).take(pa.array(np.nonzero(fired)[1]))
    )
