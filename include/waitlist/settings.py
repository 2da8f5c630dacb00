"""Settings, each read from the environment as ``WAITLIST_<NAME>``, frozen and passed in.

The rule settings are part of a batch's ``rules_version``. The operational settings decide how fast and where work is
done, never its result.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError

from waitlist import paths
from waitlist.exceptions import SettingsError

S = TypeVar("S", bound=BaseSettings)

STAGING: Final = "millennium_staging"
"""The Airflow connection to the staging database that counts where no other is set."""
_CONNECTION_ID: Final = Field(STAGING, pattern=r"^[A-Za-z0-9_.-]{1,200}$")

MOST_DAYS_KEPT: Final = 3_653
"""Ten years: personal data is never kept longer."""
LEAST_LOG_DAYS: Final = 5 * 365 + 2 + 31
"""Five years and a month, however many leap days are among them: the access log is never kept for a shorter time."""


class StraddlePolicy(StrEnum):
    """How a booking window is handled that begins on or before go-live + 28 days and ends after it.

    The instruction (chapter 2, step 3) does not decide this case. ``BOOK`` follows its literal text.
    """

    BOOK = "book"
    MIGRATE = "migrate"
    REVIEW = "review"


class PersonCheck(StrEnum):
    """Whether the national person service (PU-tjänsten, chapter 8) must be asked about every patient that waits."""

    OFF = "off"
    """The service is not asked, and none of its rules applies."""
    REQUIRED = "required"


class PersonsForTests(StrEnum):
    """How a person is handled whose record at the service is a test record."""

    REFUSE = "refuse"
    ALLOW = "allow"
    """For demos and tests, where every person has a test record."""


class RuleSettings(BaseSettings):
    """Settings that, like the mapping files, decide a post's disposition or its booking request."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    cutoff_days: int = Field(28, ge=0, le=366)
    """Days after go-live from which a booking window is migrated (chapter 2, step 3)."""
    straddle_policy: StraddlePolicy = StraddlePolicy.BOOK
    description_limit: int = Field(255, ge=1, le=100_000)
    """Code points that Millennium's Beskrivning field can store; a longer text gets a warning."""
    include_duration: bool = False
    """Append ``Tidsåtgång: 30 min`` to Beskrivning (chapter 8 does not include it)."""
    pu: PersonCheck = PersonCheck.OFF
    """Only this setting decides; the presence of a connection does not matter."""
    pu_test_persons: PersonsForTests = PersonsForTests.REFUSE
    post_system: str = Field("urn:waitlist:post", pattern=r"^(https?://|urn:)[!-~]{1,200}$")
    """The identifier system of our post ids in a hand-off (FHIR ``Identifier.system``)."""
    sample_faults: Decimal = Field(Decimal("0.02"), gt=0, le=Decimal("0.5"), decimal_places=4)
    """The share of faulty booking requests that the side-by-side sample has to exclude."""

    @property
    def asks_persons(self) -> bool:
        """Whether the person service must be asked."""
        return self.pu is PersonCheck.REQUIRED


class Peer(StrEnum):
    """What a connection leads to, for ``WAITLIST_WITHOUT_TLS``."""

    PMO = "pmo"
    STAGING = "staging"
    STORE = "store"
    """The object store of snapshots, hand-offs and receipts."""
    MESSAGES = "messages"
    """The mail server, or the webhook."""


class Account(StrEnum):
    """An account of the staging database, by the work that it does (``sql/staging/roles.sql``)."""

    OWNER = "owner"
    """Owns the tables: migrations, backup and restore."""
    LOADER = "loader"
    """Nights, and waves up to the question to the approver."""
    RELEASER = "releaser"
    """Decisions, hand-offs and retention."""
    RECEIPTS = "receipts"
    DASHBOARD = "dashboard"


class AccountSettings(BaseSettings):
    """The Airflow connection of each account; by default one connection does all the work."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    staging_owner: str = _CONNECTION_ID
    staging_loader: str = _CONNECTION_ID
    staging_releaser: str = _CONNECTION_ID
    staging_receipts: str = _CONNECTION_ID
    staging_dashboard: str = _CONNECTION_ID

    def of(self, account: Account) -> str:
        """Return the id of an account's connection."""
        return str(getattr(self, f"staging_{account}"))


class ConnectionSettings(BaseSettings):
    """How PMO and the staging database are reached, and the time limits for their answers, in seconds."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    connect_seconds: int = Field(10, ge=2, le=3600)
    """For opening a connection, login included; libpq accepts at least two seconds."""
    lock_seconds: int = Field(300, ge=1, le=86_400)
    """For a lock of another session."""
    answer_seconds: int = Field(600, ge=1, le=86_400)
    """For the next answer: the end of a statement, or the next rows of a result, however large the result is."""
    without_tls: str | None = None
    """Peers (``Peer``), separated by commas, that may be reached without TLS, or without a check of their certificate:
    there the connection's own options count. If empty, TLS is needed everywhere."""

    @field_validator("without_tls")
    @classmethod
    def _known_peers(cls, named: str | None) -> str | None:
        if not set(_ids(named)) <= set(Peer):
            raise ValueError(f"one or several of {', '.join(Peer)}, separated by commas")
        return named

    @property
    def plain_peers(self) -> tuple[Peer, ...]:
        """The peers to which TLS, or the check of the certificate, may be missing."""
        return tuple(peer for peer in Peer if peer in _ids(self.without_tls))


class PersonServiceSettings(BaseSettings):
    """How the national person service is called."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    pu_profile: str = Field("P1", pattern=r"^P[1-5]$")
    """How much the service returns about a person; ``P1`` is the least."""
    pu_logical_address: str = Field("SE165565594230-1000", pattern=r"^[A-Za-z0-9-]{1,32}$")
    """The HSA-id by which the national platform routes a call."""
    pu_seconds: int = Field(45, gt=30, le=600)
    """The time limit for a whole call; the service contract requires more than 30."""
    pu_max_age_days: int = Field(7, ge=1, le=31)
    """Days after which a dry run asks the service about a person again."""
    pu_name_key: SecretStr | None = Field(None, min_length=32)
    """Key of the hashes by which PMO's names are recognised; ``WAITLIST_PU=required`` needs it."""
    pu_ask_past: bool = False
    """Ask in a run as of a day before yesterday too. For demos, where every run is as of such a day."""


CONNECTION_DEFAULTS: Final = ConnectionSettings.model_construct()
"""The defaults, without the environment."""


class Settings(BaseSettings):
    """Folders and files, sizes of partitions and chunks, periods, and permissions."""

    model_config = SettingsConfigDict(env_prefix="WAITLIST_", frozen=True)

    mappings_dir: Path = paths.MAPPINGS
    expectations_dir: Path = paths.EXPECTATIONS
    sql_dir: Path = paths.SQL
    snapshot_url: str = "file:///tmp/waitlist/snapshots"
    """Folder or object-store URL for snapshots; every worker must reach it."""
    data_docs_dir: Path | None = None
    """Folder in which Data Docs are written; if it is empty, none are written."""
    partition_posts: int = Field(500_000, ge=1, le=50_000_000)
    """Approximate number of posts in one mapped task."""
    chunk_posts: int = Field(20_000, ge=1, le=1_000_000)
    """Approximate number of posts in memory at a time."""
    max_text_bytes: int = Field(4_096, ge=64, le=1_048_576)
    """Longest text, in UTF-8 bytes, for which the bulk reader's buffers are made; longer texts need another read."""
    pmo_readers: int = Field(2, ge=1, le=64)
    """Tasks of one DAG that read PMO at the same time."""
    pmo_posts_per_second: int | None = Field(None, ge=1, le=10_000_000)
    """The most posts that one such task reads per second; None: no limit."""
    pmo_read_window: str | None = Field(None, pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    """Hours in which PMO may be read, such as ``22:00-06:00``, in Stockholm's time; None: at any hour."""
    approvers: str | None = None
    """User ids, separated by commas, of the users that may release or withdraw a wave; if empty, no user may."""
    leads: str | None = None
    """User ids, separated by commas, of the users that lead the migration: they see every unit, without patients."""
    person_readers: str | None = None
    """User ids, separated by commas, of the users that may see the patients of every unit; if empty, no user may."""
    log_readers: str | None = None
    """User ids, separated by commas, of the users that may read the access log; if empty, no user may."""
    approval_hours: int = Field(72, ge=1, le=24 * 90)
    """Hours for which an approval waits for an answer."""
    keep_days: int = Field(30, ge=1, le=MOST_DAYS_KEPT)
    """Days for which a dry run's snapshot, rows and work lists are kept."""
    keep_migration_days: int = Field(365, ge=1, le=MOST_DAYS_KEPT)
    """The same for a migration that was not released; never shorter than for a dry run."""
    keep_released_days: int = Field(90, ge=1, le=MOST_DAYS_KEPT)
    """The same for a released wave, from its release on; it is kept until its receipts are complete besides."""
    keep_log_days: int = Field(LEAST_LOG_DAYS, ge=LEAST_LOG_DAYS, le=MOST_DAYS_KEPT)
    """Days for which an entry of the access log is kept, whatever becomes of its batch."""
    page_seconds: int = Field(60, ge=5, le=3600)
    """The most seconds that a page of the dashboard may take."""
    worklists_dir: Path | None = None
    """Folder in which the work lists of each batch have a folder named by the batch; if empty, none are written."""
    handoff_url: str | None = None
    """Folder or object-store URL in which a released batch is handed off; if empty, nothing is written."""
    receipts_url: str | None = None
    """Folder or object-store URL from which receipts are taken; if empty, only the inbox is read."""
    receipt_hours: int = Field(24, ge=1, le=24 * 90)
    """Hours after the release from which the leads get a message about unanswered posts."""
    audit_key: str | None = None
    """File with the private Ed25519 key that signs the ends of the audit chains, or ``connection:`` and the id of an
    Airflow connection that has it as password; if this and the next are empty, they are unsigned."""
    audit_signer: str | None = None
    """Command that signs in place of a key, under an account that can read it."""
    audit_public_key: Path | None = None
    """File with the public key by which ``make verify-audit`` checks the signatures."""
    late_days: int = Field(14, ge=0, le=366)
    """A post that is not booked is late when fewer days than these are left until Boka före."""
    rules: RuleSettings = Field(default_factory=RuleSettings)
    connections: ConnectionSettings = Field(default_factory=ConnectionSettings)
    person_service: PersonServiceSettings = Field(default_factory=PersonServiceSettings)
    accounts: AccountSettings = Field(default_factory=AccountSettings)

    @field_validator("keep_log_days", mode="before")
    @classmethod
    def _as_long_as_the_law_requires(cls, days: object) -> object:
        """Name the law, which the message of a lower bound would not."""
        if str(days).isdecimal() and int(str(days)) < LEAST_LOG_DAYS:
            raise ValueError(f"the access log is kept for five years and a month by law, {LEAST_LOG_DAYS} days or more")
        return days

    @property
    def approver_ids(self) -> tuple[str, ...]:
        """The ids of the users that may release or withdraw a wave."""
        return _ids(self.approvers)

    @property
    def lead_ids(self) -> tuple[str, ...]:
        """The ids of the users that lead the migration."""
        return _ids(self.leads)

    @property
    def person_reader_ids(self) -> tuple[str, ...]:
        """The ids of the users that may see the patients of every unit."""
        return _ids(self.person_readers)

    @property
    def log_reader_ids(self) -> tuple[str, ...]:
        """The ids of the users that may read the access log."""
        return _ids(self.log_readers)

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: names every setting that is out of range.
        """
        faults: list[str] = []
        rules = _read(RuleSettings, faults)
        connections = _read(ConnectionSettings, faults)
        person_service = _read(PersonServiceSettings, faults)
        accounts = _read(AccountSettings, faults)
        # Defaults replace the settings at fault, so that the others are still checked.
        settings = _read(
            lambda: cls(
                rules=rules or RuleSettings.model_construct(),
                connections=connections or ConnectionSettings.model_construct(),
                person_service=person_service or PersonServiceSettings.model_construct(),
                accounts=accounts or AccountSettings.model_construct(),
            ),
            faults,
        )
        if settings is None or faults:
            raise SettingsError("settings at fault:\n  " + "\n  ".join(faults))
        return settings

    @classmethod
    def read_or_defaults(cls) -> "Settings":
        """Read the environment; if a setting is at fault, return the defaults of all: then no user may approve.

        For code that runs while a DAG file is parsed. An error there would remove every DAG from Airflow, and no task
        could fail and report the reason. The first step of each run calls ``read``, which names the fault.
        """
        try:
            return cls.read()
        except SettingsError:
            return cls.model_construct(
                rules=RuleSettings.model_construct(),
                connections=CONNECTION_DEFAULTS,
                person_service=PersonServiceSettings.model_construct(),
                accounts=AccountSettings.model_construct(),
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
        # Pydantic would read a group of settings as JSON.
        faults.append(
            "WAITLIST_RULES, WAITLIST_CONNECTIONS, WAITLIST_PERSON_SERVICE, WAITLIST_ACCOUNTS: no settings; "
            "each part has a variable of its own"
        )
    return None
