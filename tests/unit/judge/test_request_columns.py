"""The columns of a booking request: a later column leaves the hashes of earlier batches as they are."""

import pyarrow as pa
import pytest
from tests.support.batches import chunk

from waitlist.judge.booking_request import row_hashes
from waitlist.judge.request_columns import COLUMNS, HASH_VERSION, RequestColumn, hashed
from waitlist.staging import row_hash

LATER = (*COLUMNS, RequestColumn("tolkbehov", pa.string(), "Tolkbehov", (), since=HASH_VERSION + 1))
REQUESTS = chunk(range(1, 40)).bokningsbegaran


def test_first_version_covers_the_columns_of_the_first_release() -> None:
    assert [column.name for column in hashed(1)] == [
        "person_id", "begard_plats", "patientnamn", "begart_startdatum", "begart_slutdatum", "besokstyp",
        "vardinrattning", "beskrivning", "sekretess",
    ]  # fmt: skip


def test_later_column_is_in_the_hash_of_its_version_alone() -> None:
    known = row_hashes(REQUESTS, hashed(HASH_VERSION))
    wider = REQUESTS.append_column("tolkbehov", pa.array(["ja"] * len(REQUESTS)))
    assert row_hashes(wider, hashed(HASH_VERSION, LATER)) == known
    assert not set(row_hashes(wider, hashed(HASH_VERSION + 1, LATER)).to_pylist()) & set(known.to_pylist())


@pytest.mark.parametrize("version", [0, HASH_VERSION + 1])
def test_version_of_no_release_or_of_a_newer_one_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match=f"row_hash has no version {version}"):
        hashed(version)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_statement_hashes_the_columns_of_the_batch_s_version(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_hash, "hashed", lambda version: hashed(version, LATER))
    first = row_hash.find_changed_requests(dialect, None, HASH_VERSION)
    second = row_hash.find_changed_requests(dialect, None, HASH_VERSION + 1)
    assert "canonical_columns" not in first + second
    assert [name in first for name in ("sekretess", "tolkbehov")] == [True, False]
    assert [name in second for name in ("sekretess", "tolkbehov")] == [True, True]
