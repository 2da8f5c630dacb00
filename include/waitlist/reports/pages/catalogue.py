"""Regler och listor: the SDV lists, the mapping and the rules, and how many posts each of them applies to now."""

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
"""How many unknown categories are named; a hostile extract may have one in every post."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """An SDV list."""

    name: str
    care_area: str
    profession: str
    reason: str
    contact_form: str | None
    """The contact form in its name: ``telefon``, ``video``, ``hembesok`` or None."""
    age_from: int | None
    """Lowest age in whole months."""
    age_to: int | None
    """Highest age in whole months."""
    mapped_from: int
    """Rows of the mapping that lead here."""
    on_it: int | None
    """Posts that are on it now; None before the first dry run."""
    to_it: int | None
    """Posts on a base category that must be moved to it."""
    note: str
    """The owner's note on the row."""

    @property
    def used(self) -> bool:
        """Whether a post is on it or must be moved to it."""
        return bool(self.on_it or self.to_it)


@dataclass(frozen=True, slots=True)
class MappingRow:
    """A base category and the list that is recommended for it."""

    category: str
    """Empty in the one row that has no category in the instruction; that row applies to no post."""
    contact_form: str | None
    """The contact form that the row applies to; None for every form that no other row has."""
    list_name: str
    posts: int | None
    """Posts that it applies to now, at units that have the list's care area; None before the first dry run. Rows of
    one category to one list have one count in common."""
    note: str


@dataclass(frozen=True, slots=True)
class UnknownCategory:
    """A category in PMO that is neither a list nor mapped."""

    category: str
    """The text in PMO; empty where there is no category."""
    posts: int
    units: int
    suggestions: tuple[str, ...]
    """The most similar SDV lists, the most similar first, in the care areas of the units that use it."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule."""

    code: str
    label: str
    chapter: str
    """The chapter of the instruction; empty for a decision of this project."""
    severity: Severity
    """The severity that applies now."""
    raised: bool
    """A lead has raised it (``rule_severities.csv``)."""
    disposition: Disposition | None
    """The disposition of a post with this finding and no finding of higher rank; None where it decides nothing."""
    text: str
    """What staff must do."""
    posts: int | None
    """Posts with this finding now; None before the first dry run."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The page."""

    batch: DryRun | None
    """The dry run that the figures are from; None before the first dry run."""
    rules: tuple[RuleRow, ...]
    lists: tuple[ListRow, ...]
    mapping: tuple[MappingRow, ...]
    unknown: tuple[UnknownCategory, ...]
    """The unknown categories, the most frequent first, at most ``SHOWN``."""
    unknown_categories: int
    """The number of all unknown categories."""
    unknown_posts: int


def read_catalogue(store: StagingStore, mappings: Mappings) -> Catalogue:
    """Read the page; before the first dry run it has no figures.

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
        unknown_posts=sum(category.posts for category in use.unknown),
    )


class _Use:
    """How many posts of a batch each list and each row of the mapping applies to."""

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
                # The recommended list shows which row of the mapping applied to the post. A list outside the
                # unit's care areas was never recommended.
                if row.recommended_list is not None:
                    self.to_list[row.recommended_list] += row.posts
                    self.by_row[category_key(category), row.recommended_list] += row.posts
            else:
                self.unknown.append(UnknownCategory(category, row.posts, row.units, ()))


def _with_suggestions(
    connection: sa.Connection, batch_id: str, unknown: Sequence[UnknownCategory], mappings: Mappings
) -> tuple[UnknownCategory, ...]:
    names = tuple(category.category for category in unknown)
    areas: dict[str, set[str]] = defaultdict(set)
    for row in ask(connection, "list_category_units", batch_id=batch_id, categories=names) if names else ():
        unit = mappings.units.get((row.enhet_hsa_id or "").strip())
        areas[row.kategori] |= set(CARE_AREAS) if unit is None else unit.vardomraden
    suggest = CategoryMatcher(mappings).suggest
    return tuple(replace(row, suggestions=suggest(row.category, None, areas[row.category])) for row in unknown)


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
        MappingRow(row.kategori, row.kontaktform, row.sdv_lista, _posts_of(row, use), row.note)
        for row in mappings.base_categories
    )


def _posts_of(row: BaseCategory, use: _Use | None) -> int | None:
    return None if use is None else use.by_row.get((category_key(row.kategori), row.sdv_lista), 0)
