"""The query that is sent to PMO, and the statements that are built around it.

A deployment writes ``sql/pmo/select_waitlist.sql`` for its own PMO. Key ranges, units, counts and order are added
around it, as ``SELECT ... FROM (<the file>) AS q WHERE ...``. So the file stays as simple as its PMO allows, and a post
without a key is not missed by the key ranges. Every value is bound as text, the one type that arrow-odbc and pyodbc
bind in the same way.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from waitlist.exceptions import SettingsError, SourceRefusedError
from waitlist.files import read_kept

FILE_NAME: Final = "select_waitlist.sql"
KEY_MIN: Final = -(2**63)
KEY_MAX: Final = 2**63 - 1

_REQUIRED: Final = "as_of"
_MARKERS: Final = (_REQUIRED, "from_post_id", "to_post_id")
_TOKEN: Final = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<verbatim> '(?:[^']|'')*' | "(?:[^"]|"")*" | \[[^\]\n]*\] | :: )
    | :(?P<marker> [A-Za-z_]\w* )
    | (?P<question> \? )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Selection:
    """The posts that a run reads.

    Attributes:
        as_of: the list is read as it was at the end of this day.
        units: HSA-ids of the units, in their canonical form; None for all units.
    """

    as_of: dt.date
    units: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.units is not None and not self.units:
            raise SettingsError("no unit is selected: name at least one, or leave the units empty for all")


@dataclass(frozen=True)
class Scope:
    """The posts that a statement selects.

    Attributes:
        as_of: as in ``Selection``.
        lower: first key, None for no bound.
        upper: first key after the range, None for no bound.
        units: HSA-ids as PMO writes them (``SourceQuery.units``), None for all.
        unit: SQL of the HSA-id that they are compared with, ``{}`` in place of the column.
    """

    as_of: dt.date
    lower: int | None = None
    upper: int | None = None
    units: tuple[str, ...] | None = None
    unit: str = "{}"


@dataclass(frozen=True)
class Statement:
    """SQL with ``?`` for each bound value, in order."""

    sql: str
    parameters: tuple[str, ...]

    def within(self, before: str, after: str = "") -> "Statement":
        """Return the statement between two pieces of SQL that have no parameters."""
        return Statement(f"{before} {self.sql} {after}".rstrip(), self.parameters)


@dataclass(frozen=True)
class SourceQuery:
    """The text of the query file, without its comments."""

    path: Path
    text: str

    @classmethod
    def load(cls, sql_dir: Path) -> Self:
        """Read ``pmo/select_waitlist.sql``.

        Raises:
            SourceError: the file is missing, or its parameters are not those that the code binds.
        """
        path = sql_dir / "pmo" / FILE_NAME
        try:
            written = read_kept(path).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceRefusedError(
                f"PMO's query {path} could not be read ({type(error).__name__}): "
                "check WAITLIST_SQL_DIR and that the file is UTF-8"
            ) from None
        # A comment may contain question marks, which a driver would take for parameters.
        text = _TOKEN.sub(lambda token: " " if token["comment"] else token[0], written)
        query = cls(path, text.strip().rstrip(";").rstrip())
        query._check_markers()
        return query

    def _check_markers(self) -> None:
        tokens = list(_TOKEN.finditer(self.text))
        used = {token["marker"] for token in tokens if token["marker"]}
        faults = [f"unknown parameter :{name}" for name in sorted(used - set(_MARKERS))]
        if _REQUIRED not in used:
            faults.append(f"parameter :{_REQUIRED} is missing")
        if any(token["question"] for token in tokens):
            faults.append("a bare ? (parameters have names here)")
        if faults:
            raise SourceRefusedError(
                f"PMO's query {self.path} is at fault: {'; '.join(faults)}; "
                f"it takes {', '.join(':' + name for name in _MARKERS)}"
            )

    @cached_property
    def words(self) -> frozenset[str]:
        """The names in the query, in lower case: only these may be repeated in an error."""
        return frozenset(re.findall(r"\w+", self.text.lower()))

    def describe(self, scope: Scope) -> Statement:
        """Return a statement that selects the columns and no row."""
        return self._posts(scope).within("SELECT * FROM (SELECT q.* FROM", ") AS p WHERE 1 = 0")

    def probe(self, scope: Scope, columns: Sequence[str], posts: int) -> Statement:
        """Return a statement that selects the types of some posts' values (SQLite)."""
        types = ", ".join(f"typeof(q.{column})" for column in columns)
        return self._posts(scope).within(f"SELECT {types} FROM", f"LIMIT {posts}")

    def types(self, scope: Scope, columns: Sequence[str], type_of: str) -> Statement:
        """Return a statement that selects the types of columns in one row; ``{}`` in ``type_of`` is the column."""
        types = ", ".join(type_of.replace("{}", f"p.{column}") for column in columns)
        return self._posts(scope).within(
            f"SELECT {types} FROM (SELECT 1 AS one) AS o LEFT JOIN (SELECT q.* FROM",  # noqa: S608 - no input
            ") AS p ON 1 = 0",
        )

    def count(self, scope: Scope, as_text: str) -> Statement:
        """Return a statement that selects the number of posts, as text."""
        return self._posts(scope).within(f"SELECT {_counted(as_text)} AS posts FROM")

    def units(self, scope: Scope, as_text: str) -> Statement:
        """Return a statement that selects each HSA-id as PMO writes it, and the number of its posts, as text."""
        unit = scope.unit.replace("{}", "q.enhet_hsa_id")
        return self._posts(scope).within(
            f"SELECT {unit} AS unit, {_counted(as_text)} AS posts FROM", f"GROUP BY {unit}"
        )

    def cut(self, scope: Scope, size: int, as_text: str) -> Statement:
        """Return a statement with a row per ``size`` posts: their number, first key, empty keys and repeated keys.

        Args:
            scope: the posts.
            size: posts per row of the result.
            as_text: SQL of the first key as text, ``{}`` in place of it.
        """
        first = as_text.replace("{}", "MIN(n.post_id)")
        bucket = f"(n.place - 1) / {size}"
        return self._posts(scope).within(
            f"SELECT COUNT(*), {first}, SUM(CASE WHEN n.post_id IS NULL THEN 1 ELSE 0 END),"  # noqa: S608 - no input
            " SUM(CASE WHEN n.post_id = n.previous THEN 1 ELSE 0 END) "
            "FROM (SELECT q.post_id, ROW_NUMBER() OVER (ORDER BY q.post_id) AS place,"
            " LAG(q.post_id) OVER (ORDER BY q.post_id) AS previous FROM",
            f") AS n GROUP BY {bucket} ORDER BY {bucket}",
        )

    def repeated(self, scope: Scope, as_text: str) -> Statement:
        """Return a statement that selects the keys that several posts have; ``as_text`` as in ``cut``."""
        return self._posts(scope).within(
            f"SELECT {as_text.replace('{}', 'q.post_id')} FROM",
            "GROUP BY q.post_id HAVING COUNT(q.post_id) > 1 ORDER BY q.post_id",
        )

    def among(self, scope: Scope, post_ids: Sequence[int], as_text: str) -> Statement:
        """Return a statement that selects those of some keys that exist; ``as_text`` as in ``cut``."""
        posts = self._posts(replace(scope, lower=min(post_ids), upper=max(post_ids) + 1))
        listed = ", ".join(["CAST(? AS BIGINT)"] * len(post_ids))
        key = as_text.replace("{}", "q.post_id")
        sql = f"SELECT {key} FROM {posts.sql} AND q.post_id IN ({listed})"  # noqa: S608 - no input
        return Statement(sql, (*posts.parameters, *map(str, post_ids)))

    def select(self, scope: Scope, columns: str, page: str = "") -> Statement:
        """Return a statement that selects posts in the order of their keys.

        Args:
            scope: the posts.
            columns: SQL of the columns.
            page: SQL that limits the rows.
        """
        return self._posts(scope).within(f"SELECT {columns} FROM", f"ORDER BY q.post_id {page}")

    def _posts(self, scope: Scope) -> Statement:
        """Return ``(<the file>) AS q WHERE ...``, for the FROM clause."""
        values: Mapping[str, str] = {
            # A date without a time: as text, every moment of that day sorts after it, with or without
            # fractions, with a space or a T.
            _REQUIRED: (scope.as_of + dt.timedelta(days=1)).isoformat(),
            "from_post_id": str(KEY_MIN if scope.lower is None else scope.lower),
            "to_post_id": str(KEY_MAX if scope.upper is None else scope.upper - 1),
        }
        parameters: list[str] = []

        def bind(token: re.Match[str]) -> str:
            if token["marker"] is None:
                return token[0]
            parameters.append(values[token["marker"]])
            return "?"

        inner = _TOKEN.sub(bind, self.text)
        conditions: list[str] = []
        for operator, key in ((">=", scope.lower), ("<", scope.upper)):
            if key is not None:
                conditions.append(f"q.post_id {operator} CAST(? AS BIGINT)")
                parameters.append(str(key))
        if scope.units is not None:
            unit = scope.unit.replace("{}", "q.enhet_hsa_id")
            conditions.append(f"{unit} IN ({', '.join('?' * len(scope.units))})")
            parameters.extend(scope.units)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return Statement(f"(\n{inner}\n) AS q{where}", tuple(parameters))


def _counted(as_text: str) -> str:
    return as_text.replace("{}", "COUNT(*)")
