"""``python -m waitlist_airflow.migrate``: brings the staging schema up to date, as the account that owns its tables.

Where the accounts of ``sql/staging/roles.sql`` exist, they get their rights as they are in this release.
"""

import sys

from waitlist.exceptions import WaitlistError
from waitlist.settings import Settings
from waitlist.staging import StagingStore
from waitlist.staging.migrate import grant
from waitlist_airflow.connections import staging_url


def main() -> int:
    """Migrate; return 0, or 1 with the reason on standard error."""
    try:
        settings = Settings.read()
        store = StagingStore(staging_url(settings.accounts.staging_owner), connections=settings.connections)
        store.migrate()
        grant(store.database)
    except WaitlistError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
