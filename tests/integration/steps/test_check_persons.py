"""The step that asks the person service, in the pipeline, against the simulated service over real TLS."""

import datetime as dt
import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.support import batches
from tests.support.errors import texts_of
from tests.support.person_service import address, serving
from tests.support.pmo import UNITS, SmallPmo, official_number, post, sqlite_pmo
from tests.support.runs import AS_OF, planned, request, verified
from upath import UPath

from waitlist import paths
from waitlist.columns.dates import day_in_stockholm
from waitlist.exceptions import PersonServiceError, RefusedError, SettingsError, SnapshotError
from waitlist.facts.gates import Gate
from waitlist.judge.persons import ANSWERS
from waitlist.judge.rules import OF_PERSONS, Code
from waitlist.quality import Outcome, QualityResult, load_suites
from waitlist.release.gates import stored
from waitlist.reports.approval import summary
from waitlist.reports.notices import Notice
from waitlist.reports.pages.batch import read_batch
from waitlist.reports.pages.released import read_released
from waitlist.settings import PersonCheck, PersonServiceSettings, PersonsForTests, RuleSettings, Settings
from waitlist.simulator.person_service import Certificates, Person, PersonService, Switch, make_certificates
from waitlist.source.pu import asking
from waitlist.staging import StagingStore, persons, schema
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run
from waitlist.swedish.words import PERSONS_SUITE_NOT_APPLICABLE

BIRTHS = [dt.date(1984, 3, 1) + dt.timedelta(days) for days in range(40)]
NUMBERS = [official_number(birth, 239) for birth in BIRTHS]
IDS = [number.replace("-", "") for number in NUMBERS]
NAME = "Hemligsson, Dold"
WAVE = Request("waitlist_migration", "wave", "migration", AS_OF, waves=("1",))
WHO = "lead"
WHY = "Testad och godkänd i prov."
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)

ALIVE, DEAD, FOUND_DEAD, CHANGED, EMIGRATED, UNKNOWN, PROTECTED, SECRET, OTHER_NAME = range(9)
NOBODY_WAITS, NO_PERSONNUMMER = 9, 10
POSTS = 11
WAITING, MIGRATING = 9, 4
NOT_ASKED = {case: {"PU_NOT_ASKED"} for case in range(WAITING)}
NAMED = {"given_name": "Dold", "surname": "Hemligsson"}
PEOPLE = [
    Person(IDS[ALIVE], **NAMED),
    Person(IDS[DEAD], **NAMED, reason="AV", deregistered_at="2024-05"),
    Person(IDS[FOUND_DEAD], **NAMED, found_dead_at="2024-05-06"),
    Person(IDS[CHANGED], **NAMED, primary=False, reason="GN"),
    Person(IDS[EMIGRATED], **NAMED, reason="UV"),
    Person(IDS[PROTECTED], **NAMED, protected_record=True),
    Person(IDS[SECRET], protected_person=True),
    Person(IDS[OTHER_NAME], given_name="Dold", surname="Annansson"),
    Person(IDS[NOBODY_WAITS], **NAMED, reason="AV"),
]


def rows() -> list[dict[str, Any]]:
    """One post for each case; ids are one more than the case."""
    found = [post(case + 1, personnummer=NUMBERS[case], namn=NAME) for case in range(POSTS)]
    found[NOBODY_WAITS]["vantar_pa_besok"] = 0
    found[NO_PERSONNUMMER]["personnummer"] = "19840363-2391"
    return found


class Clock:
    """The moment of each call, and of each step."""

    def __init__(self) -> None:
        self.moment = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.moment


@dataclass
class Site:
    """A small PMO, the simulated service, and a deployment that asks it."""

    folder: Path
    pmo: SmallPmo
    service: PersonService
    certificates: Certificates
    clock: Clock = field(default_factory=Clock)
    pu: PersonCheck = PersonCheck.REQUIRED
    test_persons: PersonsForTests = PersonsForTests.ALLOW
    settings: dict[str, Any] = field(default_factory=dict)
    connected: bool = True
    _made: dict[Any, Pipeline] = field(default_factory=dict)

    @property
    def steps(self) -> Pipeline:
        """The deployment as it is set up now; one for as long as that does not change."""
        key = (self.pu, self.test_persons, self.connected, tuple(self.settings.items()))
        if key not in self._made:
            self._made[key] = self._make()
        return self._made[key]

    def _make(self) -> Pipeline:
        asking = {"pu_ask_past": True, "pu_name_key": "k" * 32, "pu_seconds": 31, **self.settings}
        settings = Settings(
            mappings_dir=self.folder / "mappings",
            partition_posts=POSTS,
            approvers=WHO,
            rules=RuleSettings(pu=self.pu, pu_test_persons=self.test_persons),
            person_service=PersonServiceSettings(**asking),
        )
        known = {"person_service": lambda: address(self.service, self.certificates)} if self.connected else {}
        return Pipeline(
            settings,
            snapshots=UPath(self.folder / "snapshots"),
            pmo=lambda: self.pmo.odbc,
            staging=lambda: f"sqlite:///{self.folder / 'staging.sqlite'}",
            clock=self.clock,
            hand_offs=UPath(self.folder / "hand_offs"),
            **known,
        )

    @property
    def store(self) -> StagingStore:
        return self.steps.store

    @property
    def now(self) -> dt.datetime:
        return self.clock.moment

    def asked(self) -> int:
        """Of how many persons the service has heard, in calls that were answered or not."""
        return sum(call.persons for call in self.service.calls)

    def extracted(self, asked: Request) -> tuple[Run, list[int]]:
        steps = self.steps
        run = steps.open_batch(asked, now=self.now)
        numbers = steps.plan_extract(run)
        for number in numbers:
            steps.extract(run, number)
        return run, numbers

    def check(self, run: Run, numbers: list[int]) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for number in numbers:
            for name, count in self.steps.check_persons(run, number, now=self.now).items():
                counts[name] += count
        return dict(counts)

    def findings(self, run: Run, numbers: list[int]) -> dict[int, set[str]]:
        """Assess, and return what the person service brought about."""
        self.steps.find_duplicates(run)
        for number in numbers:
            self.steps.assess(run, number, now=self.now)
        table = schema.finding.c
        query = sa.select(table.post_id, table.rule).where(
            table.batch_id == run.batch_id, table.rule.like("PU%") | (table.rule == "PROTECTED_IDENTITY")
        )
        found: dict[int, set[str]] = defaultdict(set)
        with self.store.engine.connect() as connection:
            for post_id, rule in connection.execute(query):
                found[post_id - 1].add(rule)
        return dict(found)

    def night(self, run_id: str = "night", **asked: Any) -> tuple[dict[str, int], dict[int, set[str]]]:
        run, numbers = self.extracted(request(run_id, **{"as_of": day_in_stockholm(self.now), **asked}))
        return self.check(run, numbers), self.findings(run, numbers)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def service(certificates: Certificates) -> Iterator[PersonService]:
    with serving(certificates, *PEOPLE) as service:
        yield service


@pytest.fixture
def site(service: PersonService, certificates: Certificates, tmp_path: Path) -> Site:
    planned(tmp_path, {UNITS[1][0]: "1"})
    site = Site(tmp_path, sqlite_pmo(tmp_path, rows()), service, certificates)
    batches.migrated_file(tmp_path / "staging.sqlite")
    persons.record_check(site.store.database, "P1", deceased_seen_at=site.now)
    return site


FOUND = {
    DEAD: {"PU_DECEASED"},
    FOUND_DEAD: {"PU_DECEASED", "PU_DEREGISTERED"},
    CHANGED: {"PU_NUMBER_CHANGED"},
    EMIGRATED: {"PU_DEREGISTERED"},
    UNKNOWN: {"PU_NOT_FOUND"},
    PROTECTED: {"PROTECTED_IDENTITY"},
    SECRET: {"PROTECTED_IDENTITY"},
    OTHER_NAME: {"PU_NAME_MISMATCH"},
}


def test_each_rule_fires_from_the_answer_and_nobody_else_is_asked_about(site: Site) -> None:
    counts, found = site.night()
    assert counts == {"persons": WAITING, "asked": WAITING, "without_answer": 0}
    assert found == FOUND
    assert site.asked() == WAITING


def test_a_test_person_is_refused_unless_the_setting_allows_it(site: Site) -> None:
    site.test_persons = PersonsForTests.REFUSE
    assert "PU_TEST_PERSON" in site.night()[1][ALIVE]


class TestDryRun:
    def test_a_fresh_answer_is_not_asked_for_again_but_a_corrected_name_is(self, site: Site) -> None:
        site.night()
        site.pmo.run(f"UPDATE patient SET namn = 'Annansson, Dold' WHERE patient_id = {OTHER_NAME + 1}")
        counts, found = site.night("second")
        assert (counts["asked"], site.asked()) == (1, WAITING + 1)
        assert OTHER_NAME not in found

    def test_within_a_week_everybody_is_asked_about_once_more_and_a_part_each_night(self, site: Site) -> None:
        site.night()
        asked = []
        for night in range(7):
            site.clock.moment += DAY
            asked.append(site.night(f"night-{night}")[0]["asked"])
        assert sum(asked) == WAITING
        assert max(asked) < WAITING

    def test_after_nights_that_failed_an_old_answer_is_asked_for_again(self, site: Site) -> None:
        site.night()
        site.clock.moment += 8 * DAY
        assert site.night("later")[0]["asked"] == WAITING

    def test_somebody_of_two_parts_is_asked_about_once(self, site: Site) -> None:
        site.pmo.add([post(100 + place, personnummer=NUMBERS[ALIVE], namn=NAME) for place in range(12)])
        run, numbers = site.extracted(request())
        counts = site.check(run, numbers)
        assert counts["persons"] > WAITING
        assert counts["asked"] == WAITING

    def test_a_released_post_is_asked_about_while_it_is_open(self, site: Site) -> None:
        release(site)
        site.pmo.run("UPDATE vantelistepost SET vantar_pa_besok = 0")
        site.clock.moment += 8 * DAY
        assert site.night("later")[0]["persons"] == MIGRATING

    def test_a_run_of_a_past_day_asks_nobody_and_uses_what_was_answered_by_its_day(self, site: Site) -> None:
        site.settings["pu_ask_past"] = False
        alive, dead = ((ALIVE, {}), (DEAD, {"reason": "AV", "deregistered": True}))
        site.clock.moment = dt.datetime(2024, 9, 30, 4, 0, tzinfo=dt.UTC)
        for case, more in (alive, dead):
            keep(site, case, asked_at=site.now, **more)
        keep(site, EMIGRATED, asked_at=site.now + 2 * DAY, reason="UV", deregistered=True)
        site.clock.moment += 4 * DAY
        counts, found = site.night(as_of=AS_OF)
        assert counts == {"persons": WAITING, "asked": 0, "without_answer": WAITING - 2}
        assert found[DEAD] == {"PU_DECEASED"}
        assert found[EMIGRATED] == {"PU_NOT_ASKED"}
        assert site.asked() == 0

    def test_a_rerun_of_a_past_day_says_what_the_batch_said_at_its_time(self, site: Site) -> None:
        before = site.night(as_of=AS_OF)[1]
        with site.store.engine.begin() as connection:
            connection.execute(schema.person_status.delete())
            connection.execute(schema.person_name.delete())
        site.settings["pu_ask_past"] = False
        counts, found = site.night(as_of=AS_OF)
        assert (counts["asked"], counts["without_answer"]) == (0, 0)
        assert found == before == FOUND

    def test_a_demo_asks_as_of_past_days_as_if_they_were_today(self, site: Site) -> None:
        asked = [site.night(f"night-{day}", as_of=AS_OF + day * DAY)[0]["asked"] for day in range(8)]
        assert asked[0] == sum(asked[1:]) == WAITING
        assert site.night("again", as_of=AS_OF + 7 * DAY)[0]["asked"] == 0

    def test_a_replay_asks_nobody_and_uses_the_answers_of_the_older_batch(self, site: Site) -> None:
        run, numbers = site.extracted(request("older"))
        site.check(run, numbers)
        asked = site.asked()
        with site.store.engine.begin() as connection:
            connection.execute(schema.person_status.delete())
        counts, found = site.night("replay", as_of=AS_OF, reuse_snapshot=run.batch_id)
        assert (counts["asked"], counts["without_answer"], site.asked()) == (0, 0, asked)
        assert found == FOUND

    def test_a_replay_of_a_batch_that_asked_nobody_says_so_of_everybody(self, site: Site) -> None:
        site.pu = PersonCheck.OFF
        run, numbers = site.extracted(request("older"))
        assert site.check(run, numbers) == {}
        site.pu = PersonCheck.REQUIRED
        counts, found = site.night("replay", as_of=AS_OF, reuse_snapshot=run.batch_id)
        assert counts["without_answer"] == WAITING
        assert found == NOT_ASKED

    def test_off_asks_nobody_though_there_is_a_service(self, site: Site) -> None:
        site.pu = PersonCheck.OFF
        assert site.night() == ({}, {})
        assert site.asked() == 0


class TestSuite:
    def test_each_expectation_counts_what_the_assessment_found(self, site: Site) -> None:
        site.test_persons = PersonsForTests.REFUSE
        run, numbers, findings = self.judged(site)
        found = self.of_persons(site, run)
        fired = Counter(rule for rules in findings.values() for rule in rules if rule in OF_PERSONS)
        assert set(fired) == OF_PERSONS - {Code.PU_NOT_ASKED}
        assert {rule: result.unexpected for rule, result in found.items() if result.unexpected} == fired
        assert {result.evaluated for result in found.values()} == {POSTS}
        assert found[Code.PU_DECEASED].outcome is Outcome.FAILED
        assert found[Code.PU_NOT_ASKED].outcome is Outcome.PASSED
        assert len(numbers) == 1

    def test_posts_of_two_parts_without_an_answer_are_counted_together(self, site: Site) -> None:
        site.pmo.add([post(100 + place, personnummer=NUMBERS[ALIVE], namn=NAME) for place in range(12)])
        site.service.switch = Switch.FAULT
        run, numbers, findings = self.judged(site)
        found = self.of_persons(site, run)
        assert len(numbers) > 1
        assert found[Code.PU_NOT_ASKED].unexpected == len(findings) == WAITING + 12
        assert found[Code.PU_NOT_ASKED].evaluated == POSTS + 12
        assert [rule for rule, result in found.items() if result.unexpected] == [Code.PU_NOT_ASKED]

    def test_where_nobody_is_asked_it_gives_no_result_and_the_text_says_that_it_is_not_applicable(
        self, site: Site
    ) -> None:
        site.pu = PersonCheck.OFF
        run, _, _ = self.judged(site)
        assert self.of_persons(site, run) == {}
        assert site.steps.store.quality_results(run.batch_id)
        site.steps.check_contract(run)
        site.steps.reconcile(run, now=site.now)
        site.steps.verify(run, now=site.now)
        text = summary(site.store, run.batch_id, site.steps.facts.mappings, None)
        assert f"folkbokföringen. {PERSONS_SUITE_NOT_APPLICABLE}\n" in text
        suites = load_suites(paths.EXPECTATIONS).values()
        shown = {suite.name: suite for suite in read_batch(site.store, run.batch_id, suites=suites).suites}
        assert (shown["persons"].outcome, shown["persons"].checks) == (Outcome.NOT_APPLICABLE, ())
        assert shown["identity"].checks

    def test_what_it_said_of_other_answers_does_not_count(self, site: Site) -> None:
        run, numbers, _ = self.judged(site)
        site.steps.check_contract(run)
        now_says(site, Person(IDS[ALIVE], **NAMED, reason="AV"))
        with site.store.engine.begin() as connection:
            connection.execute(schema.person_status.delete())
        assert site.check(run, numbers)["asked"] == WAITING
        assert site.findings(run, numbers)[ALIVE] == {"PU_DECEASED"}
        site.steps.reconcile(run, now=site.now)
        with pytest.raises(RefusedError, match=r"not what it holds now: persons; clear check_snapshot, and what"):
            site.steps.verify(run, now=site.now)
        before = self.of_persons(site, run)[Code.PU_DECEASED].unexpected
        site.steps.check_snapshot(run)
        assert self.of_persons(site, run)[Code.PU_DECEASED].unexpected == before + 1
        site.steps.verify(run, now=site.now)
        text = summary(site.store, run.batch_id, site.steps.facts.mappings, None)
        assert "Krav på Personuppgiftstjänstens svar: inte uppfyllt 5, uppfyllt 2.\n" in text
        shown = read_batch(site.store, run.batch_id, suites=site.steps.facts.suites.values()).suites
        assert {len(suite.checks) for suite in shown if suite.name == "persons"} == {len(OF_PERSONS)}

    @staticmethod
    def judged(site: Site) -> tuple[Run, list[int], dict[int, set[str]]]:
        run, numbers = site.extracted(request(as_of=day_in_stockholm(site.now)))
        site.check(run, numbers)
        findings = site.findings(run, numbers)
        site.steps.check_snapshot(run)
        return run, numbers, findings

    @staticmethod
    def of_persons(site: Site, run: Run) -> dict[str, QualityResult]:
        results = site.store.quality_results(run.batch_id)
        return {result.expectation: result for result in results if result.suite == "persons"}


def keep(site: Site, case: int, *, asked_at: dt.datetime, **more: Any) -> None:
    """Keep an answer about a person that was asked about earlier, with PMO's name."""
    flags = ("protected_person", "protected_record", "test_person", "deregistered", "found_dead")
    nothing = dict.fromkeys(flags, False)
    row = {"person_id": IDS[case], "found": True, "is_primary": True, "reason": None, **nothing, **more}
    persons.keep(
        site.store.database,
        pa.Table.from_pylist([row], schema=ANSWERS),
        persons.COMPARISONS.empty_table(),
        asked_at=asked_at,
    )


def now_says(site: Site, person: Person) -> None:
    """Let the service say something else of a person."""
    site.service._people[person.id] = person


def awaiting(site: Site, wave: Request = WAVE) -> Run:
    """Take a wave up to its approval; its suites say nothing."""
    run, numbers = site.extracted(wave)
    site.check(run, numbers)
    site.findings(run, numbers)
    verified(site.steps, site.folder, run)
    site.steps.request_approval(run, now=site.now)
    return run


def answer(site: Site, run: Run) -> dict[str, Any]:
    question = site.steps.approval_question(run)
    assert question is not None
    return site.steps.release(run, WHO, WHY, asked=question.entry, now=site.now)


def release(site: Site) -> Run:
    run = awaiting(site)
    answer(site, run)
    return run


class TestMigration:
    def test_everybody_is_asked_about_after_it_was_opened_whatever_is_known(self, site: Site) -> None:
        site.night()
        site.clock.moment += MINUTE
        run, numbers = site.extracted(WAVE)
        assert site.check(run, numbers) == {"persons": WAITING, "asked": WAITING, "without_answer": 0}
        assert site.check(run, numbers)["asked"] == 0, "a step that is tried again asks only about the others"

    def test_it_fails_without_an_answer_and_hands_nothing_on(self, site: Site) -> None:
        run, numbers = site.extracted(WAVE)
        site.service.switch = Switch.SHORT
        with pytest.raises(PersonServiceError, match="persons have no record"):
            site.check(run, numbers)
        site.steps.find_duplicates(run)
        with pytest.raises(SnapshotError, match="clear check_persons"):
            site.steps.assess(run, numbers[0], now=site.now)

    @pytest.mark.parametrize("fault", ["no connection", "expired", "past", "never seen", "no key"])
    def test_it_is_not_opened_where_it_could_not_ask(self, site: Site, fault: str) -> None:
        told = {
            "no connection": "connection pu: this deployment has no person service",
            "expired": "connection pu: our certificate for the person service expired at",
            "past": "as_of: a migration asks about everybody, and 2024-10-01 is before yesterday",
            "never seen": "WAITLIST_PU_PROFILE: nobody has seen that P2 tells of deaths",
            "no key": "WAITLIST_PU_NAME_KEY: is missing",
        }
        if fault == "no connection":
            site.connected = False
        elif fault == "expired":
            site.clock.moment += 400 * DAY
        else:
            name, value = {
                "past": ("pu_ask_past", False), "never seen": ("pu_profile", "P2"), "no key": ("pu_name_key", None)
            }[fault]  # fmt: skip
            site.settings[name] = value
        with pytest.raises(SettingsError, match=r"^WAITLIST_PU is required, and:\n  ") as caught:
            site.steps.open_batch(WAVE, now=site.now)
        assert str(caught.value).count("\n") == 1
        assert told[fault] in str(caught.value)
        assert not site.store.knows(WAVE.batch_id)


def labels(site: Site, run: Run) -> dict[int, list[str]]:
    """Return the codes of protection in the hand-off of a run, by case."""
    site.steps.hand_off(run, now=site.now)
    lines = (site.folder / "hand_offs" / run.batch_id / "appointments.ndjson").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in map(json.loads, lines):
        codes = [label["code"] for label in line.get("meta", {}).get("security", [])]
        number = next(int(identifier["value"]) for identifier in line["identifier"])
        found[number - 1] = sorted(codes)
    return found


class TestHandOff:
    def test_a_protected_identity_is_labelled_by_what_the_service_says_of_the_person(self, site: Site) -> None:
        found = labels(site, release(site))
        plain = {case: codes for case, codes in found.items() if case not in {PROTECTED, SECRET}}
        assert set(map(tuple, plain.values())) == {()}
        assert found[PROTECTED] != found[SECRET]
        assert len(found[PROTECTED]) == len(found[SECRET]) == 1

    def test_the_answers_are_those_that_the_batch_was_judged_by(self, site: Site) -> None:
        run = release(site)
        before = labels(site, run)
        now_says(site, replace(PEOPLE[0], protected_person=True))
        site.clock.moment += DAY
        site.night("later")
        assert labels(site, run) == before


class TestRelease:
    def test_within_a_day_nobody_is_asked_about_again(self, site: Site) -> None:
        run = awaiting(site)
        site.clock.moment += 23 * 60 * MINUTE
        assert answer(site, run)["posts"] == MIGRATING
        assert site.asked() == WAITING

    def test_after_a_day_everybody_is_asked_about_again(self, site: Site) -> None:
        run = awaiting(site)
        site.clock.moment += DAY + MINUTE
        assert answer(site, run)["posts"] == MIGRATING
        assert site.asked() == 2 * WAITING

    def test_any_difference_refuses_it(self, site: Site) -> None:
        run = awaiting(site)
        site.clock.moment += DAY + MINUTE
        now_says(site, replace(PEOPLE[0], reason="AV"))
        with pytest.raises(RefusedError, match="0 are missing and 1 have changed since the batch was judged"):
            answer(site, run)
        assert site.steps.store.batch(run.batch_id).state == "awaiting_approval"

    def test_a_new_surname_refuses_it_too(self, site: Site) -> None:
        run = awaiting(site)
        site.clock.moment += DAY + MINUTE
        now_says(site, replace(PEOPLE[0], surname="Nyss"))
        with pytest.raises(RefusedError, match="0 are missing and 1 have changed"):
            answer(site, run)

    def test_without_an_answer_nothing_is_released(self, site: Site) -> None:
        run = awaiting(site)
        site.clock.moment += DAY + MINUTE
        site.service.switch = Switch.FAULT
        with pytest.raises(PersonServiceError, match="refused the call"):
            answer(site, run)
        site.service.switch = None
        with pytest.raises(PersonServiceError, match="failed just now"):
            answer(site, run)
        site.clock.moment += 6 * MINUTE
        assert answer(site, run)["posts"] == MIGRATING


class TestFaults:
    @pytest.mark.parametrize("switch", [switch for switch in Switch if switch not in {Switch.SLOW, Switch.DRIP}])
    def test_a_dry_run_goes_on_and_says_so_and_a_migration_fails(self, site: Site, switch: Switch) -> None:
        site.service.switch = switch
        calls = len(site.service.calls)
        counts, found = site.night()
        assert counts == {"persons": WAITING, "asked": 0, "without_answer": WAITING}
        assert found == NOT_ASKED
        # Nobody calls again within five minutes, whatever is cleared or triggered.
        site.service.switch = None
        heard = len(site.service.calls)
        assert heard >= calls
        run, numbers = site.extracted(WAVE)
        with pytest.raises(PersonServiceError, match="failed just now: nobody asks it before"):
            site.check(run, numbers)
        assert site.night("other")[0]["without_answer"] == WAITING
        assert len(site.service.calls) == heard
        site.clock.moment += 5 * MINUTE
        assert site.check(run, numbers)["without_answer"] == 0


class TestAfterwards:
    def test_a_released_patient_who_has_died_comes_first_and_in_the_message_of_the_night(self, site: Site) -> None:
        run = release(site)
        site.pmo.run(f"UPDATE vantelistepost SET orsak = 'Nytt' WHERE post_id = {ALIVE + 1}")
        now_says(site, replace(PEOPLE[-2], reason="AV"))
        site.clock.moment += DAY
        asked = request("after", as_of=AS_OF + DAY)
        dry_run = take_night(site, asked)
        changed = read_released(site.store, site.steps.facts.mappings, 1)
        assert [(post.post_id, post.columns) for post in changed.posts] == [
            (OTHER_NAME + 1, ("PU_DECEASED",)),
            (ALIVE + 1, ("beskrivning",)),
        ]
        told: list[Notice] = []
        site.steps.watch_gates(dry_run, told.append)
        assert [notice.subject for notice in told if "Millennium" in notice.subject] == [
            "Väntelistorna: rätta en överförd post i Millennium"
        ]
        again = take_night(site, request("next", as_of=AS_OF + 2 * DAY))
        told.clear()
        site.steps.watch_gates(again, told.append)
        assert not any("Millennium" in notice.subject for notice in told), "it is news once"
        assert run.batch_id != again.batch_id

    def test_a_new_mark_of_protection_comes_first_too(self, site: Site) -> None:
        release(site)
        now_says(site, replace(PEOPLE[0], protected_record=True))
        site.clock.moment += DAY
        take_night(site, request("after", as_of=AS_OF + DAY))
        (post,) = read_released(site.store, site.steps.facts.mappings, 1).posts
        assert (post.post_id, post.columns) == (ALIVE + 1, ("PROTECTED_IDENTITY", "sekretess"))

    def test_the_approver_reads_what_was_asked_and_that_nobody_was(self, site: Site) -> None:
        run = awaiting(site)
        question = site.steps.approval_question(run)
        assert question is not None
        assert "Antal poster med anmärkning efter kontrollen mot Personuppgiftstjänsten: " in question.body
        assert "Avliden" in question.body
        assert Gate.PERSONS_NOT_ASKED in {result.gate for result in stored(site.store, run.batch_id)}
        site.pu = PersonCheck.OFF
        off = replace(WAVE, run_id="off")
        question = site.steps.approval_question(awaiting(site, off))
        assert question is not None
        assert "**Personuppgiftstjänsten tillfrågades inte:**" in question.body

    def test_no_reason_gets_a_wave_past_a_patient_without_an_answer(self, site: Site) -> None:
        run, numbers = site.extracted(WAVE)
        site.check(run, numbers)
        site.findings(run, numbers)
        verified(site.steps, site.folder, run)
        with site.store.engine.begin() as connection:
            row = {"batch_id": run.batch_id, "post_id": 1, "rule": "PU_NOT_ASKED", "severity": "info"}
            connection.execute(schema.finding.insert(), [row])
        with pytest.raises(RefusedError, match="has not answered about everybody who waits, so it cannot be approved"):
            site.steps.request_approval(run, now=site.now)

    @pytest.mark.parametrize(("days", "said"), [(31, None), (30, "om 30 dagar"), (1, "i morgon"), (-1, "har gått ut")])
    def test_the_leads_get_a_message_before_our_certificate_expires(
        self, site: Site, days: int, said: str | None
    ) -> None:
        site.clock.moment += (365 - days) * DAY
        told: list[Notice] = []
        site.steps.watch_gates(take_night(site, request("night")), told.append)
        found = [notice.subject for notice in told if "certifikatet" in notice.subject]
        assert (said is None) is (found == [])
        assert all(said and said in subject for subject in found)
        told.clear()
        site.steps.watch_gates(take_night(site, request("again")), told.append)
        assert not any("certifikatet" in notice.subject for notice in told)


def take_night(site: Site, asked: Request) -> Run:
    """Take a dry run up to a verified batch; its suites say nothing."""
    run, numbers = site.extracted(asked)
    site.check(run, numbers)
    site.findings(run, numbers)
    site.steps.find_changes(run)
    verified(site.steps, site.folder, run)
    return run


class TestPrivacy:
    """The register's names are nowhere; numbers are where the law has them, and in no log, error or result."""

    MARKED = "Märkesson"

    @pytest.mark.parametrize("switch", [None, Switch.FAULT, Switch.HALF, Switch.TWO, Switch.WRONG, Switch.GARBAGE])
    def test_no_name_number_or_text_of_a_fault_is_told(
        self, site: Site, switch: Switch | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        for person in PEOPLE:
            now_says(site, replace(person, surname=self.MARKED))
        caplog.set_level(logging.DEBUG)
        site.service.switch = switch
        told: list[object] = [site.night()[0]]
        run, numbers = site.extracted(WAVE)
        try:
            told += [site.check(run, numbers), site.steps.check_snapshot(run)]
        except PersonServiceError as error:
            told.append(texts_of(error))
        written = "\n".join([*map(str, told), *(f"{line.getMessage()} {line.args}" for line in caplog.records)])
        for secret in (*IDS, *NUMBERS, self.MARKED, "Hemligsson", "producer", "Sidan"):
            assert secret not in written
        kept = b"".join(
            path.read_bytes() for path in site.folder.rglob("*") if path.is_file() and "pmo" not in path.name
        )
        assert self.MARKED.encode() not in kept
        for path in (site.folder / "snapshots").rglob("persons-*.parquet"):
            columns = pq.read_table(path)
            assert not any(name in str(columns.to_pylist()) for name in ("Hemligsson", self.MARKED))
            assert columns.column_names == asking.USED.names
        assert not any(number in path.name for path in site.folder.rglob("*") for number in IDS)
