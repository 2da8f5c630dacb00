"""A script that judges post by post, written independently of the rules' column code, gives the same rows.

It is also the baseline of ``make bench``, and a baseline must do the same work.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from benchmarks import naive
from tests.support.runs import AS_OF, assessed, pipeline, request

from waitlist.judge.request_columns import NAMES
from waitlist.settings import Settings
from waitlist.simulator import MAPPINGS, Order, generate

TABLES = {
    "disposition": "post_id, enhet_hsa_id, kategori, disposition",
    "finding": "post_id, rule, severity",
    "bokningsbegaran": ", ".join(("post_id", *NAMES, "row_hash")),
}


@dataclass(frozen=True)
class Staged:
    """The rows that each of the two has written."""

    ours: sa.Engine
    naive: sa.Engine


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Staged:
    folder: Path = tmp_path_factory.mktemp("second_opinion")
    generate(Order(4_000, seed=11, as_of=AS_OF), folder, sqlite=folder / "pmo.sqlite")
    pmo = f"Driver={{SQLite3}};Database={folder / 'pmo.sqlite'}"
    ours, other = (f"sqlite:///{folder / name}" for name in ("ours.sqlite", "naive.sqlite"))
    steps = pipeline(folder, pmo=pmo, staging=ours, mappings=folder / MAPPINGS)
    assessed(steps, request())
    naive.script(pmo, other, Settings(mappings_dir=folder / MAPPINGS), AS_OF)
    return Staged(sa.create_engine(ours), sa.create_engine(other))


@pytest.mark.parametrize("table", TABLES)
def test_both_write_the_same_rows(staged: Staged, table: str) -> None:
    rows = []
    for engine, name in ((staged.ours, table), (staged.naive, f"naive_{table}")):
        with engine.connect() as connection:
            found = connection.execute(sa.text(f"SELECT {TABLES[table]} FROM {name}"))
            rows.append(sorted(map(tuple, found), key=repr))
    assert rows[0]
    assert rows[0] == rows[1]
