"""The compose file has no secret, few rights and few open ports, and the files of secrets fit each other."""

import json
import runpy
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlist import paths

FILES = ("docker-compose.yaml", "docker-compose.stack.yaml")
SERVICES: dict[str, dict[str, Any]] = {
    name: service
    for file in FILES
    for name, service in yaml.safe_load((paths.PROJECT / file).read_text(encoding="utf-8"))["services"].items()
}
MAIN = yaml.safe_load((paths.PROJECT / FILES[0]).read_text(encoding="utf-8"))
REACH_PMO = {"airflow-worker", "airflow-apiserver"}
make = runpy.run_path(str(paths.PROJECT / "docker" / "make_secrets.py"))["make"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_change_nothing_but_its_volumes_and_has_no_more_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_a_services_environment_or_command(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if any(
            word in variable
            for word in ("PASSWORD", "SECRET_KEY", "JWT", "FERNET", "SQL_ALCHEMY", "URL_CMD", "BACKEND_CMD")
        ):
            assert "/run/secrets/" in value
    assert "$" not in str(service.get("command", "")).replace("${WORKER_TASKS:-2}", "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_open_on_this_machine_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))
    assert bool(SERVICES[name].get("ports")) == (name in {"airflow-apiserver", "pmo-db"})


def test_only_what_runs_tasks_or_shows_pages_gets_the_connections() -> None:
    given = {name for name, service in SERVICES.items() if "connections.json" in service.get("secrets", ())}
    assert given == REACH_PMO
    assert {name for name in REACH_PMO if "AIRFLOW__SECRETS__BACKEND" in SERVICES[name]["environment"]} == REACH_PMO


def test_every_secret_is_made_and_every_made_secret_is_used(tmp_path: Path) -> None:
    made = make(tmp_path / "secrets", {"conn_type": "odbc"})
    assert set(made) == set(MAIN["secrets"])
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert set(made) == used - {"pmo_password"}


def test_secrets_fit_each_other_are_kept_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make(folder, {"conn_type": "odbc", "password": "hemligt"})
    text = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert f"airflow:{text['metadata_db_password']}@metadata-db/airflow" in text["sql_alchemy_conn"]
    assert text["result_backend"] == "db+" + text["sql_alchemy_conn"]
    queue = text["redis.conf"].split()[1]
    assert text["broker_url"] == f"redis://:{queue}@redis:6379/0"
    connections = json.loads(text["connections.json"])
    assert connections["millennium_staging"]["password"] == text["staging_db_password"]
    assert connections["pmo"]["password"] == "hemligt"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make(folder, {}) == []
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == text
    assert (
        len({text[name] for name in ("metadata_db_password", "staging_db_password", "admin_password", "jwt_secret")})
        == 4
    )
