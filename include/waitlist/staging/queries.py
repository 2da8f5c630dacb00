"""The SQL files of the staging schema, read unchanged or without the prefix of the schema."""

import functools
import re

from waitlist import paths
from waitlist.staging.schema import SCHEMA

_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)

_NUMBER = re.compile(rf"{SCHEMA}\.batch_number\((:\w+)\)")


@functools.cache
def read_sql(name: str, schema: str | None, folder: str = "staging") -> str:
    """Return the statement of ``sql/<folder>/<name>.sql`` without its comments.

    The files have the schema's prefix, so that they run unchanged on PostgreSQL. If the database has no schemas
    (``schema`` is None), the prefix is removed, and a query replaces the function ``batch_number``.
    """
    text = (paths.SQL / folder / f"{name}.sql").read_text(encoding="utf-8")
    statement = _COMMENT.sub("", text).strip().removesuffix(";")
    if schema:
        return statement
    query = r"(SELECT numbered.batch_no FROM batch AS numbered WHERE numbered.batch_id = \1)"
    return _NUMBER.sub(query, statement).replace(f"{SCHEMA}.", "")
