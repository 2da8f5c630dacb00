"""The facts that decide a batch besides the posts and the as-of date: rules, mapping files, gates, suites, settings.

A batch stores a digest of each file and the value of each setting at the time when it is opened. A later step refuses
to run with other facts. Otherwise some posts would be assessed by other rules than the rest, or a wave would be
released under other gates than it was approved under.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from waitlist import quality
from waitlist.facts import gates as gate_limits
from waitlist.facts.gates import Gate
from waitlist.facts.mappings import REFERENCES, Mappings, read_mappings, refuse_faults
from waitlist.judge.rules import BUILT_IN_SEVERITIES, EDITION, EDITION_WITH_PERSONS
from waitlist.quality import Looks, Suite
from waitlist.settings import RuleSettings, Settings
from waitlist.staging.dry_runs import RULES

_SETTING: Final = "WAITLIST_"
_POST_SYSTEM: Final = "post_system"
_LATER: Final = (_POST_SYSTEM, "sample_faults")
"""Rule settings that earlier releases did not have."""
_OF_PERSONS: Final = frozenset({"pu", "pu_test_persons"})
"""Rule settings that decide something only where the person service is asked."""


@dataclass(frozen=True)
class MappingFiles:
    """The mapping files, ``gates.csv`` among them, as they are."""

    mappings: Mappings
    limits: Mapping[Gate, float]
    faults: tuple[str, ...]
    """Each as ``file:line: what is wrong``. Where there is one, nothing may be judged by the rest."""

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read every file of a folder; what is at fault is left out."""
        mappings, faults = read_mappings(directory, raisable=BUILT_IN_SEVERITIES)
        limits, more = gate_limits.read_gates(directory)
        return cls(mappings, limits, (*faults, *more))


@dataclass(frozen=True)
class Facts:
    """All facts, read once."""

    mappings: Mappings
    limits: Mapping[Gate, float]
    suites: Mapping[str, Suite]
    """Those that apply: where nobody is asked, no suite looks at the person service's answers."""
    rules: RuleSettings

    @classmethod
    def read(cls, settings: Settings) -> Self:
        """Read every file.

        Raises:
            MappingError, SuiteError: names every fault of its kind.
        """
        found = MappingFiles.read(settings.mappings_dir)
        refuse_faults(settings.mappings_dir, found.faults)
        asks, suites = settings.rules.asks_persons, quality.load_suites(settings.expectations_dir)
        limits = {**found.limits, **({Gate.PERSONS_NOT_ASKED: 0.0} if asks else {})}
        applying = {name: suite for name, suite in suites.items() if asks or suite.looks is not Looks.ANSWERS}
        return cls(found.mappings, limits, applying, settings.rules)

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """By name: the rules' edition, the SHA-256 of each file's content, and the value of each rule setting."""
        values = self.rules.model_dump(mode="json")
        if not self.rules.asks_persons:
            # Without them the digests are those of a release that had no such rules: its batches stay valid.
            values = {name: value for name, value in values.items() if name not in _OF_PERSONS}
        for name in _LATER:
            if getattr(self.rules, name) == RuleSettings.model_fields[name].default:
                # The same for a release that had no such setting.
                del values[name]
        return {
            RULES: EDITION_WITH_PERSONS if self.rules.asks_persons else EDITION,
            **self.mappings.digests,
            gate_limits.FILE: gate_limits.digest(self.limits),
            **{f"{name}.json": quality.digest(suite) for name, suite in self.suites.items()},
            **{f"{_SETTING}{name.upper()}": json.dumps(value) for name, value in values.items()},
        }

    @cached_property
    def version(self) -> str:
        """SHA-256 of ``digests``: a batch's ``rules_version``."""
        return hashlib.sha256(json.dumps(dict(self.digests), sort_keys=True).encode()).hexdigest()

    @staticmethod
    def asked_persons(digests: Mapping[str, str]) -> bool:
        """Return whether a batch that was opened with these digests asked the person service."""
        return f"{_SETTING}PU" in digests

    def of_hand_off_differing(self, digests: Mapping[str, str]) -> list[str]:
        """Return, as ``differing`` does, those that decide what a hand-off of the batch contains besides its rows."""
        named = {REFERENCES, f"{_SETTING}{_POST_SYSTEM.upper()}"}
        return [told for told in self.differing(digests) if told.split(" ", 1)[0] in named]

    def differing(self, digests: Mapping[str, str]) -> list[str]:
        """Return the files, and the settings with their values, that differ from what a batch was opened with."""
        now = self.digests
        names = sorted(name for name in {*digests, *now} if digests.get(name) != now.get(name))
        return [
            f"{name} ({digests[name]} then, {now[name]} now)"
            if name.startswith(_SETTING) and name in digests and name in now
            else name
            for name in names
        ]


def asks_persons(facts: Mapping[str, str] | None) -> bool:
    """Whether the person service had to be asked, by the facts that a batch was opened with (``Facts.digests``)."""
    return facts is not None and facts.get(RULES) == EDITION_WITH_PERSONS
