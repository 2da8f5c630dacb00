"""``python -m waitlist_airflow.backout ...``: what must return of a batch, on connection ``millennium_staging``."""

import sys
from collections.abc import Sequence

from waitlist.exceptions import SettingsError
from waitlist.reports.backout import __main__ as command
from waitlist.settings import Settings
from waitlist_airflow.connections import staging_url


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; return 0, or 1 with every reason on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        # Passed on within the process: on a command line every user of the machine could read the password.
        staging = staging_url(Settings.read().accounts.staging_dashboard)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return command.main(given, staging=staging)


if __name__ == "__main__":
    sys.exit(main())
