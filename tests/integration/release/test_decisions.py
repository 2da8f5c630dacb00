"""The states of a wave after its rows add up: awaiting approval, released, withdrawn, or rejected."""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import batches, releases
from tests.support.releases import LATER, NOW, PASSED, POSTS, REASON
from upath import UPath

from waitlist.exceptions import ReconciliationError, RefusedError, SettingsError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.release.gates import stored
from waitlist.release.proof import SOFTWARE, bound_columns
from waitlist.reports import approval
from waitlist.settings import Settings
from waitlist.staging import PIPELINE, BatchState, EventName, StagingStore, schema
from waitlist.staging.reconcile import PartitionEvidence, reconcile
from waitlist.steps.pipeline import Pipeline
from waitlist.steps.run import Run

MIGRATING = releases.migrating(POSTS)
WAVE = "vecka-1"
APPROVER = "Eva Öberg"
CHANGED = MIGRATING[3]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path: Path) -> StagingStore:
    return batches.empty_store(request, tmp_path)


def released(store: StagingStore, batch_id: str, posts: Collection[int] = POSTS) -> None:
    """Release a wave in addition to the store's content."""
    releases.awaiting(store, batch_id, posts)
    release.release(store, batch_id, APPROVER, None, LATER)


def put_released(store: StagingStore) -> None:
    """Bring an empty store into the state in which the one wave is released."""
    releases.put_awaiting(store)
    release.release(store, WAVE, APPROVER, None, LATER)


def event(store: StagingStore, name: EventName, batch_id: str = WAVE):
    (found,) = [entry for entry in store.events(batch_id) if entry.event is name]
    return found


def change(store: StagingStore, post_id: int, **columns: object) -> None:
    """Change a booking request directly in the table."""
    request = schema.bokningsbegaran
    batches.execute(store, request.update().where(request.c.post_id == post_id).values(**columns))


def refused(store: StagingStore, said: str, step: Callable[[], object]) -> None:
    """Require that the step is refused with this message, and that nothing has changed."""
    before = batches.contents(store)
    with pytest.raises(RefusedError, match=said) as refusal:
        step()
    assert batches.contents(store) == before
    assert "Testsson" not in str(refusal.value)


# Approval requested


def test_asking_fixes_the_rows_and_keeps_their_hash_and_the_gates(store: StagingStore) -> None:
    releases.put_verified(store)
    gates = releases.failing(Gate.UNHANDLED_SHARE)
    rows = release.request_approval(store, WAVE, gates, PIPELINE, LATER)
    lines = "".join(f"{row['post_id']}\x1f{row['row_hash']}\n" for row in batches.rows(store, schema.bokningsbegaran))
    assert rows == release.Rows(len(MIGRATING), hashlib.sha256(lines.encode()).hexdigest())
    assert store.batch(WAVE).state is BatchState.AWAITING_APPROVAL
    assert stored(store, WAVE) == gates
    asked = event(store, EventName.AWAITING_APPROVAL)
    assert (asked.actor, asked.at, asked.reason) == ("pipeline", LATER, None)
    assert {name: told for name, told in asked.details.items() if name not in {"contents", "columns"}} == {
        "posts": len(MIGRATING), "rows_hash": rows.rows_hash, "gates_failed": ["unhandled_share"],
    }  # fmt: skip
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in asked.details["contents"].values())
    assert releases.shown(store) == []


def test_asking_again_with_the_same_gates_changes_nothing_and_with_others_those_count(store: StagingStore) -> None:
    releases.put_awaiting(store)
    before = batches.contents(store)
    rows = release.request_approval(store, WAVE, PASSED, PIPELINE, LATER)
    assert batches.contents(store) == before
    gates = releases.failing(Gate.DRY_RUN_AGE_DAYS, measured=None)
    assert release.request_approval(store, WAVE, gates, PIPELINE, LATER) == rows
    assert stored(store, WAVE) == gates
    assert releases.told(store, WAVE)[-2:] == ["awaiting_approval"] * 2


def test_only_a_verified_migration_that_adds_up_is_put_before_an_approver(store: StagingStore) -> None:
    def ask(gates=PASSED, batch_id: str = WAVE) -> Callable[[], object]:
        return lambda: release.request_approval(store, batch_id, gates, PIPELINE, LATER)

    refused(store, "batch vecka-1 is unknown", ask())
    releases.verified(store, "natt", POSTS, kind="dry_run")
    refused(store, "natt is a dry run: it can never be approved", ask(batch_id="natt"))
    batches.open_batch(store, WAVE, kind="migration")
    refused(store, "is open: only one that is verified or awaiting approval can be approved", ask())
    releases.verified(store, WAVE, POSTS)
    refused(store, "every gate must be measured once", ask(PASSED[1:]))
    refused(store, "does not add up any more, so it cannot be approved", ask(releases.failing(Gate.ACCOUNTING)))
    change(store, MIGRATING[0], beskrivning="Orsak: en annan")
    refused(store, f"no longer what their row_hash was made from: post_id {MIGRATING[0]};", ask())


def test_batch_that_awaits_approval_refuses_a_rerun(store: StagingStore) -> None:
    releases.put_awaiting(store)
    refused(store, "is awaiting approval and immutable", lambda: batches.open_batch(store, WAVE, kind="migration"))
    refused(store, "immutable", lambda: store.stage_partition(WAVE, None, None, []))
    refused(store, "immutable", lambda: store.mark_failed(WAVE, LATER))


# Released


def test_release_shows_every_row_as_it_was_staged_and_records_person_time_and_count(store: StagingStore) -> None:
    releases.put_awaiting(store)
    assert release.release(store, WAVE, f" {APPROVER} ", None, LATER) == len(MIGRATING)
    view = schema.bokningsbegaran_released
    with store.engine.connect() as connection:
        shown = [dict(row) for row in connection.execute(sa.select(view).order_by(view.c.post_id)).mappings()]
    assert shown == batches.rows(store, schema.bokningsbegaran)
    kept = batches.rows(store, schema.released_post)
    assert [(row["post_id"], row["batch_id"], row["released_at"]) for row in kept] == [
        (post, WAVE, LATER) for post in MIGRATING
    ]
    assert [row["row_hash"] for row in kept] == [row["row_hash"] for row in shown]
    batch = store.batch(WAVE)
    assert (batch.state, batch.approved_by, batch.approved_at, batch.released_at) == (
        BatchState.RELEASED, APPROVER, LATER, LATER,
    )  # fmt: skip
    told = event(store, EventName.RELEASED)
    assert (told.actor, told.at, told.reason, told.details["posts"]) == (APPROVER, LATER, None, len(MIGRATING))
    assert told.details["rows_hash"] == event(store, EventName.AWAITING_APPROVAL).details["rows_hash"]
    assert releases.told(store, WAVE) == ["open", "staged", "verified", "awaiting_approval", "released"]
    assert release.verify_released(store, WAVE) == len(MIGRATING)


def test_wave_with_nothing_to_migrate_is_released_empty(store: StagingStore) -> None:
    releases.awaiting(store, WAVE, [post for post in POSTS if post not in MIGRATING])
    assert release.release(store, WAVE, APPROVER, None, LATER) == 0
    assert release.verify_released(store, WAVE) == 0


@pytest.mark.parametrize("reason", [None, "", "   ", "för kort  \n\t "])
def test_failed_gate_stops_a_release_without_a_written_reason(store: StagingStore, reason: str | None) -> None:
    releases.put_verified(store)
    gates = releases.failing(Gate.UNHANDLED_SHARE, Gate.DRY_RUN_AGE_DAYS, measured=0.25)
    release.request_approval(store, WAVE, gates, PIPELINE, NOW)
    refused(
        store,
        r"gates have failed \(unhandled_share, dry_run_age_days\), .* reason of at least 10 characters",
        lambda: release.release(store, WAVE, APPROVER, reason, LATER),
    )


def test_failed_gate_is_overridden_by_a_reason_that_is_kept_with_name_time_and_figures(store: StagingStore) -> None:
    releases.put_verified(store)
    gates = releases.failing(Gate.UNHANDLED_SHARE, measured=0.25)
    release.request_approval(store, WAVE, gates, PIPELINE, NOW)
    release.release(store, WAVE, APPROVER, f"\n{REASON}\n", LATER)
    override = event(store, EventName.OVERRIDE)
    assert (override.actor, override.at, override.reason) == (APPROVER, LATER, REASON)
    assert override.details == {"gates": {"unhandled_share": {"measured": 0.25, "threshold": 0.0}}}
    assert releases.told(store, WAVE)[-2:] == ["override", "released"]


def test_length_of_a_reason_does_not_count_white_space() -> None:
    assert release.has_reason("a b c d e f g h i j")
    assert not release.has_reason("a b c d e f g h i")
    assert not release.has_reason(None)


def changed_text(store: StagingStore) -> str:
    change(store, CHANGED, beskrivning="Orsak: en annan")
    return f"no longer what their row_hash was made from: post_id {CHANGED};"


def changed_hash(store: StagingStore) -> str:
    change(store, CHANGED, row_hash="0" * 64)
    return f"no longer what their row_hash was made from: post_id {CHANGED};"


def changed_text_and_hash(store: StagingStore) -> str:
    (other,) = batches.chunk([CHANGED], text="Orsak: en annan").bokningsbegaran.to_pylist()
    change(store, **other)
    return f"has changed since approval was asked for: {len(MIGRATING)} posts then, {len(MIGRATING)} now"


def row_gone(store: StagingStore) -> str:
    request = schema.bokningsbegaran
    batches.execute(store, request.delete().where(request.c.post_id == CHANGED))
    return f"has changed since approval was asked for: {len(MIGRATING)} posts then, {len(MIGRATING) - 1} now"


def row_added(store: StagingStore) -> str:
    (other,) = batches.chunk([65]).bokningsbegaran.to_pylist()
    batches.execute(store, schema.bokningsbegaran.insert().values(batch_id=WAVE, **other))
    return f"has changed since approval was asked for: {len(MIGRATING)} posts then, {len(MIGRATING) + 1} now"


@pytest.mark.parametrize("spoil", [changed_text, changed_hash, changed_text_and_hash, row_gone, row_added])
def test_row_that_changed_after_approval_was_asked_for_stops_the_release(
    store: StagingStore, spoil: Callable[[StagingStore], str]
) -> None:
    releases.put_awaiting(store)
    said = spoil(store)
    refused(store, said, lambda: release.release(store, WAVE, APPROVER, REASON, LATER))
    refused(store, said, lambda: release.request_approval(store, WAVE, PASSED, PIPELINE, LATER))


def test_release_is_refused_in_every_other_state_and_for_a_dry_run(store: StagingStore) -> None:
    releases.put_verified(store)
    for state in set(BatchState) - {BatchState.AWAITING_APPROVAL}:
        batches.set_state(store, state, WAVE)
        words = state.value.replace("_", " ")
        refused(
            store,
            f"is {words}: only one that is awaiting approval can be released; nothing was changed",
            lambda: release.release(store, WAVE, APPROVER, REASON, LATER),
        )
    releases.verified(store, "natt", POSTS, kind="dry_run")
    batches.set_state(store, "awaiting_approval", "natt")
    refused(
        store, "natt is a dry run: it can never be released",
        lambda: release.release(store, "natt", APPROVER, REASON, LATER),
    )  # fmt: skip


def test_an_empty_name_releases_nothing(store: StagingStore) -> None:
    releases.put_awaiting(store)
    refused(
        store,
        "the name of the person that decides is missing",
        lambda: release.release(store, WAVE, "  ", REASON, LATER),
    )


def test_post_that_another_batch_has_released_is_named_and_nothing_is_released(store: StagingStore) -> None:
    releases.verified(store, "vecka-2", range(20, 60))
    releases.verified(store, "vecka-3", range(25, 40))
    release.request_approval(store, "vecka-2", PASSED, PIPELINE, NOW)
    released(store, WAVE)
    common = ", ".join(map(str, sorted(set(MIGRATING) & set(releases.migrating(range(20, 60))))))
    refused(
        store,
        f"that another batch has released: post_id {common}; nothing was changed",
        lambda: release.release(store, "vecka-2", APPROVER, REASON, LATER),
    )
    refused(
        store,
        "batch vecka-3 has 2 posts that another batch has released: post_id 25, 28;",
        lambda: release.request_approval(store, "vecka-3", PASSED, PIPELINE, LATER),
    )


def test_released_batch_refuses_a_rerun_and_a_second_approver_but_not_its_own_repetition(store: StagingStore) -> None:
    put_released(store)
    refused(store, "is released and immutable: .*; start a new run", lambda: batches.open_batch(store, WAVE))
    refused(store, "is released: only", lambda: release.release(store, WAVE, "Bo", None, LATER))
    refused(store, "is released: only", lambda: release.release(store, WAVE, APPROVER, REASON, LATER))
    before = batches.contents(store)
    assert release.release(store, WAVE, APPROVER, None, LATER + dt.timedelta(hours=1)) == len(MIGRATING)
    assert batches.contents(store) == before


def test_released_posts_are_known_to_later_batches(store: StagingStore) -> None:
    put_released(store)
    assert store.released_post_ids(None, None).tolist() == MIGRATING


# Verified after release


def content_changed(store: StagingStore) -> str:
    change(store, CHANGED, patientnamn="Testsson")
    return f"booking requests that do not match their row_hash: 1: post_id {CHANGED}$"


def hash_changed(store: StagingStore) -> str:
    change(store, CHANGED, row_hash="0" * 64)
    return f"posts that differ between the view and released_post: 1: post_id {CHANGED}\n"


def rows_gone(store: StagingStore) -> str:
    batches.execute(store, schema.bokningsbegaran.delete())
    return f"approved were {len(MIGRATING)} posts, shown are 0"


def post_free(store: StagingStore) -> str:
    batches.execute(store, schema.released_post.delete().where(schema.released_post.c.post_id == CHANGED))
    return f"posts that differ between the view and released_post: 1: post_id {CHANGED}\n"


def shown_twice(store: StagingStore) -> str:
    releases.verified(store, "vecka-2", range(25, 40))
    batches.set_state(store, "released", "vecka-2")
    return "another released batch shows too: 2: post_id 25, 28$"


@pytest.mark.parametrize("spoil", [content_changed, hash_changed, rows_gone, post_free, shown_twice])
def test_view_that_differs_from_what_was_approved_is_found(
    store: StagingStore, spoil: Callable[[StagingStore], str]
) -> None:
    put_released(store)
    assert release.verify_released(store, WAVE) == len(MIGRATING)
    said = spoil(store)
    with pytest.raises(ReconciliationError, match=said) as found:
        release.verify_released(store, WAVE)
    assert "Testsson" not in str(found.value)


def test_only_a_released_batch_is_verified(store: StagingStore) -> None:
    releases.put_awaiting(store)
    refused(store, "is awaiting approval: only a released one", lambda: release.verify_released(store, WAVE))


# Rejected


def test_rejection_closes_the_batch_for_good(store: StagingStore) -> None:
    releases.put_awaiting(store)
    release.reject(store, WAVE, APPROVER, "Enhet 3 är inte klar", LATER)
    told = event(store, EventName.REJECTED)
    assert (told.actor, told.at, told.reason, told.details["posts"]) == (
        APPROVER, LATER, "Enhet 3 är inte klar", len(MIGRATING),
    )  # fmt: skip
    assert store.batch(WAVE).state is BatchState.REJECTED
    assert store.batch(WAVE).approved_by is None
    before = batches.contents(store)
    release.reject(store, WAVE, APPROVER, "Enhet 3 är inte klar", LATER)
    assert batches.contents(store) == before
    refused(store, "is rejected: only", lambda: release.reject(store, WAVE, "Bo", None, LATER))
    refused(store, "is rejected: only", lambda: release.release(store, WAVE, APPROVER, REASON, LATER))
    refused(store, "is rejected: only", lambda: release.request_approval(store, WAVE, PASSED, PIPELINE, LATER))
    refused(store, "is rejected and immutable", lambda: batches.open_batch(store, WAVE))
    released(store, "vecka-2")
    assert releases.shown(store) == [(post, "vecka-2") for post in MIGRATING]


def test_rejection_takes_no_reason_and_only_a_batch_that_awaits_approval(store: StagingStore) -> None:
    releases.put_verified(store)
    refused(store, "is verified: only", lambda: release.reject(store, WAVE, APPROVER, None, LATER))
    release.request_approval(store, WAVE, PASSED, PIPELINE, NOW)
    release.reject(store, WAVE, PIPELINE, None, LATER)
    assert event(store, EventName.REJECTED).reason is None


# Withdrawn


def test_withdrawal_empties_the_view_frees_the_posts_and_keeps_the_trail(store: StagingStore) -> None:
    put_released(store)
    assert release.withdraw(store, WAVE, "Bo Ek", REASON, LATER) == len(MIGRATING)
    assert releases.shown(store) == []
    assert store.released_post_ids(None, None).tolist() == []
    told = event(store, EventName.WITHDRAWN)
    assert (told.actor, told.at, told.reason) == ("Bo Ek", LATER, REASON)
    released = event(store, EventName.RELEASED).details
    assert released.pop(SOFTWARE)
    assert told.details == released
    assert store.batch(WAVE).approved_by == APPROVER
    before = batches.contents(store)
    assert release.withdraw(store, WAVE, "Bo Ek", REASON, LATER) == len(MIGRATING)
    assert batches.contents(store) == before
    refused(store, "is withdrawn: only", lambda: release.release(store, WAVE, APPROVER, None, LATER))
    refused(store, "is withdrawn: only", lambda: release.withdraw(store, WAVE, APPROVER, REASON, LATER))
    refused(store, "is withdrawn and immutable", lambda: batches.open_batch(store, WAVE))


def test_withdrawn_posts_are_released_by_a_later_batch_and_others_stay_shown(store: StagingStore) -> None:
    put_released(store)
    released(store, "vecka-2", range(30, 60))
    release.withdraw(store, WAVE, APPROVER, REASON, LATER)
    assert store.released_post_ids(None, None).tolist() == releases.migrating(range(30, 60))
    released(store, "vecka-3")
    assert releases.shown(store) == [
        *((post, "vecka-3") for post in MIGRATING),
        *((post, "vecka-2") for post in releases.migrating(range(30, 60))),
    ]
    assert release.verify_released(store, "vecka-3") == len(MIGRATING)


def test_withdrawal_takes_a_written_reason_and_a_released_batch(store: StagingStore) -> None:
    releases.put_awaiting(store)
    refused(store, "is awaiting approval: only", lambda: release.withdraw(store, WAVE, APPROVER, REASON, LATER))
    release.release(store, WAVE, APPROVER, None, LATER)
    for reason in (None, "fel   \n våg"):
        refused(
            store, "to withdraw it takes a written reason of at least 10 characters",
            lambda reason=reason: release.withdraw(store, WAVE, APPROVER, reason, LATER),
        )  # fmt: skip


def test_question_of_a_withdrawal_has_how_many_posts_were_released_and_when_in_swedish_time(
    store: StagingStore,
) -> None:
    releases.awaiting(store, WAVE, POSTS, wave="2*")
    # The night in which the clocks go back: 01:30 UTC is the second half past two, and Stockholm is an hour ahead.
    release.release(store, WAVE, APPROVER, None, dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC))
    winter = approval.withdrawal(store.batch(WAVE))
    assert f"**{len(MIGRATING)} poster** överfördes 2024-10-27 kl. 02.30." in winter
    assert f"Körning `{WAVE}`, våg 2\\*, per 2024-10-01:" in winter
    release.withdraw(store, WAVE, APPROVER, REASON, LATER)
    releases.awaiting(store, "vecka-2", POSTS)
    release.release(store, "vecka-2", APPROVER, None, dt.datetime(2024, 9, 30, 22, 15, tzinfo=dt.UTC))
    summer = approval.withdrawal(store.batch("vecka-2"))
    assert "Körning `vecka-2`, per 2024-10-01: " in summer
    assert "överfördes 2024-10-01 kl. 00.15." in summer
    assert "UTC" not in winter + summer


# The approvers


def test_a_wave_without_a_post_to_release_is_refused_before_anybody_is_asked(store: StagingStore) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    steps = Pipeline(Settings(approvers="lead"), snapshots=UPath("/nowhere"), pmo=str, staging=lambda: url)
    staying = [post for post in POSTS if post not in releases.migrating(POSTS)]
    releases.verified(store, WAVE, staying, wave="2")
    run = Run(WAVE, batches.AS_OF, None, steps.facts.version)
    refused(
        store,
        r"has no post to release \(wave 2 as of 2024-10-01: 4 book_in_millennium, 4 fix_in_pmo, 4 move_to_sdv_list, "
        r".*\), so nobody is asked",
        lambda: steps.request_approval(run, now=LATER),
    )
    assert store.batch(WAVE).state is BatchState.VERIFIED


def test_without_a_named_approver_nobody_is_asked(store: StagingStore) -> None:
    def steps(approvers: str) -> Pipeline:
        url = store.engine.url.render_as_string(hide_password=False)
        return Pipeline(Settings(approvers=approvers), snapshots=UPath("/nowhere"), pmo=str, staging=lambda: url)

    nobody = steps(" , ")
    releases.put_verified(store)
    with pytest.raises(
        SettingsError, match="WAITLIST_APPROVERS names no person that may release a wave or withdraw it"
    ):
        nobody.request_approval(Run(WAVE, batches.AS_OF, None, nobody.facts.version), now=LATER)
    assert store.batch(WAVE).state is BatchState.VERIFIED
    refused(store, "is verified: only a released one can be withdrawn", lambda: steps("lead").withdrawal_question(WAVE))
    put_released(store)
    with pytest.raises(SettingsError, match="WAITLIST_APPROVERS names no person"):
        nobody.withdrawal_question(WAVE)
    question = steps("lead").withdrawal_question(WAVE)
    assert question is not None
    assert question.body == approval.withdrawal(store.batch(WAVE))


# The audit trail


def test_trail_has_every_state_with_its_counts_and_a_rerun_adds_nothing(store: StagingStore) -> None:
    releases.verified(store, WAVE, POSTS, units=["B", "A"], wave="1")
    opened, staged, verified = store.events(WAVE)
    assert (opened.event, opened.at, opened.actor) == (EventName.OPEN, NOW, "pipeline")
    assert opened.details == {
        "kind": "migration", "wave": "1", "as_of": "2024-10-01", "rules_version": "0" * 64, "units": ["A", "B"],
        "reuse_snapshot": None,
    }  # fmt: skip
    findings = batches.chunk(POSTS).findings.num_rows
    assert staged.details == {"posts": len(POSTS), "staged": len(MIGRATING), "findings": findings}
    assert verified.details == {"posts": len(POSTS), "staged": len(MIGRATING)}
    assert [entry.event_no for entry in (opened, staged, verified)] == [1, 2, 3]
    releases.verified(store, WAVE, POSTS, units=["B", "A"], wave="1", started_at=LATER)
    assert store.events(WAVE) == [opened, staged, verified]


def test_trail_has_that_another_content_opened_the_batch_again(store: StagingStore) -> None:
    releases.put_verified(store)
    store.stage_partition(WAVE, None, None, [batches.chunk(POSTS, text="Orsak: en annan")], now=LATER)
    again = store.events(WAVE)[-1]
    assert (again.event, again.at, again.details["partition"], again.details["posts"]) == (
        EventName.OPEN, LATER, "[, )", len(POSTS),
    )  # fmt: skip
    store.mark_staged(WAVE)
    store.stage_partition(WAVE, None, None, [batches.chunk(POSTS)])
    assert [(entry.event.value, entry.at) for entry in store.events(WAVE)[-2:]] == [("staged", NOW), ("open", NOW)]


def test_trail_has_failures_once_with_their_reason(store: StagingStore) -> None:
    batches.open_batch(store, WAVE, kind="migration")
    store.stage_partition(WAVE, None, None, [batches.chunk(POSTS)])
    store.mark_staged(WAVE)
    with pytest.raises(ReconciliationError):
        reconcile(store, WAVE, source_posts=99, evidence=[PartitionEvidence(None, None, len(POSTS))], now=LATER)
    store.mark_failed(WAVE, LATER, reason="again")
    failed = store.events(WAVE)[-1]
    assert (failed.event, failed.at, failed.reason) == (
        EventName.FAILED, LATER, "source, snapshot and staging do not add up",
    )  # fmt: skip
    batches.open_batch(store, WAVE, kind="migration", started_at=LATER)
    store.mark_failed(WAVE, LATER, reason="no disk")
    assert [entry.event.value for entry in store.events(WAVE)] == ["open", "staged", "failed", "open", "failed"]
    assert store.events(WAVE)[-1].reason == "no disk"


def test_trail_of_a_batch_holds_no_personal_data(store: StagingStore) -> None:
    releases.put_verified(store)
    release.request_approval(store, WAVE, releases.failing(Gate.UNHANDLED_SHARE), PIPELINE, NOW)
    release.release(store, WAVE, APPROVER, REASON, LATER)
    release.withdraw(store, WAVE, APPROVER, REASON, LATER)
    trail = " ".join(f"{entry.reason} {dict(entry.details)}" for entry in store.events(WAVE))
    assert "Testsson" not in trail
    assert "uppföljning" not in trail
    assert not re.search(r"\b(19|20)\d{10}\b", trail)


def test_approval_binds_the_columns_that_its_release_had(store: StagingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: [column for column in names if column != "digest"] for name, names in bound_columns().items()}
    with monkeypatch.context() as earlier:
        earlier.setattr(release, "bound_columns", lambda: fewer)
        releases.put_awaiting(store)
    assert release.release(store, WAVE, "lead", None, NOW) == len(MIGRATING)
    assert release.verify_released(store, WAVE) == len(MIGRATING)
