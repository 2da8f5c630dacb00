"""Airflow's connections in the forms that the logic takes."""

import importlib
import logging
from pathlib import Path

import pytest
from tests.support.airflow_home import odbc_sqlite


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
