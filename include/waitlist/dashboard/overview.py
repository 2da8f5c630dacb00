"""Översikt: how far each wave and unit has come by the latest dry run."""

from dataclasses import dataclass

from waitlist.mappings import Mappings
from waitlist.readiness import LATEST, Readiness, read_readiness
from waitlist.staging import StagingStore


@dataclass(frozen=True, slots=True)
class Overview:
    """The page."""

    latest: Readiness


def read_overview(store: StagingStore, mappings: Mappings) -> Overview:
    """Read the page."""
    return Overview(read_readiness(store, LATEST, mappings))
