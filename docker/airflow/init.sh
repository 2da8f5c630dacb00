#!/usr/bin/env bash
# One-shot: brings Airflow's database up to date, makes the pool and the first administrator.
set -euo pipefail

airflow db migrate
# At most four calls of the person service are under way at once, over all DAGs.
airflow pools set pu 4 "Calls of the person service"
if airflow users list --output plain | awk '{ print $2 }' | grep -qx "$AIRFLOW_ADMIN_USER"; then
    echo "user $AIRFLOW_ADMIN_USER exists"
else
    # Called within the process: on a command line every user of the machine could read the password.
    python - <<'PYTHON'
import os
import pathlib

from airflow.cli import cli_parser

given = ["users", "create", "--role", "Admin", "--firstname", "Waitlist", "--lastname", "Administrator"]
for option, name in (("username", "USER"), ("email", "EMAIL")):
    given += [f"--{option}", os.environ[f"AIRFLOW_ADMIN_{name}"]]
given += ["--password", pathlib.Path("/run/secrets/admin_password").read_text(encoding="utf-8")]
arguments = cli_parser.get_parser().parse_args(given)
arguments.func(arguments)
PYTHON
fi
