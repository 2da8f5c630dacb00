"""Regler och listor: the SDV lists, the mapping and the rules, and how many posts each takes now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from waitlist.facts.mappings import CARE_AREAS, BaseCategory, Mappings, category_key
from waitlist.judge.categories import CategoryMatcher
from waitlist.judge.rules import DISPOSITIONS, RAISED, RULES, Disposition, Rule, Severity
from waitlist.reports.pages.history import dry_runs
from waitlist.reports.pages.reading import NoBatchError, ask, reading
from waitlist.staging import StagingStore
from waitlist.staging.dry_runs import DryRun
from waitlist.staging.queries import read_sql
from waitlist.staging.schema import schema_of
from waitlist.swedish.words import RULE_TEXTS

SHOWN: Final = 200
"""Unknown categories that are named; a hostile extract may have one in every post."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """An SDV list."""

    name: str
    care_area: str
    profession: str
    reason: str
    contact_form: str | None
    """What its name says: ``telefon``, ``video``, ``hembesok`` or nothing."""
    age_from: int | None
    """Lowest age in whole months."""
    age_to: int | None
    """Highest age in whole months."""
    mapped_from: int
    """Rows of the mapping that lead here."""
    on_it: int | None
    """Posts that lie on it now; None before the first dry run."""
    to_it: int | None
    """Posts on a base category that are to be moved to it."""
    note: str
    """Why it says what it says, as its owner wrote."""

    @property
    def used(self) -> bool:
        """Some post lies on it or is to be moved to it."""
        return bool(self.on_it or self.to_it)


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A base category and the list that is recommended for it."""

    category: str
    """Empty in the one row that the instruction leaves without a category; it takes no post."""
    contact_form: str | None
    """The contact form that the row is for; None for every form that no other row names."""
    list_name: str
    posts: int | None
    """Posts that it takes now, at units that have the list's care area; None before the first dry run. Rows of one
    category to one list share theirs."""
    note: str


@dataclass(frozen=True, slots=True)
class UnknownCategory:
    """A category in PMO that is neither a list nor mapped."""

    category: str
    """As PMO has it; empty where there is none."""
    posts: int
    units: int
    suggestions: tuple[str, ...]
    """The SDV lists closest to it, the closest first, of the care areas of the units where it is."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule."""

    code: str
    label: str
    chapter: str
    """Of the instruction; empty for a decision of this project."""
    severity: Severity
    """As it counts now."""
    raised: bool
    """A lead has raised it (``rule_severities.csv``)."""
    disposition: Disposition | None
    """What a finding leads to where nothing that stands above it does; None where it decides nothing."""
    text: str
    """What staff are to do."""
    posts: int | None
    """Posts with this finding now; None before the first dry run."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The page."""

    batch: DryRun | None
    """The dry run that the figures are from; None where there is none yet."""
    rules: tuple[RuleRow, ...]
    lists: tuple[ListRow, ...]
    mapping: tuple[MappingRow, ...]
    unknown: tuple[UnknownCategory, ...]
    """The most frequent first, at most ``SHOWN``."""
    unknown_categories: int
    """How many there are."""
    unknown_posts: int


def read_catalogue(store: StagingStore, mappings: Mappings) -> Catalogue:
    """Read the page; without a dry run it says what there is, without figures.

    Raises:
        StagingError: see ``reading``.
    """
    try:
        with reading(store, "reading the catalogue") as connection:
            batch = dry_runs(connection)[-1]
            categories = ask(connection, "count_categories", batch_id=batch.batch_id).all()
            counting = sa.text(read_sql("count_findings", schema_of(connection.engine)))
            findings = {row.rule: row.posts for row in connection.execute(counting, {"batch_id": batch.batch_id})}
            use = _Use(mappings, categories)
            unknown = _with_suggestions(connection, batch.batch_id, use.unknown[:SHOWN], mappings)
    except NoBatchError:
        return Catalogue(None, _rules(mappings, None), _lists(mappings, None), _mapping(mappings, None), (), 0, 0)
    return Catalogue(
        batch=batch,
        rules=_rules(mappings, findings),
        lists=_lists(mappings, use),
        mapping=_mapping(mappings, use),
        unknown=unknown,
        unknown_categories=len(use.unknown),
        unknown_posts=sum(each.posts for each in use.unknown),
    )


class _Use:
    """What the categories of a batch mean, counted."""

    def __init__(self, mappings: Mappings, rows: Sequence[sa.Row[Any]]) -> None:
        names = [row.kategori for row in rows]
        matched = CategoryMatcher(mappings).match(pa.array(names, pa.string()), pa.nulls(len(names), pa.string()))
        known = {category_key(row.kategori) for row in mappings.base_categories if row.kategori}
        self.on_list: dict[str, int] = defaultdict(int)
        self.to_list: dict[str, int] = defaultdict(int)
        self.by_row: dict[tuple[str, str], int] = defaultdict(int)
        self.unknown: list[UnknownCategory] = []
        for row, own in zip(rows, matched.own_list.tolist(), strict=True):
            category = row.kategori or ""
            if own >= 0:
                self.on_list[mappings.sdv_lists[own].sdv_lista] += row.posts
            elif category_key(category) in known:
                # Which row of the mapping took the post follows from the list that was recommended then; a list
                # outside the unit's care areas was not.
                if row.recommended_list is not None:
                    self.to_list[row.recommended_list] += row.posts
                    self.by_row[category_key(category), row.recommended_list] += row.posts
            else:
                self.unknown.append(UnknownCategory(category, row.posts, row.units, ()))


def _with_suggestions(
    connection: sa.Connection, batch_id: str, unknown: Sequence[UnknownCategory], mappings: Mappings
) -> tuple[UnknownCategory, ...]:
    named = tuple(each.category for each in unknown)
    areas: dict[str, set[str]] = defaultdict(set)
    for row in ask(connection, "list_category_units", batch_id=batch_id, categories=named) if named else ():
        unit = mappings.units.get((row.enhet_hsa_id or "").strip())
        areas[row.kategori] |= set(CARE_AREAS) if unit is None else unit.vardomraden
    suggest = CategoryMatcher(mappings).suggest
    return tuple(replace(each, suggestions=suggest(each.category, None, areas[each.category])) for each in unknown)


def _rules(mappings: Mappings, posts: Mapping[str, int] | None) -> tuple[RuleRow, ...]:
    return tuple(
        RuleRow(
            code=rule.code,
            label=RULE_TEXTS[rule.code].label,
            chapter=rule.chapter,
            severity=Severity(mappings.raised.get(rule.code, rule.severity)),
            raised=rule.code in mappings.raised,
            disposition=_leads_to(rule, mappings),
            text=RULE_TEXTS[rule.code].action,
            posts=None if posts is None else posts.get(rule.code, 0),
        )
        for rule in RULES.values()
    )


def _leads_to(rule: Rule, mappings: Mappings) -> Disposition | None:
    decided = (disposition for disposition, codes in DISPOSITIONS if rule.code in codes)
    return next(decided, RAISED if rule.code in mappings.raised else None)


def _lists(mappings: Mappings, use: _Use | None) -> tuple[ListRow, ...]:
    return tuple(
        ListRow(
            name=row.sdv_lista,
            care_area=row.vardomrade,
            profession=row.yrkeskategori,
            reason=row.vardkontaktsorsak,
            contact_form=row.kontaktform,
            age_from=row.alder_fran_man,
            age_to=row.alder_till_man,
            mapped_from=sum(mapped.sdv_lista == row.sdv_lista for mapped in mappings.base_categories),
            on_it=None if use is None else use.on_list.get(row.sdv_lista, 0),
            to_it=None if use is None else use.to_list.get(row.sdv_lista, 0),
            note=row.note,
        )
        for row in mappings.sdv_lists
    )


def _mapping(mappings: Mappings, use: _Use | None) -> tuple[MappingRow, ...]:
    return tuple(
        MappingRow(row.kategori, row.kontaktform, row.sdv_lista, _taken(row, use), row.note)
        for row in mappings.base_categories
    )


def _taken(row: BaseCategory, use: _Use | None) -> int | None:
    return None if use is None else use.by_row.get((category_key(row.kategori), row.sdv_lista), 0)
