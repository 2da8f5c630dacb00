"""What SQL Server would be asked parses as T-SQL; no SQL Server was at hand that could run it."""

import datetime as dt
import itertools
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlfluff.core import FluffConfig, Linter

from waitlist import paths
from waitlist.source.pmo.connection import SQL_SERVER
from waitlist.source.pmo.query import Scope, SourceQuery
from waitlist.staging import schema

OF_OTHERS = (".postgresql.sql", ".sqlite.sql", "roles.sql")
"""Ends of the names of files for other databases; accounts are made in PostgreSQL alone."""
FILES = sorted(file for file in paths.SQL.rglob("*.sql") if not file.name.endswith(OF_OTHERS))
LISTS = re.compile(r":(units|handled|categories|batch_ids)\b")
"""Parameters that SQLAlchemy writes as lists, with their parentheses."""


@cache
def linter() -> Linter:
    return Linter(config=FluffConfig(overrides={"dialect": "tsql"}))


def faults(sql: str) -> list[str]:
    return [str(found.desc()) for found in linter().parse_string(f"{sql.rstrip().rstrip(';')};\n").violations]


def statements() -> Mapping[str, str]:
    """Return all that PMO is asked, its parameters as the driver names them."""
    query, numbers = SourceQuery.load(paths.SQL), itertools.count(1)
    scope = Scope(dt.date(2024, 10, 1), 1, 9, ("a", "b"), SQL_SERVER.unit)
    as_text = SQL_SERVER.as_text
    asked = {
        "describe": query.describe(scope),
        "count": query.count(scope, as_text),
        "units": query.units(scope, as_text),
        "cut": query.cut(scope, 100, as_text),
        "repeated": query.repeated(scope, as_text),
        "among": query.among(scope, [1, 2], as_text),
        "select": query.select(scope, f"{as_text.replace('{}', 'q.post_id')} AS post_id, q.orsak"),
    }
    named = {name: re.sub(r"\?", lambda _: f"@P{next(numbers)}", asked.sql) for name, asked in asked.items()}
    told = (*SQL_SERVER.begin, *(text.replace("{}", "1000") for text in SQL_SERVER.prepare), SQL_SERVER.begins_if)
    return {**named, **{str(statement): str(statement) for statement in told}}


@pytest.mark.parametrize("sql", ["SELECT post_id FROM post LIMIT 5", "SELECT rule FROM finding"])
def test_what_sql_server_does_not_know_is_found(sql: str) -> None:
    assert faults(sql)


@pytest.mark.parametrize("name", statements())
def test_what_pmo_is_asked_parses(name: str) -> None:
    assert faults(statements()[name]) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(paths.SQL)))
def test_the_sql_of_every_database_parses(file: Path) -> None:
    text = LISTS.sub("('a', 'b')", file.read_text(encoding="utf-8"))

    assert faults(re.sub(r"(?<!:):([a-z_]\w*)", r"@\1", text)) == []


def test_the_tables_of_staging_parse() -> None:
    dialect = mssql.dialect()
    for table in schema.METADATA.sorted_tables:
        assert faults(str(CreateTable(table).compile(dialect=dialect))) == [], table.name
        for index in table.indexes:
            assert faults(str(CreateIndex(index).compile(dialect=dialect))) == [], index.name


def test_the_tables_of_the_synthetic_pmo_parse() -> None:
    text = (paths.PROJECT / "docker" / "mssql" / "create_pmo.sql").read_text(encoding="utf-8")
    # sqlcmd's own lines; and the one statement that sqlfluff's T-SQL has not.
    text = text.replace(":on error exit", "").replace("$(PMO_READER_PASSWORD)", "x")
    text = re.sub(r"^ALTER LOGIN .*$", "", text, flags=re.MULTILINE)

    assert faults(text) == []
