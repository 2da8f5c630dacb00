"""Airflow's connections in the forms that the logic takes."""

import importlib
import json
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.support import batches
from tests.support.airflow_home import odbc_sqlite, sqlite_connection

from waitlist.exceptions import SettingsError
from waitlist.settings import Settings
from waitlist.staging import StagingStore, schema


@pytest.mark.parametrize("driver", ["SQLite3", "{SQLite3}"])
def test_the_driver_in_the_extras_is_used_without_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    driver: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_PMO", odbc_sqlite(tmp_path / "pmo.sqlite").replace("SQLite3", driver))
    connections = importlib.import_module("waitlist_airflow.connections")
    with caplog.at_level(logging.WARNING):
        found = connections.pmo_connection_string()
    assert found.startswith("DRIVER={SQLite3};")
    assert f"Database={tmp_path / 'pmo.sqlite'};" in found
    shown = capsys.readouterr()
    assert "driver" not in caplog.text + shown.out + shown.err


def test_the_key_of_the_audit_trails_is_a_file_a_connection_or_a_command_and_only_one_of_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    monkeypatch.setenv("AIRFLOW_CONN_AUDIT", json.dumps({"conn_type": "generic", "password": pem.decode()}))
    file = tmp_path / "key.pem"
    file.write_bytes(pem)
    file.chmod(0o600)
    connections = importlib.import_module("waitlist_airflow.connections")
    assert connections.audit_signer(Settings()) is None
    by_file, by_connection = (
        connections.audit_signer(Settings(audit_key=key))(b"x") for key in (str(file), "connection:audit")
    )
    assert by_file == by_connection
    with pytest.raises(SettingsError, match="only one of them signs"):
        connections.audit_signer(Settings(audit_key=str(file), audit_signer="sign"))
    with pytest.raises(SettingsError, match="'nowhere' is missing"):
        connections.audit_signer(Settings(audit_key="connection:nowhere"))(b"x")


def test_the_command_that_checks_the_trails_ends_with_1_where_a_row_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_MILLENNIUM_STAGING", sqlite_connection(tmp_path / "staging.sqlite"))
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    batches.verified(store)
    audit = importlib.import_module("waitlist_airflow.audit")
    assert audit.main(["sign"]) == 0
    assert audit.main(["verify"]) == 0
    shown = capsys.readouterr().out
    assert "checkpoint 1: UNSIGNED" in shown
    assert "UNSIGNED: 1 of 1 checkpoints" in shown
    batches.execute(store, schema.batch_event.update().values(actor="annan"))
    assert audit.main(["verify"]) == 1
    assert "FAULT: batch_event, row natt-1/1, link 1: the row is not as it was added" in capsys.readouterr().out
    assert audit.main(["verify", "--key", str(tmp_path / "nowhere.pem")]) == 1
