"""The synthetic PMO in a real PostgreSQL."""

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.postgres import PostgresServer, free_port

from waitlist.simulator import TABLES, Order, SimulatorError, generate

ORDER = Order(3_000, seed=5)


def rows_of_postgres(url: str, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(f"SELECT * FROM {table} ORDER BY {TABLES[table].names[0]}").fetchall()
    return [tuple(str(value) if isinstance(value, dt.datetime) else value for value in row) for row in rows]


def rows_of_sqlite(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY {TABLES[table].names[0]}").fetchall()


def test_postgres_holds_the_same_as_sqlite(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.libpq(postgres.create_database())
    generate(ORDER, tmp_path / "postgres", postgres=url)
    generate(ORDER, tmp_path / "sqlite", sqlite=tmp_path / "pmo.sqlite")
    for table in TABLES:
        expected = rows_of_sqlite(tmp_path / "pmo.sqlite", table)
        assert expected
        assert rows_of_postgres(url, table) == expected
    truths = [(tmp_path / name / "truth.parquet").read_bytes() for name in ("postgres", "sqlite")]
    assert truths[0] == truths[1]


def test_both_can_be_written_at_once(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.libpq(postgres.create_database())
    generate(Order(50), tmp_path, sqlite=tmp_path / "pmo.sqlite", postgres=url)
    expected = rows_of_sqlite(tmp_path / "pmo.sqlite", "vantelistepost")
    assert rows_of_postgres(url, "vantelistepost") == expected


def test_columns_have_the_types_of_the_contract(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.libpq(postgres.create_database())
    generate(Order(10), tmp_path, postgres=url)
    with psycopg.connect(url) as connection:
        types = dict(
            connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'vantelistepost'"
            ).fetchall()
        )
        indexed = {
            row[0]
            for row in connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'").fetchall()
        }
    assert types["post_id"] == "bigint"
    assert types["vantar_pa_besok"] == types["nybesok"] == "smallint"
    assert types["boka_from"] == types["boka_fore"] == types["orsak"] == "text"
    assert types["registrerad"] == types["avslutad"] == "timestamp without time zone"
    assert any("vantelistepost" in index and "(post_id)" in index for index in indexed)
    assert any("bilaga" in index and "(post_id)" in index for index in indexed)


def test_a_database_with_rows_is_not_replaced_unless_requested(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.libpq(postgres.create_database())
    generate(Order(10), tmp_path / "a", postgres=url)
    with pytest.raises(SimulatorError, match=r"has rows in .*vantelistepost.*--replace"):
        generate(Order(20), tmp_path / "b", postgres=url)
    assert len(rows_of_postgres(url, "vantelistepost")) == 10
    generate(Order(20), tmp_path / "b", postgres=url, replace=True)
    assert len(rows_of_postgres(url, "vantelistepost")) == 20


def test_an_interrupted_generation_leaves_what_was_there(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.libpq(postgres.create_database())
    generate(Order(10), tmp_path / "a", postgres=url)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(Order(20), tmp_path / "b", postgres=url, replace=True, progress=interrupt)
    assert len(rows_of_postgres(url, "vantelistepost")) == 10
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("fault", ["password", "port", "database"])
def test_a_database_out_of_reach_is_named_without_its_secrets(
    postgres: PostgresServer, tmp_path: Path, fault: str
) -> None:
    url = {
        "password": f"postgresql://postgres:hemligt@127.0.0.1:{postgres.port}/postgres",
        "port": f"postgresql://postgres:hemligt@127.0.0.1:{free_port()}/postgres",
        "database": postgres.libpq("finns_inte"),
    }[fault]
    with pytest.raises(SimulatorError, match="PostgreSQL") as caught:
        generate(Order(10), tmp_path / "out", postgres=url)
    assert "hemligt" not in str(caught.value)
    assert postgres.password not in str(caught.value)
    assert not (tmp_path / "out").exists()
