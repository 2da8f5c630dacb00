"""The compose file has no secret, few rights and few open ports, and the files of secrets fit each other."""

import json
import os
import re
import runpy
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.support.postgres import PostgresServer

from waitlist import paths
from waitlist.settings import Account
from waitlist.staging import migrate

FILES = ("docker-compose.yaml", "docker-compose.stack.yaml")
SERVICES: dict[str, dict[str, Any]] = {
    name: service
    for file in FILES
    for name, service in yaml.safe_load((paths.PROJECT / file).read_text(encoding="utf-8"))["services"].items()
}
MAIN = yaml.safe_load((paths.PROJECT / FILES[0]).read_text(encoding="utf-8"))
ACCOUNTS = {
    "airflow-worker": "connections.json",
    "airflow-apiserver": "connections_dashboard.json",
    "airflow-dag-processor": "connections_dashboard.json",
    "staging-migrate": "connections_owner.json",
    "staging-backup": "connections_owner.json",
}
"""The services that reach the staging database, and the file with the accounts of each."""
CLIENTS = {"bookworm": 15}
"""PostgreSQL's client in each release of Debian: ``pg_dump`` refuses a newer server."""
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


def names(service: dict[str, Any]) -> dict[str, str]:
    """Return the name in the container of each secret of a service."""
    return {
        secret if isinstance(secret, str) else secret["source"]: secret if isinstance(secret, str) else secret["target"]
        for secret in service.get("secrets", ())
    }


def test_each_service_gets_the_connections_of_its_own_accounts_alone() -> None:
    given = {name: [file for file in names(service) if "connections" in file] for name, service in SERVICES.items()}
    assert {name: files for name, files in given.items() if files} == {name: [own] for name, own in ACCOUNTS.items()}
    for name, own in ACCOUNTS.items():
        assert names(SERVICES[name])[own] == "connections.json"
        assert "/run/secrets/connections.json" in SERVICES[name]["environment"]["AIRFLOW__SECRETS__BACKEND_KWARGS"]
    passwords = {
        name: [secret for secret in names(service) if "staging" in secret] for name, service in SERVICES.items()
    }
    assert [name for name, found in passwords.items() if found] == ["staging-db"]


def test_each_accounts_connection_is_in_the_file_of_the_service_that_uses_it(tmp_path: Path) -> None:
    make(tmp_path, {"conn_type": "odbc"})
    worker = SERVICES["airflow-worker"]["environment"]
    used = {account: worker[f"WAITLIST_STAGING_{account.name}"] for account in Account}
    found = {service: json.loads((tmp_path / file).read_text(encoding="utf-8")) for service, file in ACCOUNTS.items()}
    assert found["airflow-worker"].keys() - {"pmo"} == {
        used[account] for account in (Account.LOADER, Account.RELEASER, Account.RECEIPTS)
    }
    assert found["airflow-apiserver"].keys() == {used[Account.DASHBOARD]}
    assert found["staging-migrate"].keys() == found["staging-backup"].keys() == {used[Account.OWNER]}
    logins = {connection["login"] for file in found.values() for name, connection in file.items() if name != "pmo"}
    assert logins == {"waitlist_owner", *migrate.ACCOUNTS}


def test_the_accounts_are_made_at_the_first_start(postgres: PostgresServer, tmp_path: Path) -> None:
    database = postgres.create_database()
    make(tmp_path, {"conn_type": "odbc"})
    (tmp_path / "password").write_text(postgres.password, encoding="utf-8")
    script = (paths.PROJECT / "docker" / "staging" / "accounts.sh").read_text(encoding="utf-8")
    script = script.replace("/run/secrets", str(tmp_path)).replace("/staging/roles", f"{paths.SQL}/staging/roles")
    server = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "POSTGRES_USER": "postgres"}
    named = {"POSTGRES_DB": database, "POSTGRES_PASSWORD_FILE": str(tmp_path / "password")}
    subprocess.run(["bash"], input=script, text=True, check=True, env={**os.environ, **server, **named})
    for connections in map(json.loads, ((tmp_path / file).read_text(encoding="utf-8") for file in ACCOUNTS.values())):
        for name, known in connections.items():
            if name != "pmo":
                asked = {"user": known["login"], "password": known["password"], "dbname": database}
                with psycopg.connect(host="127.0.0.1", port=postgres.port, **asked) as connection:
                    assert connection.execute("SELECT current_user").fetchone() == (known["login"],)


def test_the_images_client_can_dump_the_stacks_staging_database() -> None:
    dockerfile = (paths.PROJECT / "docker" / "airflow" / "Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^ARG PYTHON_IMAGE=\S+-(\w+)$", dockerfile, re.MULTILINE)
    assert base
    assert " postgresql-client " in dockerfile
    assert MAIN["services"]["staging-db"]["image"] == f"${{POSTGRES_IMAGE:-postgres:{CLIENTS[base[1]]}-{base[1]}}}"


def test_a_backup_is_made_by_hand_alone_and_reads_the_workers_snapshots() -> None:
    service = SERVICES["staging-backup"]
    assert service["profiles"] == ["backup"]
    assert "snapshots:/opt/waitlist/snapshots" in service["volumes"]
    assert "snapshots:/opt/waitlist/snapshots" in SERVICES["airflow-worker"]["volumes"]


def test_every_secret_is_made_and_every_made_secret_is_used(tmp_path: Path) -> None:
    made = make(tmp_path / "secrets", {"conn_type": "odbc"})
    assert set(made) == set(MAIN["secrets"])
    used = {secret for service in SERVICES.values() for secret in names(service)}
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
    assert connections["staging_loader"]["password"] == text["staging_loader_password"]
    assert connections["pmo"]["password"] == "hemligt"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make(folder, {}) == []
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == text
    assert len({text[name] for name in text if name.endswith("password") or name == "jwt_secret"}) == 9


def test_only_logs_that_nothing_has_written_to_for_some_days_are_removed(tmp_path: Path) -> None:
    script = paths.PROJECT / "docker" / "airflow" / "remove_logs.sh"
    folder = tmp_path / "logs"
    days = {"dag_id=a/run_id=1/attempt=1.log": 31, "dag_id=a/run_id=2/attempt=1.log": 29, "dag_id=a/other.txt": 99}
    for name, age in days.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (time.time() - age * 86_400 - 60,) * 2)
    asked = {**os.environ, "LOG_FOLDER": str(folder), "LOG_DAYS": "30"}
    for _ in range(2):
        subprocess.run(["bash", script, "once"], check=True, env=asked, stdout=subprocess.DEVNULL)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == set(days) - {
        "dag_id=a/run_id=1/attempt=1.log"
    }
    for wrong in ("0", "-1", "x", ""):
        done = subprocess.run(
            ["bash", script, "once"], check=False, env={**asked, "LOG_DAYS": wrong}, capture_output=True
        )
        assert (done.returncode == 1) == bool(wrong), "empty is the default"
