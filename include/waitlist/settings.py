"""Settings, each read from the environment as ``WAITLIST_<NAME>``, frozen and passed in.

The rule settings are part of a batch's ``rules_version``; the operational ones change
how fast or where work is done, never its result.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from waitlist import paths
from waitlist.exceptions import SettingsError

S = TypeVar("S", bound=BaseSettings)

MOST_DAYS_KEPT: Final = 3_653
"""Ten years: nothing of a person is kept longer."""


class StraddlePolicy(StrEnum):
    """What becomes of an interval that begins at or before go-live + 28 days and ends after it.

    The instruction (chapter 2, step 3) does not decide it. ``BOOK`` is its literal reading.
    """

    BOOK = "book"
    MIGRATE = "migrate"
    REVIEW = "review"


class PersonCheck(StrEnum):
    """Whether the national person service (PU-tjänsten, chapter 8) has to be asked about everybody who waits."""

    OFF = "off"
    """Nobody is asked, and no rule of the service applies."""
    REQUIRED = "required"


class PersonsForTests(StrEnum):
    """What becomes of a person whose record at the service is made for tests."""

    REFUSE = "refuse"
    ALLOW = "allow"
    """For demos and tests, where everybody is one."""


class RuleSettings(BaseSettings):
    """What decides a post's disposition or its booking request besides the mapping files."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    cutoff_days: int = Field(28, ge=0, le=366)
    """Days after go-live from which a booking window is migrated (chapter 2, step 3)."""
    straddle_policy: StraddlePolicy = StraddlePolicy.BOOK
    description_limit: int = Field(255, ge=1, le=100_000)
    """Code points that Millennium's Beskrivning field takes; longer ones get a warning."""
    include_duration: bool = False
    """Append ``Tidsåtgång: 30 min`` to Beskrivning (chapter 8 leaves it out)."""
    pu: PersonCheck = PersonCheck.OFF
    """This setting decides, and never the presence of a connection."""
    pu_test_persons: PersonsForTests = PersonsForTests.REFUSE

    @property
    def asks_persons(self) -> bool:
        """Whether the person service has to be asked."""
        return self.pu is PersonCheck.REQUIRED


class Tls(StrEnum):
    """Whether a connection to the staging database over a network must be encrypted."""

    PREFER = "prefer"
    """Where the server can; a warning in the log where it is not."""
    REQUIRE = "require"


class ConnectionSettings(BaseSettings):
    """How databases are reached, and how long they are waited for: PMO, and the staging database."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    connect_seconds: int = Field(10, ge=2, le=3600)
    """Until a connection stands, login included; libpq takes no less than two."""
    lock_seconds: int = Field(300, ge=1, le=86_400)
    """For what another session has locked."""
    answer_seconds: int = Field(600, ge=1, le=86_400)
    """For the next answer of any kind: a statement's end, or the next rows of a result however large it is."""
    staging_tls: Tls = Tls.PREFER
    """Of the staging database's alone, and not within one machine."""


class PersonServiceSettings(BaseSettings):
    """How the national person service is asked."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    pu_profile: str = Field("P1", pattern=r"^P[1-5]$")
    """How much the service tells of a person; ``P1`` is the least."""
    pu_logical_address: str = Field("SE165565594230-1000", pattern=r"^[A-Za-z0-9-]{1,32}$")
    """The HSA-id by which the national platform routes a call."""
    pu_seconds: int = Field(45, gt=30, le=600)
    """For one call as a whole; the contract asks for more than 30."""
    pu_max_age_days: int = Field(7, ge=1, le=31)
    """Days after which a dry run asks about a person again."""
    pu_ask_past: bool = False
    """Ask in a run as of a day before yesterday too. For demos, where every run is as of such a day."""


CONNECTION_DEFAULTS: Final = ConnectionSettings.model_construct()
"""Whatever the environment says."""


class Settings(BaseSettings):
    """Where things lie and how much is done at a time."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    mappings_dir: Path = paths.MAPPINGS
    expectations_dir: Path = paths.EXPECTATIONS
    sql_dir: Path = paths.SQL
    snapshot_url: str = "file:///tmp/waitlist/snapshots"
    """Folder or object-store URL for snapshots; every worker must reach it."""
    data_docs_dir: Path | None = None
    """Where Data Docs are written; none are when empty."""
    partition_posts: int = Field(500_000, ge=1, le=50_000_000)
    """Posts in one mapped task, about."""
    chunk_posts: int = Field(20_000, ge=1, le=1_000_000)
    """Posts held in memory at a time, about."""
    max_text_bytes: int = Field(4_096, ge=64, le=1_048_576)
    """Longest text, in UTF-8 bytes, that the bulk reader takes before a chunk falls back to pyodbc."""
    pmo_readers: int = Field(2, ge=1, le=64)
    """Tasks of one DAG that read PMO at a time."""
    pmo_posts_per_second: int | None = Field(None, ge=1, le=10_000_000)
    """Posts that one such task reads a second at most; none: as many as come."""
    pmo_read_window: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """Hours in which PMO may be read, as ``22:00-06:00`` in Stockholm's time; none: at any."""
    approvers: str | None = None
    """User ids, separated by commas, of those who may release or withdraw a wave; with none, nobody may."""
    person_readers: str | None = None
    """User ids, separated by commas, of those who may see patients' names and numbers; with none, nobody may."""
    approval_hours: int = Field(72, ge=1, le=24 * 90)
    """Hours that an approval waits for its answer."""
    keep_days: int = Field(30, ge=1, le=MOST_DAYS_KEPT)
    """Days that a dry run's snapshot, rows and work lists are kept."""
    keep_migration_days: int = Field(365, ge=1, le=MOST_DAYS_KEPT)
    """The same for a migration, released or not; never shorter than for a dry run."""
    page_seconds: int = Field(60, ge=5, le=3600)
    """Seconds that a page of the dashboard may take."""
    worklists_dir: Path | None = None
    """Folder in which each batch's work lists have a folder named by the batch; none when empty."""
    rules: RuleSettings = Field(default_factory=RuleSettings)
    connections: ConnectionSettings = Field(default_factory=ConnectionSettings)
    person_service: PersonServiceSettings = Field(default_factory=PersonServiceSettings)

    @property
    def approver_ids(self) -> tuple[str, ...]:
        """Who may release or withdraw a wave."""
        return _ids(self.approvers)

    @property
    def person_reader_ids(self) -> tuple[str, ...]:
        """Who may see patients' names and numbers."""
        return _ids(self.person_readers)

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: with every setting that is out of range.
        """
        faults: list[str] = []
        rules = _read(RuleSettings, faults)
        connections = _read(ConnectionSettings, faults)
        person_service = _read(PersonServiceSettings, faults)
        # What stands in for settings at fault lets the others be looked at all the same.
        settings = _read(
            lambda: cls(
                rules=rules or RuleSettings.model_construct(),
                connections=connections or ConnectionSettings.model_construct(),
                person_service=person_service or PersonServiceSettings.model_construct(),
            ),
            faults,
        )
        if settings is None or faults:
            raise SettingsError("settings at fault:\n  " + "\n  ".join(faults))
        return settings

    @classmethod
    def read_or_defaults(cls) -> "Settings":
        """Read the environment; where a setting is at fault, return the defaults of all: nobody may approve then.

        For code that runs while a DAG file is parsed. An error there would take every DAG out of Airflow, and leave
        nothing that could fail and tell why. The first step of each run calls ``read``, which names the fault.
        """
        try:
            return cls.read()
        except SettingsError:
            return cls.model_construct(
                rules=RuleSettings.model_construct(),
                connections=CONNECTION_DEFAULTS,
                person_service=PersonServiceSettings.model_construct(),
            )


def _ids(listed: str | None) -> tuple[str, ...]:
    return tuple(user.strip() for user in (listed or "").split(",") if user.strip())


def _read(make: Callable[[], S], faults: list[str]) -> S | None:
    try:
        return make()
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            name = "_".join(str(part) for part in fault["loc"]).upper()
            faults.append(f"WAITLIST_{name}: {fault['msg']}")
    except UnreadableError:
        # Groups of settings are what would be read as JSON.
        faults.append(
            "WAITLIST_RULES, WAITLIST_CONNECTIONS, WAITLIST_PERSON_SERVICE: no settings; "
            "each part has a variable of its own"
        )
    return None
