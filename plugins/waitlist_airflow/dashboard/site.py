"""What the pages are read from: this deployment's settings, mapping files, snapshots and staging database."""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Final, cast

import sqlalchemy as sa
from airflow.sdk import ObjectStoragePath
from fastapi import Depends
from upath import UPath

from waitlist.dashboard import reading
from waitlist.exceptions import SnapshotError
from waitlist.gates import GateResult, read_measured
from waitlist.mappings import Mappings, load_mappings
from waitlist.rules import BUILT_IN_SEVERITIES
from waitlist.settings import Settings
from waitlist.staging import StagingStore
from waitlist_airflow.connections import staging_url

log = logging.getLogger(__name__)

_STORES: Final = 4


@functools.lru_cache(maxsize=_STORES)
def _store(url: str) -> StagingStore:
    return StagingStore(url, pooled=True)


class Site:
    """One request's view of the deployment; the connections outlive it."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, from the environment."""
        return Settings.read()

    @cached_property
    def mappings(self) -> Mappings:
        """The mapping files as they are now."""
        return load_mappings(self.settings.mappings_dir, raisable=BUILT_IN_SEVERITIES)

    @cached_property
    def store(self) -> StagingStore:
        """The staging database; one engine a connection for the whole process."""
        return _store(staging_url())

    @property
    def snapshots(self) -> UPath:
        """The folder under which each batch has its snapshot."""
        # Airflow's path is a proxy of a UPath, and not one by its class.
        return cast(UPath, ObjectStoragePath(self.settings.snapshot_url))

    def measured_gates(self, batch_id: str) -> tuple[GateResult, ...] | None:
        """Return what a dry run left of its gates beside its snapshot, the failed first; None where it left nothing."""
        try:
            measured = read_measured(self.snapshots / batch_id)
        except (SnapshotError, OSError) as error:
            # The figures are worth showing without them.
            log.warning("the gates of batch %s cannot be read: %s", batch_id, type(error).__name__)
            return None
        return tuple(sorted(measured, key=lambda result: result.passed)) or None

    @contextmanager
    def reading(self, doing: str) -> Iterator[sa.Connection]:
        """Give a connection on which a whole page is read as of one moment.

        Raises:
            NoSchemaError, StagingError: see ``waitlist.dashboard.reading``.
        """
        with reading.reading(self.store, doing) as connection:
            yield connection


def site() -> Site:
    """Return the deployment, for FastAPI to inject."""
    return Site()


SiteDep = Annotated[Site, Depends(site)]
