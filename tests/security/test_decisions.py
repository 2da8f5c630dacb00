"""The right to decide about a wave, the question that is answered, and a run's end: the logic checks all three."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import batches, releases
from tests.support.releases import LATER, PASSED, POSTS, REASON
from upath import UPath

from waitlist import paths
from waitlist.exceptions import RefusedError, SettingsError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.reports.approval import Question
from waitlist.reports.notices import Notice
from waitlist.settings import Settings
from waitlist.staging import PIPELINE, BatchState, EventName, StagingStore
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Request, Run, batch_id_of

LEAD = "lead"
ASKED = Request("waitlist_migration", "wave", "migration", batches.AS_OF, waves=("1",))
NIGHT = Request("waitlist_dry_run", "night", "dry_run", batches.AS_OF)
WAVE = ASKED.batch_id
RUN_ID = "manual__1"


@pytest.fixture
def store(tmp_path: Path) -> StagingStore:
    return batches.migrated_file(tmp_path / "staging.sqlite")


def steps(store: StagingStore, approvers: str = LEAD) -> Pipeline:
    url = store.engine.url.render_as_string(hide_password=False)
    return Pipeline(Settings(approvers=approvers), snapshots=UPath("/nowhere"), pmo=str, staging=lambda: url)


def awaiting(store: StagingStore) -> Run:
    """Put a wave before its approver; return its run."""
    version = steps(store).facts.version
    told = {"dag_id": ASKED.dag_id, "run_id": ASKED.run_id, "wave": "1", "rules_version": version}
    releases.awaiting(store, WAVE, POSTS, **told)
    return steps(store).opened(WAVE)


def read(question: Question | None) -> int:
    assert question is not None
    return question.entry


def refused(store: StagingStore, said: str, step: Callable[[], object]) -> None:
    before = batches.contents(store)
    with pytest.raises(RefusedError, match=said):
        step()
    assert batches.contents(store) == before


# The approver


@pytest.mark.parametrize("person", ["other", "", "LEAD", "lead ", "lead,other", "pipeline"])
def test_only_a_person_that_the_settings_name_at_that_moment_decides(store: StagingStore, person: str) -> None:
    run = awaiting(store)
    pipeline = steps(store)
    asked = read(pipeline.approval_question(run))
    said = "is not named in WAITLIST_APPROVERS; nothing was changed"
    refused(store, said, lambda: pipeline.release(run, person, REASON, asked=asked, now=LATER))
    refused(store, said, lambda: pipeline.reject(run, person, REASON, now=LATER))
    pipeline.release(run, LEAD, REASON, asked=asked, now=LATER)
    asked = read(pipeline.withdrawal_question(WAVE))
    refused(store, said, lambda: pipeline.withdraw(WAVE, person, REASON, asked=asked, now=LATER))
    refused(store, said, lambda: pipeline.keep(WAVE, person, REASON, asked_by=RUN_ID, now=LATER))


def test_an_approver_that_is_removed_between_question_and_answer_decides_nothing(store: StagingStore) -> None:
    run = awaiting(store)
    asked = read(steps(store, "lead,chef").approval_question(run))
    refused(
        store, "'lead' is not named", lambda: steps(store, "chef").release(run, LEAD, REASON, asked=asked, now=LATER)
    )


# The question


def test_an_answer_to_an_older_question_releases_and_withdraws_nothing(store: StagingStore) -> None:
    run, pipeline = awaiting(store), steps(store)
    older = read(pipeline.approval_question(run))
    release.request_approval(store, WAVE, releases.failing(Gate.UNHANDLED_SHARE), PIPELINE, LATER)
    said = "the batch has changed since this question was asked; nothing was changed"
    refused(store, said, lambda: pipeline.release(run, LEAD, REASON, asked=older, now=LATER))
    refused(store, "read an older question", lambda: pipeline.release(run, LEAD, REASON, asked=None, now=LATER))
    pipeline.release(run, LEAD, REASON, asked=read(pipeline.approval_question(run)), now=LATER)
    refused(store, said, lambda: pipeline.withdraw(WAVE, LEAD, REASON, asked=older, now=LATER))
    refused(store, "read an older question", lambda: pipeline.withdraw(WAVE, LEAD, REASON, asked=None, now=LATER))


def test_an_older_question_can_be_answered_with_no(store: StagingStore) -> None:
    run, pipeline = awaiting(store), steps(store)
    pipeline.reject(run, LEAD, None, now=LATER)
    assert store.batch(WAVE).state is BatchState.REJECTED


def test_a_question_is_made_from_the_database_and_asked_only_where_there_is_something_to_decide(
    store: StagingStore,
) -> None:
    told = {"dag_id": ASKED.dag_id, "run_id": ASKED.run_id, "wave": "1"}
    releases.verified(store, WAVE, POSTS, **told, rules_version=steps(store).facts.version)
    run, pipeline = steps(store).opened(WAVE), steps(store)
    refused(store, "is verified: request_approval has not fixed it yet", lambda: pipeline.approval_question(run))
    refused(store, "only a released one can be withdrawn", lambda: pipeline.withdrawal_question(WAVE))
    release.request_approval(store, WAVE, PASSED, PIPELINE, LATER)
    question = pipeline.approval_question(run)
    assert question is not None
    assert question.subject == "Ska våg 1 överföras till Millennium?"
    assert f"Körning `{WAVE}`" in question.body
    pipeline.release(run, LEAD, REASON, asked=question.entry, now=LATER)
    assert pipeline.approval_question(run) is None
    pipeline.withdraw(WAVE, LEAD, REASON, asked=read(pipeline.withdrawal_question(WAVE)), now=LATER)
    assert pipeline.withdrawal_question(WAVE) is None


# The batch


def test_no_other_run_has_the_batch_of_a_run(store: StagingStore) -> None:
    names = ["wave", "Wave", "wave ", "wáve", "wave\u0301", "../wave", "migration\x01wave", "", "w" * 250, "1", "11"]
    dags = ["waitlist_migration", "waitlist_migratio", "waitlist_migration1", "1"]
    ids = {batch_id_of("migration", dag, name) for dag in dags for name in names}
    assert len(ids) == len(dags) * len(names)
    with pytest.raises(RefusedError, match="is unknown: open it first"):
        steps(store).opened(batch_id_of("migration", "waitlist_migration", "../wave"))


# The end of a run

NOT_DONE = "even if Airflow shows the run's tasks as successful"


def told(notice: Notice | None) -> str:
    assert notice is not None
    return f"{notice.subject}\n{notice.text}"


def test_a_migration_ends_well_only_where_somebody_has_decided(store: StagingStore) -> None:
    pipeline = steps(store)
    refused(
        store,
        "has opened no batch, even if Airflow shows its tasks as successful",
        lambda: pipeline.conclude(ASKED, now=LATER),
    )
    run = awaiting(store)
    refused(store, f"is awaiting approval: nobody has approved or rejected it, .* {NOT_DONE}: "
            "a task that is marked as a success is no answer. Clear approve with what follows it",
            lambda: pipeline.conclude(ASKED, now=LATER))  # fmt: skip
    untrue = told(pipeline.ended(ASKED, now=LATER))
    assert "Migreringen av väntelistor står som lyckad men är inte klar" in untrue
    assert "Inget är överfört: våg 1, per 2024-10-01 väntar på beslut." in untrue
    pipeline.release(run, LEAD, REASON, asked=read(pipeline.approval_question(run)), now=LATER)
    assert pipeline.conclude(ASKED, now=LATER) is BatchState.RELEASED
    posts = len(releases.migrating(POSTS))
    assert f"Överfört till Millennium: {posts} poster, våg 1" in told(pipeline.ended(ASKED, now=LATER))


def test_a_rejected_wave_is_a_run_that_has_done_its_work(store: StagingStore) -> None:
    run, pipeline = awaiting(store), steps(store)
    pipeline.reject(run, LEAD, None, now=LATER)
    assert pipeline.conclude(ASKED, now=LATER) is BatchState.REJECTED
    assert "Avslaget: våg 1, per 2024-10-01. Inget är överfört." in told(pipeline.ended(ASKED, now=LATER))


def test_a_dry_run_ends_well_only_where_its_batch_is_verified(store: StagingStore) -> None:
    pipeline = steps(store)
    batches.open_batch(store, NIGHT.batch_id, dag_id=NIGHT.dag_id, run_id=NIGHT.run_id)
    refused(store, f"is open and not verified: its figures do not count, {NOT_DONE}",
            lambda: pipeline.conclude(NIGHT, now=LATER))  # fmt: skip
    assert "står som lyckad men är inte klar" in told(pipeline.ended(NIGHT, now=LATER))
    batches.set_state(store, "verified", NIGHT.batch_id)
    assert pipeline.conclude(NIGHT, now=LATER) is BatchState.VERIFIED
    assert pipeline.ended(NIGHT, now=LATER) is None, "a night that went well is no news"


def test_after_the_last_go_live_a_night_without_a_batch_is_a_night_that_did_its_work(
    store: StagingStore, tmp_path: Path
) -> None:
    mappings = shutil.copytree(paths.MAPPINGS, tmp_path / "mappings")
    with (mappings / "units.csv").open("a", encoding="utf-8") as units:
        units.write("SE2120009999-A,Enhet A,Pv,2024-09-02,1,,,,,Ledningen,\n")
    url = store.engine.url.render_as_string(hide_password=False)
    settings = Settings(mappings_dir=mappings)
    pipeline = Pipeline(settings, snapshots=UPath("/nowhere"), pmo=str, staging=lambda: url)
    assert pipeline.conclude(NIGHT, now=LATER) is None
    assert pipeline.ended(NIGHT, now=LATER) is None


def test_a_withdrawal_ends_well_only_where_somebody_has_answered_that_run(store: StagingStore) -> None:
    run, pipeline = awaiting(store), steps(store)
    pipeline.release(run, LEAD, REASON, asked=read(pipeline.approval_question(run)), now=LATER)
    dag = "waitlist_withdrawal"
    refused(store, "nobody has answered whether to withdraw it",
            lambda: pipeline.decided_withdrawal(WAVE, asked_by=RUN_ID))  # fmt: skip
    untrue = told(pipeline.ended_withdrawal(dag, WAVE, asked_by=RUN_ID))
    assert "Återtagandet av en överföring står som lyckad men är inte klar" in untrue
    pipeline.keep(WAVE, LEAD, REASON, asked_by=RUN_ID, now=LATER)
    kept = store.events(WAVE)[-1]
    assert (kept.event, kept.actor, kept.reason, kept.details["asked_by"]) == (EventName.KEPT, LEAD, REASON, RUN_ID)
    assert pipeline.decided_withdrawal(WAVE, asked_by=RUN_ID) is False
    assert "överföringen står kvar" in told(pipeline.ended_withdrawal(dag, WAVE, asked_by=RUN_ID))
    refused(store, "nobody has answered", lambda: pipeline.decided_withdrawal(WAVE, asked_by="another"))
    pipeline.withdraw(WAVE, LEAD, REASON, asked=read(pipeline.withdrawal_question(WAVE)), now=LATER)
    assert pipeline.decided_withdrawal(WAVE, asked_by="another") is True
    assert "Överföringen är återtagen" in told(pipeline.ended_withdrawal(dag, WAVE, asked_by=RUN_ID))


def test_without_a_named_approver_nobody_is_asked(store: StagingStore) -> None:
    awaiting(store)
    with pytest.raises(SettingsError, match="WAITLIST_APPROVERS names no person"):
        steps(store, " , ").withdrawal_question(WAVE)
