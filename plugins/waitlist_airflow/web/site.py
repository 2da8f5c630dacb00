"""The sources of the pages: this deployment's settings, mapping files, snapshots and staging database."""

import datetime as dt
import functools
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import sqlalchemy as sa
from fastapi import Depends
from upath import UPath

from waitlist.columns.dates import day_in_stockholm
from waitlist.deployment import MappingFiles
from waitlist.exceptions import MappingError, SnapshotError
from waitlist.facts import readers
from waitlist.facts.gates import Gate, load_gates
from waitlist.facts.mappings import Mappings
from waitlist.facts.risks import FILE, Risk
from waitlist.quality import Suite, load_suites
from waitlist.release.gates import GateResult, read_measured
from waitlist.reports.pages import reading
from waitlist.reports.pages.after_release import Today
from waitlist.reports.risks import read_register
from waitlist.settings import ConnectionSettings, Settings
from waitlist.source.earlier_files import files_of
from waitlist.staging import StagingStore
from waitlist_airflow.connections import place, staging_url

log = logging.getLogger(__name__)

_STORES: Final = 4


_CONNECT_SECONDS: Final = 2
_LOCK_SECONDS: Final = 2
_LOOK_SECONDS: Final = 2


def _within(connections: ConnectionSettings, answer_seconds: int) -> ConnectionSettings:
    # A person waits for the page, so the limits are shorter than a step's.
    limits = {
        "connect_seconds": _CONNECT_SECONDS, "lock_seconds": _LOCK_SECONDS, "answer_seconds": answer_seconds,
    }  # fmt: skip
    return connections.model_copy(update=limits)


@functools.lru_cache(maxsize=_STORES)
def _store(url: str, connections: ConnectionSettings, page_seconds: int) -> StagingStore:
    return StagingStore(url, pooled=True, connections=_within(connections, page_seconds))


@functools.lru_cache(maxsize=_STORES)
def _looked_at(url: str, connections: ConnectionSettings) -> StagingStore:
    # An open connection may be dead behind a firewall: each check opens a new one.
    return StagingStore(url, connections=_within(connections, _LOOK_SECONDS))


Stamp = tuple[tuple[str, int, int], ...]


def _stamp(folder: Path, pattern: str) -> Stamp:
    """Return the names, modification times and sizes of a folder's files: they change when a file changes."""
    found = ((path.name, path.stat()) for path in sorted(folder.glob(pattern)))
    return tuple((name, told.st_mtime_ns, told.st_size) for name, told in found)


@dataclass(frozen=True, slots=True)
class MappingFaults:
    """The faults of the mapping files, for the notice on every page."""

    faults: tuple[str, ...] = ()
    """Each as ``file:line: what is wrong``."""
    earlier: bool = True
    """Whether the pages show the files as they were before the faults; else they show the rows without faults."""


_without_faults: Final[dict[Path, Mappings]] = {}
"""By folder, the files as they were when they last had no fault; each process has its own."""


@functools.lru_cache(maxsize=_STORES)
def _mappings(folder: Path, _files: Stamp) -> tuple[Mappings, MappingFaults]:
    found = MappingFiles.read(folder)
    if not found.faults:
        _without_faults[folder] = found.mappings
        return found.mappings, MappingFaults()
    log.warning("mapping files at fault in %s:\n%s", folder, "\n".join(found.faults))
    earlier = _without_faults.get(folder)
    return earlier or found.mappings, MappingFaults(found.faults, earlier=earlier is not None)


@functools.lru_cache(maxsize=_STORES)
def _unit_readers(folder: Path, _file: Stamp) -> readers.UnitReaders:
    found, faults = readers.read_readers(folder)
    if faults:
        log.warning("unit readers at fault in %s:\n%s", folder, "\n".join(faults))
    return found


@functools.lru_cache(maxsize=_STORES)
def _risks(folder: Path, _file: Stamp) -> tuple[Risk, ...]:
    found, faults = read_register(folder)
    if faults:
        log.warning("risks at fault in %s:\n%s", folder, "\n".join(faults))
    return found


@functools.lru_cache(maxsize=_STORES)
def _limits(folder: Path, _files: Stamp) -> Mapping[Gate, float]:
    return load_gates(folder)


@functools.lru_cache(maxsize=_STORES)
def _suites(folder: Path, _files: Stamp) -> tuple[Suite, ...]:
    return tuple(load_suites(folder).values())


class Site:
    """One request's view of the deployment; the connections are kept between requests."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, from the environment."""
        return Settings.read()

    @cached_property
    def mappings(self) -> Mappings:
        """The mapping files, read again when one has changed; without what is at fault (``mapping_faults``)."""
        return self._mapping_files[0]

    @property
    def mapping_faults(self) -> MappingFaults:
        """The faults of the mapping files as they are now."""
        return self._mapping_files[1]

    @cached_property
    def _mapping_files(self) -> tuple[Mappings, MappingFaults]:
        folder = self.settings.mappings_dir
        return _mappings(folder, _stamp(folder, "*.csv"))

    @cached_property
    def unit_readers(self) -> readers.UnitReaders:
        """Which users work at which units, as the file has it now; read again when it has changed."""
        folder = self.settings.mappings_dir
        return _unit_readers(folder, _stamp(folder, readers.FILE))

    @cached_property
    def risks(self) -> tuple[Risk, ...]:
        """The register of risks as the file has it now, without rows at fault; ``make check-mappings`` names those."""
        folder = self.settings.mappings_dir
        return _risks(folder, _stamp(folder, FILE))

    @cached_property
    def limits(self) -> Mapping[Gate, float]:
        """The limits of the gates, read again when a file has changed; empty where the file is at fault."""
        folder = self.settings.mappings_dir
        try:
            return _limits(folder, _stamp(folder, "*.csv"))
        except MappingError:
            # The notice on every page names the fault.
            return {}

    @cached_property
    def suites(self) -> tuple[Suite, ...]:
        """The expectation suites as they are now; read again when one has changed."""
        folder = self.settings.expectations_dir
        return _suites(folder, _stamp(folder, "*.json"))

    @cached_property
    def store(self) -> StagingStore:
        """The staging database; the whole process has one engine for each connection."""
        return _store(
            staging_url(self.settings.accounts.staging_dashboard), self.settings.connections, self.settings.page_seconds
        )

    @property
    def today(self) -> Today:
        """The day in Stockholm, and what is late on it."""
        return Today.of(day_in_stockholm(dt.datetime.now(dt.UTC)), self.settings.late_days)

    def answers(self) -> bool:
        """Tell whether the staging database answers, within a few seconds."""
        return reading.answers(
            _looked_at(staging_url(self.settings.accounts.staging_dashboard), self.settings.connections)
        )

    @property
    def snapshots(self) -> UPath:
        """The folder in which each batch has its snapshot."""
        return place(self.settings.snapshot_url, self.settings)

    def measured_gates(self, batch_id: str) -> tuple[GateResult, ...] | None:
        """Return the gates' results stored beside a dry run's snapshot, the failed first; None without such results."""
        try:
            measured = read_measured(files_of(self.store, self.snapshots, batch_id))
        except (SnapshotError, OSError) as error:
            # The page is still useful without them.
            log.warning("the gates of batch %s cannot be read: %s", batch_id, type(error).__name__)
            return None
        return tuple(sorted(measured, key=lambda result: result.passed)) or None

    def reading(self, doing: str) -> AbstractContextManager[sa.Connection]:
        """Yield a connection on which a whole page is read as of one moment.

        Raises:
            NoBatchError, StagingError: see ``waitlist.reports.pages.reading``.
        """
        return reading.reading(self.store, doing)


async def site() -> Site:
    """Return the deployment, for FastAPI to inject."""
    return Site()


SiteDep = Annotated[Site, Depends(site)]
