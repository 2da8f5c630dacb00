"""``row_hash`` in SQL, as ``judge.booking_request.row_hashes`` computes it, for databases that have SHA-256."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from waitlist.judge.request_columns import RequestColumn, hashed
from waitlist.staging.queries import read_sql

_COLUMNS: Final = "canonical_columns"
_SEPARATOR: Final[Mapping[str, str]] = MappingProxyType({"postgresql": "chr(31)", "sqlite": "char(31)"})
_DATE: Final[Mapping[str, str]] = MappingProxyType({"postgresql": "to_char({}, 'YYYY-MM-DD')", "sqlite": "{}"})


def lines_of_rows(post_ids: Iterable[int], row_hashes: Iterable[str]) -> bytes:
    """Return the lines whose SHA-256 an approval binds: post id and row hash of each booking request, by post id."""
    pairs = zip(post_ids, row_hashes, strict=True)
    return "".join(f"{post_id}\x1f{row_hash}\n" for post_id, row_hash in pairs).encode()


def find_changed_requests(dialect: str, schema: str | None, version: int) -> str:
    """Return the statement that finds the requests whose columns no longer match their ``row_hash``.

    Args:
        dialect: ``postgresql`` or ``sqlite``.
        schema: as for ``read_sql``.
        version: the batch's version of the hash.
    """
    texts = (_canonical_text(column, dialect) for column in hashed(version))
    joined = f" || {_SEPARATOR[dialect]} || ".join(texts)
    return read_sql(f"find_changed_requests.{dialect}", schema).replace(_COLUMNS, joined)


def _canonical_text(column: RequestColumn, dialect: str) -> str:
    if pa.types.is_boolean(column.type):
        return f"CASE WHEN {column.name} THEN '1' ELSE '0' END"
    text = _DATE[dialect].format(column.name) if pa.types.is_date32(column.type) else column.name
    return f"coalesce({text}, '')"
