"""Makes the files of secrets that ``docker-compose.yaml`` names; what exists is kept.

    python docker/make_secrets.py [FOLDER] [PMO.json]

FOLDER is ``.secrets`` without one; only its owner can enter it. ``PMO.json`` is Airflow's connection ``pmo`` as JSON;
without it the connections get an example that must be edited. Every account can read the files themselves: a container
that gets one runs as an account that this machine does not know.
"""

import base64
import json
import secrets
import sys
from pathlib import Path
from typing import Any

EXAMPLE: dict[str, Any] = {
    "conn_type": "odbc",
    "host": "pmo.example.invalid,1433",
    "schema": "pmo",
    "login": "pmo_reader",
    "password": "",
    "extra": {"driver": "ODBC Driver 18 for SQL Server", "Encrypt": "yes"},
}


def make(folder: Path, pmo: dict[str, Any]) -> list[str]:
    """Write the files that are missing; return their names."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made: list[str] = []

    def keep(name: str, content: str) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644)
            made.append(name)
        return path.read_text(encoding="utf-8")

    keep("fernet_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    for name in ("api_secret_key", "jwt_secret", "admin_password"):
        keep(name, secrets.token_urlsafe(32))
    metadata = keep("metadata_db_password", secrets.token_urlsafe(32))
    keep("staging_db_password", secrets.token_urlsafe(32))
    queue = keep("redis.conf", f'requirepass {secrets.token_urlsafe(32)}\nsave ""\ndir /tmp\n').split()[1]
    keep("sql_alchemy_conn", f"postgresql+psycopg2://airflow:{metadata}@metadata-db/airflow")
    keep("result_backend", f"db+postgresql+psycopg2://airflow:{metadata}@metadata-db/airflow")
    keep("broker_url", f"redis://:{queue}@redis:6379/0")
    database = {"conn_type": "postgres", "host": "staging-db", "port": 5432, "schema": "staging"}

    def of(account: str) -> dict[str, Any]:
        password = keep(f"staging_{account}_password", secrets.token_urlsafe(32))
        return {f"staging_{account}": {**database, "login": f"waitlist_{account}", "password": password}}

    files = {
        "connections.json": {"pmo": pmo, **of("loader"), **of("releaser"), **of("receipts")},
        "connections_dashboard.json": of("dashboard"),
        "connections_owner.json": of("owner"),
    }
    for name, connections in files.items():
        keep(name, json.dumps(connections, indent=2, ensure_ascii=False) + "\n")
    return made


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else ".secrets")
    given = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")) if len(sys.argv) > 2 else EXAMPLE
    sys.stdout.write(f"made in {place}: {', '.join(make(place, given)) or 'nothing, all are there'}\n")
