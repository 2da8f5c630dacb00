"""``python -m waitlist_airflow.migrate``: brings the staging schema of ``millennium_staging`` up to date.

For the account that owns the tables, where the account that runs the pipeline does not own them.
"""

import sys

from waitlist.exceptions import WaitlistError
from waitlist.staging import StagingStore
from waitlist_airflow.connections import staging_url


def main() -> int:
    """Migrate; return 0, or 1 with the reason on standard error."""
    try:
        StagingStore(staging_url()).migrate()
    except WaitlistError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
