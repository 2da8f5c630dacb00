"""The mapping files: the facts that the rules use, in CSV files that the leads of the migration edit.

The files decide how each patient is handled, so nothing in them is guessed: ``load_mappings`` reports every fault of
every file at once, and loads nothing if there is one. Only the dashboard shows what is without faults
(``read_mappings``), beside the faults. Besides their own columns the files have ``owner`` (the role
that is responsible for the row) and ``note`` (the reason for it).
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from waitlist import paths
from waitlist.columns.texts import fold
from waitlist.exceptions import MappingError
from waitlist.facts.csv_table import CsvTable, shown
from waitlist.facts.number_patterns import NumberPattern

CHILD_HEALTH: Final = "Bhv"
CARE_AREAS: Final = (CHILD_HEALTH, "Um", "Pv")
"""Values of ``vardomrade``: child health, youth clinics, health centres (chapter 3)."""

PROVIDERS: Final = ("region", "privat")
"""Values of ``huvudman``."""

TEST_PERSONS: Final = "test_persons.csv"
CONTACTS: Final = "contacts.csv"
MOST_TEST_NUMBERS: Final = 1_000
"""Numbers that a row of ``test_persons.csv`` may match: a wider pattern would exclude real patients."""

_LIST_CONTACT_FORMS: Final = ("telefon", "video", "hembesok")
_POST_CONTACT_FORMS: Final = ("besok", *_LIST_CONTACT_FORMS)
_ALIASES: Final = {"bvc": "bhv", "psy": "psyk"}
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_HSA_ID: Final = re.compile(r"SE(?:16)?[0-9]{10}-[A-Za-z0-9]+")
_HSA_ID_LONGEST: Final = 31
_REMARKS: Final = ("owner", "note")
_LATER: Final[Mapping[str, Collection[str]]] = {"units.csv": ("besok_per_vecka", "huvudman")}
"""Columns that came in a later release: a file without them is whole, and its cells are empty."""
_NO_RESULT: Final = (*_REMARKS, "besok_per_vecka", "huvudman")
"""Columns on which no disposition and no booking request depends: a change in them refuses no wave that waits."""
REFERENCES: Final = "millennium_refs.csv"
"""The file of the receiver's references; a deployment that hands on no such references has none."""
PLACE: Final = "plats"
VISIT_TYPE: Final = "besokstyp"
_FHIR_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_CODED: Final = re.compile(r"[^\s|]+\|[^\s|]+")


@dataclass(frozen=True, slots=True)
class SdvList:
    """A list whose posts are migrated (``sdv_lists.csv``, chapter 3)."""

    sdv_lista: str
    """The name, exactly as the instruction writes it."""
    vardomrade: str
    """One of ``CARE_AREAS``."""
    yrkeskategori: str
    vardkontaktsorsak: str
    kontaktform: str | None
    """``telefon``, ``video`` or ``hembesok`` if the list's name contains it, else None."""
    alder_fran_man: int | None
    """Lowest age in whole months, inclusive; None without a bound."""
    alder_till_man: int | None
    """Highest age in whole months, inclusive; None without a bound."""
    besokstyp: str | None
    owner: str
    note: str

    @property
    def visit_type(self) -> str:
        """Besökstyp of a booking request from this list (chapter 6)."""
        return self.besokstyp or self.sdv_lista


@dataclass(frozen=True, slots=True)
class BaseCategory:
    """The list that is recommended for a base category (``base_categories.csv``, chapter 4)."""

    kategori: str
    """Empty in the one row for which the instruction names no category; that row matches no post."""
    kontaktform: str | None
    """The contact form of the posts that the row applies to; None: every form that no other row names."""
    sdv_lista: str
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A care unit and its go-live (``units.csv``)."""

    hsa_id: str
    enhet: str
    vardomraden: frozenset[str]
    """At least one of ``CARE_AREAS``."""
    driftstart: dt.date | None
    """Go-live; None while it is not decided."""
    vag: str | None
    begard_plats: str | None
    """Millennium's location; None for the unit's name in the extract (chapter 6)."""
    vardinrattning: str | None
    """Millennium's facility; None for the unit's name in the extract (chapter 6)."""
    besok_per_vecka: int | None
    """The visits a week that the unit can book from go-live on, as it states them; None: unknown."""
    huvudman: str | None
    """The kind of provider that runs the unit, one of ``PROVIDERS``; None: not stated."""
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class ReserveNumber:
    """A known format of reserve numbers (``reserve_numbers.csv``)."""

    namn: str
    monster: re.Pattern[str]
    """Matches the whole number, without its sign and with its letters in upper case."""
    oid: str | None
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class RaisedSeverity:
    """A warning that a lead has raised to ``blocks`` (``rule_severities.csv``)."""

    rule: str
    severity: str
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class PersonForTests:
    """One or more test patients, for whom no real person exists (``test_persons.csv``)."""

    nummer: NumberPattern
    """Twelve digits, or a regular expression over them; it matches the whole number."""
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class TargetReference:
    """What the receiver calls a place or a visit type (``millennium_refs.csv``)."""

    art: str
    """``PLACE`` or ``VISIT_TYPE``."""
    namn: str
    """The name in the booking request."""
    referens: str
    """Of a place the id of its Location; of a visit type ``system|code``."""
    owner: str
    note: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Where the staff of some units ask (``contacts.csv``, chapter 7)."""

    vardomrade: str | None
    """One of ``CARE_AREAS``; None: units of every care area."""
    huvudman: str | None
    """One of ``PROVIDERS``; None: units of every provider."""
    adress: str
    owner: str
    note: str


@dataclass(frozen=True)
class Mappings:
    """The content of all mapping files, without faults."""

    sdv_lists: tuple[SdvList, ...]
    base_categories: tuple[BaseCategory, ...]
    units: Mapping[str, Unit]
    """By HSA-id."""
    reserve_numbers: tuple[ReserveNumber, ...]
    """In the order of the file: formats overlap, and the first that matches is used."""
    raised: Mapping[str, str]
    """Rule code to the severity that it has been raised to."""
    digests: Mapping[str, str]
    """SHA-256 by file, of the content that can change a result: no owners, notes, line endings or column order."""
    test_persons: tuple[PersonForTests, ...] = ()
    contacts: tuple[Contact, ...] = ()
    """In the order of the file: the first that fits is used."""
    references: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """``referens`` by ``art`` and ``namn``; empty if there is no file."""

    def addresses_of(self, hsa_id: str) -> tuple[str, ...]:
        """Return where a unit's staff ask; several where ``units.csv`` does not state who runs the unit."""
        unit = self.units.get(hsa_id)
        found: dict[str, None] = {}
        for area in sorted(unit.vardomraden) if unit else ():
            rows = [row for row in self.contacts if row.vardomrade in {None, area}]
            if unit is not None and (unit.huvudman is not None or any(row.huvudman is None for row in rows[:1])):
                rows = [row for row in rows if row.huvudman in {None, unit.huvudman}][:1]
            found |= {row.adress: None for row in rows}
        return tuple(found)

    def name_of(self, hsa_id: str) -> str:
        """Return a unit's name in ``units.csv``, or its HSA-id if the file does not have the unit."""
        unit = self.units.get(hsa_id)
        return unit.enhet if unit else hsa_id


def category_key(text: str) -> str:
    """Return the form in which categories are compared.

    It ignores outer white space, case, Unicode form, the length of white space, and a missing space before ``(``.
    """
    return re.sub(r"(?<=[^ ])\(", " (", fold(text))


def list_key(text: str) -> str:
    """Return the form in which names of SDV lists are compared: as ``category_key``, with aliases replaced.

    The instruction sometimes writes ``Bvc`` and ``Psy`` for lists named ``Bhv`` and ``Psyk`` (chapter 3). Only a whole
    word is an alias.
    """
    return " ".join(_ALIASES.get(word, word) for word in category_key(text).split(" "))


def is_hsa_id(text: str) -> bool:
    """Return whether a text has the form of an HSA-id."""
    return len(text) <= _HSA_ID_LONGEST and _HSA_ID.fullmatch(text) is not None


def load_mappings(directory: Path, *, raisable: Mapping[str, str]) -> Mappings:
    """Read all mapping files of a folder.

    Args:
        directory: the folder of the files; if it has no ``test_persons.csv``, the project's own is read.
        raisable: built-in severity of every rule, by code; only a ``warning`` may be raised.

    Raises:
        MappingError: with every fault of every file, each as ``file:line: what is wrong``.
    """
    mappings, faults = read_mappings(directory, raisable=raisable)
    refuse_faults(directory, faults)
    return mappings


def refuse_faults(directory: Path, faults: Sequence[str]) -> None:
    """Raise where mapping files have a fault.

    Raises:
        MappingError: with every fault.
    """
    if faults:
        raise MappingError("\n".join([f"mapping files at fault in {directory}:", *(f"  {fault}" for fault in faults)]))


def read_mappings(directory: Path, *, raisable: Mapping[str, str]) -> tuple[Mappings, list[str]]:
    """Read the rows that have no fault, and every fault.

    Args:
        directory: as for ``load_mappings``.
        raisable: as for ``load_mappings``.

    Returns:
        what was read, which nothing may be judged by where there is a fault; and the faults of every file, each as
        ``file:line: what is wrong``.
    """
    sdv_lists = _table(directory, "sdv_lists.csv", SdvList)
    base_categories = _table(directory, "base_categories.csv", BaseCategory)
    units = _table(directory, "units.csv", Unit)
    reserve_numbers = _table(directory, "reserve_numbers.csv", ReserveNumber)
    severities = _table(directory, "rule_severities.csv", RaisedSeverity)
    own_persons = (directory / TEST_PERSONS).exists()
    test_persons = _table(directory if own_persons else paths.MAPPINGS, TEST_PERSONS, PersonForTests)
    own_contacts = (directory / CONTACTS).exists()
    contacts = _table(directory if own_contacts else paths.MAPPINGS, CONTACTS, Contact)
    asked = list(_contacts(contacts))
    references = _table(directory, REFERENCES, TargetReference) if (directory / REFERENCES).exists() else None
    # Every row is read before the rows with faults are left out: some faults are found by comparing files.
    contents = (
        list(_sdv_lists(sdv_lists)),
        list(_base_categories(base_categories, sdv_lists)),
        list(_units(units)),
        list(_reserve_numbers(reserve_numbers)),
        list(_raised_severities(severities, raisable)),
        list(_test_persons(test_persons)),
    )
    told = [] if references is None else list(_target_references(references))
    tables = [sdv_lists, base_categories, units, reserve_numbers, severities, test_persons]
    rows: list[Sequence[Any]] = [*contents]
    if references is not None:
        tables.append(references)
        rows.append(told)
        told = references.without_faults(told)
    lists, categories, known_units, formats, raised, persons = contents
    mappings = Mappings(
        sdv_lists=tuple(sdv_lists.without_faults(lists)),
        base_categories=tuple(base_categories.without_faults(categories)),
        units={unit.hsa_id: unit for unit in units.without_faults(known_units)},
        reserve_numbers=tuple(reserve_numbers.without_faults(formats)),
        raised={row.rule: row.severity for row in severities.without_faults(raised)},
        digests={
            table.path.name: _digest(of_file)
            for table, of_file in zip(tables, rows, strict=True)
            # Without a row it decides nothing: a batch of a release that had no such file stays valid.
            if of_file or table is not references
        },
        test_persons=tuple(test_persons.without_faults(persons)),
        # No result depends on these addresses, so the file has no digest.
        contacts=tuple(contacts.without_faults(asked)),
        references={(row.art, row.namn): row.referens for row in told},
    )
    return mappings, [fault for table in (*tables, contacts) for fault in table.faults()]


def _table(directory: Path, name: str, row_type: type[Any]) -> CsvTable:
    columns = [column.name for column in fields(row_type)]
    return CsvTable(directory / name, columns, free_text=_REMARKS, later=_LATER.get(name, ()))


def _sdv_lists(table: CsvTable) -> Iterator[SdvList]:
    for row in table.rows:
        row.unique("sdv_lista", list_key(row.cells["sdv_lista"]))
        lowest, highest = row.whole_number("alder_fran_man"), row.whole_number("alder_till_man")
        if lowest is not None and highest is not None and lowest > highest:
            row.fault(f"alder_fran_man: {lowest} is above alder_till_man {highest}")
        yield SdvList(
            sdv_lista=row.required("sdv_lista"),
            vardomrade=row.one_of("vardomrade", CARE_AREAS),
            yrkeskategori=row.required("yrkeskategori"),
            vardkontaktsorsak=row.required("vardkontaktsorsak"),
            kontaktform=row.optional_one_of("kontaktform", _LIST_CONTACT_FORMS),
            alder_fran_man=lowest,
            alder_till_man=highest,
            besokstyp=row.optional("besokstyp"),
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _base_categories(table: CsvTable, sdv_lists: CsvTable) -> Iterator[BaseCategory]:
    names = {row.cells["sdv_lista"] for row in sdv_lists.rows}
    keys = {list_key(name) for name in names}
    for row in table.rows:
        category, target = row.cells["kategori"], row.required("sdv_lista")
        row.unique("kategori and kontaktform", (category_key(category), row.cells["kontaktform"]))
        if list_key(category) in keys:
            row.fault(f"kategori: {shown(category)} is the name of an SDV list")
        if target and target not in names and sdv_lists.whole:
            row.fault(f"sdv_lista: {shown(target)} is not in {sdv_lists.path.name}")
        yield BaseCategory(
            kategori=category,
            kontaktform=row.optional_one_of("kontaktform", _POST_CONTACT_FORMS),
            sdv_lista=target,
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _units(table: CsvTable) -> Iterator[Unit]:
    for row in table.rows:
        hsa_id = row.required("hsa_id")
        row.unique("hsa_id", hsa_id)
        if hsa_id and not is_hsa_id(hsa_id):
            row.fault(f"hsa_id: {shown(hsa_id)} is no HSA-id")
        yield Unit(
            hsa_id=hsa_id,
            enhet=row.required("enhet"),
            vardomraden=row.some_of("vardomraden", CARE_AREAS),
            driftstart=row.date("driftstart"),
            vag=row.optional("vag"),
            begard_plats=row.optional("begard_plats"),
            vardinrattning=row.optional("vardinrattning"),
            besok_per_vecka=row.whole_number("besok_per_vecka"),
            huvudman=row.optional_one_of("huvudman", PROVIDERS),
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _contacts(table: CsvTable) -> Iterator[Contact]:
    for row in table.rows:
        row.unique("vardomrade and huvudman", (row.cells["vardomrade"], row.cells["huvudman"]))
        address = row.required("adress")
        if address and not _ADDRESS.fullmatch(address):
            row.fault(f"adress: {shown(address)} is no e-mail address")
        yield Contact(
            vardomrade=row.optional_one_of("vardomrade", CARE_AREAS),
            huvudman=row.optional_one_of("huvudman", PROVIDERS),
            adress=address,
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _reserve_numbers(table: CsvTable) -> Iterator[ReserveNumber]:
    for row in table.rows:
        row.unique("namn", fold(row.cells["namn"]))
        yield ReserveNumber(
            namn=row.required("namn"),
            monster=row.pattern("monster"),
            oid=row.optional("oid"),
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _raised_severities(table: CsvTable, raisable: Mapping[str, str]) -> Iterator[RaisedSeverity]:
    for row in table.rows:
        rule = row.required("rule")
        row.unique("rule", rule)
        if rule and rule not in raisable:
            row.fault(f"rule: {shown(rule)} does not exist")
        elif rule and raisable[rule] != "warning":
            row.fault(f"rule: {rule} is {raisable[rule]}; only a warning may be raised")
        yield RaisedSeverity(
            rule=rule,
            severity=row.one_of("severity", ("blocks",)),
            owner=row.cells["owner"],
            note=row.cells["note"],
        )


def _test_persons(table: CsvTable) -> Iterator[PersonForTests]:
    for row in table.rows:
        row.unique("nummer", row.cells["nummer"])
        yield PersonForTests(
            nummer=row.numbers("nummer", MOST_TEST_NUMBERS), owner=row.cells["owner"], note=row.cells["note"]
        )


def _target_references(table: CsvTable) -> Iterator[TargetReference]:
    for row in table.rows:
        kind, name, text = row.one_of("art", (PLACE, VISIT_TYPE)), row.required("namn"), row.required("referens")
        row.unique("art and namn", (kind, name))
        if text and kind == PLACE and not _FHIR_ID.fullmatch(text):
            row.fault(f"referens: {shown(text)} is no id of a Location")
        elif text and kind == VISIT_TYPE and not _CODED.fullmatch(text):
            row.fault(f"referens: {shown(text)} is not written as system|code")
        yield TargetReference(kind, name, text, row.cells["owner"], row.cells["note"])


def _digest(rows: Iterable[Any]) -> str:
    facts = [
        {column.name: getattr(row, column.name) for column in fields(row) if column.name not in _NO_RESULT}
        for row in rows
    ]
    return hashlib.sha256(json.dumps(facts, default=_json_value, sort_keys=True).encode()).hexdigest()


def _json_value(value: object) -> str | list[str]:
    match value:
        case re.Pattern():
            return str(value.pattern)
        case NumberPattern():
            return value.text
        case dt.date():
            return value.isoformat()
        case frozenset():
            return sorted(value)
    raise TypeError(f"no canonical form for {type(value).__name__}")
