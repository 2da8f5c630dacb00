"""The columns of a booking request (chapter 6), declared here alone: name, type, label, origin, place in ``row_hash``.

The Arrow schema, the staging table, the SQL that computes ``row_hash``, the columns that a suite may name, the labels
and the column lineage all follow from ``COLUMNS``. A new column also needs a value in ``booking_request.build``, a
migration and a released view (``CONTRIBUTING.md``).
"""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class RequestColumn:
    """One column of a booking request.

    Attributes:
        name: in the staging table and in every Arrow table.
        type: the Arrow type: text, date or flag.
        label: the Swedish name that staff use.
        sources: the columns of the source query (contract 1) that its value is made of or looked up by.
        facts: the mapping files' columns that it is taken from, as ``units.csv:begard_plats``.
        required: whether a staged request always has a value.
        length: the most characters that the staging table stores; None: no limit.
        since: the first version of ``row_hash`` that covers the column.
    """

    name: str
    type: pa.DataType
    label: str
    sources: tuple[str, ...]
    facts: tuple[str, ...] = ()
    required: bool = False
    length: int | None = None
    since: int = 1


COLUMNS: Final = (
    RequestColumn("person_id", pa.string(), "Person-ID", ("personnummer",), required=True, length=12),
    RequestColumn(
        "begard_plats", pa.string(), "Begärd plats", ("enhet_hsa_id", "enhet"),
        ("units.csv:hsa_id", "units.csv:enhet", "units.csv:begard_plats"),
    ),
    RequestColumn("patientnamn", pa.string(), "Patientnamn", ("patient",), required=True),
    RequestColumn("begart_startdatum", pa.date32(), "Begärt startdatum", ("boka_from",), required=True),
    RequestColumn("begart_slutdatum", pa.date32(), "Begärt slutdatum", ("boka_fore",), required=True),
    RequestColumn(
        "besokstyp", pa.string(), "Besökstyp", ("kategori",),
        ("sdv_lists.csv:sdv_lista", "sdv_lists.csv:besokstyp"), required=True,
    ),
    RequestColumn(
        "vardinrattning", pa.string(), "Vårdinrättning", ("enhet_hsa_id", "enhet"),
        ("units.csv:hsa_id", "units.csv:enhet", "units.csv:vardinrattning"),
    ),
    RequestColumn(
        "beskrivning", pa.string(), "Beskrivning", ("anvandare", "orsak", "planerade_atgarder", "tidsatgang_min"),
    ),
    # The person service is asked by the number, where it is asked.
    RequestColumn("sekretess", pa.bool_(), "Sekretessmarkering", ("sekretess", "personnummer"), required=True),
)  # fmt: skip
"""In the order in which they are hashed and stored, after ``post_id``. Add a new column at the end."""

NAMES: Final = tuple(column.name for column in COLUMNS)

HASH_VERSION: Final = max(column.since for column in COLUMNS)
"""The version of ``row_hash`` for batches that are opened now; a batch keeps its version."""


def hashed(version: int, columns: tuple[RequestColumn, ...] = COLUMNS) -> tuple[RequestColumn, ...]:
    """Return the columns that a version of ``row_hash`` covers, in their order.

    Raises:
        ValueError: this release does not have the version: a newer release made it.
    """
    if not 1 <= version <= max(column.since for column in columns):
        raise ValueError(f"row_hash has no version {version} in this release")
    return tuple(column for column in columns if column.since <= version)
