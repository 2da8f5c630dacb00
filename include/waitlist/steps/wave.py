"""The steps of a wave's approval, release and proof, and of a withdrawal."""

import datetime as dt
import logging
from collections import Counter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from waitlist.exceptions import ReasonError, ReconciliationError, RefusedError, SettingsError
from waitlist.facts.gates import Gate
from waitlist.release import decisions as release
from waitlist.release import gates
from waitlist.release.handoff import writing as handoff
from waitlist.release.handoff.content import Content
from waitlist.release.proof import plain
from waitlist.release.receipts.holding import may_be_loaded
from waitlist.release.references import missing_references
from waitlist.release.sample.state import State, read_state
from waitlist.reports import approval
from waitlist.reports.approval import Question
from waitlist.reports.notices import (
    Notice,
    approval_waits,
    decision_taken,
    run_ended_untruly,
    withdrawal_waits,
)
from waitlist.source.pu import asking
from waitlist.staging import DECIDED, WITHDRAWN, Batch, BatchKind, BatchState, EventName, checkpoints
from waitlist.staging.database import refusals_named
from waitlist.staging.dry_runs import posts_by_disposition
from waitlist.staging.events import PIPELINE
from waitlist.steps.run import Record, Request, Run, Steps

log = logging.getLogger(__name__)

_OLDEST_ANSWER: Final = dt.timedelta(hours=24)
"""Of the person service, when a wave is released."""


def _entry_read(asked: int | None, batch_id: str, person: str) -> int:
    if asked is None:
        raise RefusedError(
            f"batch {batch_id}: {person} read an older question, which Airflow keeps showing, and "
            "which is no longer true; nothing was changed. Start a new run, and answer no to this one"
        )
    return asked


class Wave(Steps):
    """The steps of a wave and of a withdrawal, and the message at the end of a run."""

    def request_approval(self, run: Run, *, now: dt.datetime) -> Record:
        """Measure the gates, fix the batch's rows, and ask for approval.

        Raises:
            SettingsError: the settings name no approver, or the facts have changed since the batch was opened.
            MappingError: a mapping file is at fault.
            RefusedError: the batch has no post to release or cannot be approved at all, or a suite looked at other
                rows than it holds.
        """
        self._require_approvers()
        self._same_facts(run)
        self._require_posts(run)
        self._require_looked_at(run)
        measured = self._measure_gates(run)
        release.request_approval(self.store, run.batch_id, measured, PIPELINE, now)
        failed = [result.gate.value for result in measured if not result.passed]
        log.info("batch %s awaits approval; gates that failed: %s", run.batch_id, ", ".join(failed) or "none")
        return {"gates_failed": failed}

    def approval_question(self, run: Run) -> Question | None:
        """Return the question to the approver about the run's batch; None where it has been decided.

        Raises:
            RefusedError: approval has not been asked for.
        """
        batch = self.store.batch(run.batch_id)
        if batch.state in DECIDED:
            return None
        if batch.state is not BatchState.AWAITING_APPROVAL:
            raise RefusedError(f"batch {run.batch_id} is {batch.state}: request_approval has not fixed it yet")
        before = gates.latest_dry_run(self.store, run.batch_id)
        compared = self._sample(batch)
        body = approval.summary(
            self.store, run.batch_id, self.facts.mappings, before.batch_id if before else None, sample=compared
        )
        waits = approval_waits(batch, gates.stored(self.store, run.batch_id))
        entry = release.last_entry(self.store, run.batch_id, EventName.AWAITING_APPROVAL)
        state = approval.sample_now(compared) if compared else ""
        return Question(f"Ska våg {batch.wave} överföras till Millennium?", body, waits, entry, state)

    def release(self, run: Run, person: str, reason: str | None, *, asked: int | None, now: dt.datetime) -> Record:
        """Release the batch's rows exactly as they were approved.

        Args:
            run: the run.
            person: the approver.
            reason: the approver's reason, in their words.
            asked: the ``Question.entry`` of the question that the approver read; None where that was an older one.
            now: the moment, for the audit trail.

        Raises:
            RefusedError: with the reason; nothing was released.
            ReasonError: the answer lacks the reason that it takes; nothing was released.
            SettingsError: the facts have changed since the batch was opened; nothing was released.
            PersonServiceError: an answer was older than a day, and there is no new one; nothing was released.
        """
        self._require_approver(person)
        facts = self._same_facts(run)
        self._require_sample(run, reason)
        if facts.rules.asks_persons:
            self._ask_before_release(run, now)
        posts = release.release(
            self.store, run.batch_id, person, reason, now, asked=_entry_read(asked, run.batch_id, person)
        )
        log.info("batch %s: %d posts released", run.batch_id, posts)
        return {"decided": BatchState.RELEASED.value, "posts": posts}

    def reject(self, run: Run, person: str, reason: str | None, *, now: dt.datetime) -> Record:
        """Close the batch; nothing of it is released.

        Raises:
            RefusedError: nothing was changed, and why.
        """
        self._require_approver(person)
        release.reject(self.store, run.batch_id, person, reason, now)
        return {"decided": BatchState.REJECTED.value}

    def decided(self, batch_id: str) -> BatchState:
        """Return what was decided about a migration.

        Raises:
            RefusedError: nobody has decided.
        """
        state = self.store.batch(batch_id).state
        if state is BatchState.AWAITING_APPROVAL:
            raise RefusedError(
                f"batch {batch_id} is {plain(state)}: nobody has approved or rejected it, and nothing of it is "
                "released, even if Airflow shows the run's tasks as successful: a task that is marked as a success is "
                "no answer. Clear approve with what follows it (Downstream), and answer under Required Actions"
            )
        if state not in DECIDED:
            raise RefusedError(
                f"batch {batch_id} is {plain(state)}: nobody has been asked about it and nothing of it is "
                "released, even if Airflow shows the run's tasks as successful. Clear the first task that did not do "
                "its work, with what follows it"
            )
        return state

    def verify_released(self, run: Run) -> Record:
        """Prove that the view shows exactly what was approved.

        Raises:
            ReconciliationError: it does not.
        """
        return {"posts": release.verify_released(self.store, run.batch_id)}

    def hand_off(self, run: Run, *, now: dt.datetime) -> Record | None:
        """Write the released batch for its receiver; None where the settings name no place for that.

        Args:
            run: the run.
            now: the moment, for the record.

        Raises:
            SettingsError, MappingError: the facts that decide its content have changed since the batch was opened.
            ReconciliationError: what would be written is not what was approved.
            RefusedError: the batch is not released, or retention has removed its rows.
            HandOffError: it cannot be written.
        """
        if self._hand_offs is None:
            return None
        facts = self.facts
        opened_with = self.store.batch(run.batch_id).facts or {}
        if changed := facts.of_hand_off_differing(opened_with):
            raise SettingsError(
                f"batch {run.batch_id} was opened with facts that have changed since: {', '.join(changed)}; its "
                "hand-off would have other bytes. Put them back as they were and clear this step"
            )
        references = facts.mappings.references
        missing = missing_references(self.store, run.batch_id, references)
        marked, recorded = self._protected(run, facts.asked_persons(opened_with))
        content = Content(facts.rules.post_system, references, missing, marked, recorded)
        handed = handoff.hand_off(self.store, self._hand_offs, run.batch_id, content, now)
        log.info("batch %s: %d posts handed off in %s", run.batch_id, handed.posts, ", ".join(handed.files))
        return {"posts": handed.posts, "files": sorted(handed.files), "references_missing": len(missing)}

    def _protected(self, run: Run, asked: bool) -> tuple[set[str], set[str]]:
        """Return whom the person service has marked, and whose record it protects, by the answers of the batch."""
        marked, recorded = set[str](), set[str]()
        files = self._files(run)
        for part in files.parts(files.plan()) if asked else ():
            answers = files.answers(part, run.rules_version)
            for flag, numbers in (("protected_person", marked), ("protected_record", recorded)):
                numbers.update(answers.filter(answers[flag])["person_id"].to_pylist())
        return marked, recorded

    def take_back_hand_off(self, batch_id: str) -> Record | None:
        """Remove the hand-off of a withdrawn batch; None where the settings name no place for hand-offs.

        Raises:
            RefusedError: the batch is unknown or not withdrawn.
            HandOffError: it cannot be removed.
        """
        if self._hand_offs is None:
            return None
        state = self.store.batch(batch_id).state
        if state not in WITHDRAWN:
            raise RefusedError(f"batch {batch_id} is {plain(state)}: its hand-off stays")
        handoff.remove(self._hand_offs, batch_id)
        return {"taken_back": True}

    def verify_releases(self, *, now: dt.datetime) -> Record:
        """Prove for every released batch whose rows are still there that the view shows exactly what was approved.

        The ends of the audit chains are signed first, where the deployment has a key: also when a proof fails, the
        trails up to now cannot be written again.

        Args:
            now: the moment, aware.

        Raises:
            ReconciliationError: with every batch that differs, and each check that failed.
            SettingsError: the ends of the audit chains could not be signed.
        """
        self.store.migrate()
        if self.store.database.signer is not None:
            made = checkpoints.make(self.store.database, at=now, why=checkpoints.NIGHT)
            log.info("checkpoint %d of the audit chains is signed", made.checkpoint_no)
        faults, batches, posts = list[str](), 0, 0
        for batch_id in release.provable(self.store):
            try:
                posts += release.verify_released(self.store, batch_id)
            except (ReconciliationError, RefusedError) as error:
                faults.append(str(error))
            batches += 1
        if faults:
            raise ReconciliationError("\n".join(faults))
        log.info("%d released batches are what was approved: %d posts", batches, posts)
        return {"batches": batches, "posts": posts}

    def withdrawal_question(self, batch_id: str, *, loaded: bool = False) -> Question | None:
        """Return the question to the approver about a released batch; None where it is already withdrawn.

        Args:
            batch_id: the batch.
            loaded: whether a receiver has loaded it, as far as the person that asks knows.

        Raises:
            SettingsError: the settings name no approver.
            RefusedError: the batch is unknown, or was never released.
        """
        self._require_approvers()
        batch = self.store.batch(batch_id)
        if batch.state in WITHDRAWN:
            return None
        if batch.state is not BatchState.RELEASED:
            raise RefusedError(f"batch {batch_id} is {plain(batch.state)}: only a released one can be withdrawn")
        entry = release.last_entry(self.store, batch_id, EventName.RELEASED)
        with refusals_named(f"batch {batch_id}"), self.store.database.connected() as connection:
            after_load = loaded or may_be_loaded(connection, batch_id)
        body, waits = approval.withdrawal(batch, after_load=after_load), withdrawal_waits(batch, after_load=after_load)
        return Question("Ska körningen återtas från Millennium?", body, waits, entry)

    def withdraw(
        self,
        batch_id: str,
        person: str,
        reason: str | None,
        *,
        asked: int | None,
        now: dt.datetime,
        loaded: bool = False,
    ) -> Record:
        """Withdraw a released batch; those of its posts that no receiver has may be released again.

        Args:
            batch_id: the batch.
            person: the approver that withdraws it.
            reason: that person's reason, in their words.
            asked: the ``Question.entry`` of the question that the person read; None where that was an older one.
            now: the moment, for the audit trail.
            loaded: whether a receiver has loaded it, as far as the person that asked knows.

        Raises:
            RefusedError: with the reason; nothing was withdrawn.
            ReasonError: the answer lacks its reason; nothing was withdrawn.
        """
        self._require_approver(person)
        entry = _entry_read(asked, batch_id, person)
        posts = release.withdraw(self.store, batch_id, person, reason, now, asked=entry, loaded=loaded)
        return {"decided": self.store.batch(batch_id).state.value, "posts": posts}

    def keep(self, batch_id: str, person: str, reason: str | None, *, asked_by: str, now: dt.datetime) -> Record:
        """Record that somebody was asked to withdraw a release, and decided to keep it.

        Raises:
            RefusedError: nothing was changed, and why.
        """
        self._require_approver(person)
        release.keep(self.store, batch_id, person, reason, now, asked_by=asked_by)
        return {"decided": EventName.KEPT.value}

    def decided_withdrawal(self, batch_id: str, *, asked_by: str) -> bool:
        """Tell whether a batch was withdrawn; False where the answer to the run's question was to keep it.

        Raises:
            RefusedError: the batch is unknown, or nobody has decided.
        """
        state = self.store.batch(batch_id).state
        if state in WITHDRAWN:
            return True
        if not release.was_kept(self.store, batch_id, asked_by=asked_by):
            raise RefusedError(
                f"batch {batch_id} is {plain(state)}: nobody has answered whether to withdraw it, even if Airflow "
                "shows the run's tasks as successful: a task that is marked as a success is no answer. Clear decide "
                "with what follows it (Downstream), and answer under Required Actions"
            )
        return False

    def conclude(self, request: Request, *, now: dt.datetime) -> str | None:
        """Read from the database how a run has ended; the states of Airflow's tasks do not count.

        Args:
            request: the run's request.
            now: the moment; it decides whether a dry run had a purpose any more.

        Returns:
            the state of its batch; None where there was nothing to do.

        Raises:
            RefusedError: the run has not done its work.
        """
        if not self.store.knows(request.batch_id):
            if request.kind == BatchKind.DRY_RUN and self.is_past_last_go_live(request, now=now):
                return None
            raise RefusedError(
                "the run has opened no batch, even if Airflow shows its tasks as successful: clear all of it"
            )
        if request.kind == BatchKind.MIGRATION:
            return self.decided(request.batch_id)
        state = self.store.batch(request.batch_id).state
        if state is not BatchState.VERIFIED:
            raise RefusedError(
                f"batch {request.batch_id} is {plain(state)} and not verified: its figures do not count, even "
                "if Airflow shows the run's tasks as successful. Clear the first task that did not do its work, with "
                "what follows it"
            )
        return state

    def ended(self, request: Request, *, now: dt.datetime) -> Notice | None:
        """Return the message about a run that Airflow shows as a success; None where no message is due.

        Args:
            request: the run's request.
            now: the moment, as for ``conclude``.
        """
        try:
            state = self.conclude(request, now=now)
        except RefusedError:
            return run_ended_untruly(request.dag_id, self.state_text(request.batch_id))
        return decision_taken(self.store.batch(request.batch_id)) if state in DECIDED else None

    def ended_withdrawal(self, dag_id: str, batch_id: str, *, asked_by: str) -> Notice:
        """Return the message about a withdrawal that Airflow shows as a success."""
        try:
            withdrawn = self.decided_withdrawal(batch_id, asked_by=asked_by)
        except RefusedError:
            return run_ended_untruly(dag_id, self.state_text(batch_id))
        return decision_taken(self.store.batch(batch_id), kept=not withdrawn)

    def _require_posts(self, run: Run) -> None:
        batch = self.store.batch(run.batch_id)
        if batch.posts_staged != 0:
            return
        with (
            refusals_named(f"posts of batch {run.batch_id}"),
            self.store.database.connected() as connection,
        ):
            counts = posts_by_disposition(connection, run.batch_id, None).values()
        left = Counter[str]()
        for unit in counts:
            left.update(unit)
        ordered = sorted(left.items(), key=lambda counted: (-counted[1], counted[0]))
        which = ", ".join(f"{posts} {disposition}" for disposition, posts in ordered) or "it has no post"
        raise RefusedError(
            f"batch {run.batch_id} has no post to release (wave {batch.wave} as of {batch.as_of}: {which}), so nobody "
            "is asked. Are the wave and the param as_of right? From a unit's go-live on, nothing of it is migrated"
        )

    def _ask_before_release(self, run: Run, now: dt.datetime) -> None:
        """Ask again about everybody whose answer is older than a day, and refuse the release at any difference.

        Raises:
            PersonServiceError: the person service has not answered.
            RefusedError: somebody has no answer, or the service says something else now than the batch was judged by.
        """
        if self.store.batch(run.batch_id).state is not BatchState.AWAITING_APPROVAL:
            return
        files, missing, differing, asked = self._files(run), 0, 0, 0
        recently = now - _OLDEST_ANSWER
        for part in files.parts(self._plan(run)):
            wanted, used = self._wanted(run, part), files.answers(part, run.rules_version)
            missing += asking.count_without_answer(wanted, used)
            old = used.filter(pc.less(used["asked_at"], pa.scalar(recently, used.schema.field("asked_at").type)))
            some = wanted.only(old["person_id"].to_pylist())
            terms = asking.Terms.since_moment(recently)
            found = asking.gather(some, self.store.database, terms, self._ask_service, self._name_key)
            if found.fault is not None:
                raise found.fault
            asked += found.asked
            differing += asking.count_differing(asking.about(some, old), found.used)
        log.info("batch %s: asked again about %d persons before the release", run.batch_id, asked)
        if missing or differing:
            raise RefusedError(
                f"batch {run.batch_id}: of the person service's answers {missing} are missing and {differing} have "
                "changed since the batch was judged; nothing was released. Reject the wave, and start a new run"
            )

    def _require_sample(self, run: Run, reason: str | None) -> None:
        """Measure the sample when an answer arrives; the release measures it again.

        Raises:
            ReasonError: the sample does not pass, and the answer has no reason.
        """
        batch = self.store.batch(run.batch_id)
        if batch.state is not BatchState.AWAITING_APPROVAL or (found := self._sample(batch)) is None:
            return
        log.info("batch %s: of the sample %d are missing", run.batch_id, found.missing)
        if not found.passes and not release.has_reason(reason):
            raise ReasonError(
                f"batch {run.batch_id}: of the sample {found.missing} posts or faults are missing, and to release it "
                f"all the same takes a written reason of at least {release.SHORTEST_REASON} characters; nothing was "
                "changed"
            )

    def _sample(self, batch: Batch) -> State | None:
        """Return how far the sample of a batch has come; None where its gate is off."""
        if not any(result.gate is Gate.SAMPLE for result in gates.stored(self.store, batch.batch_id)):
            return None
        with (
            refusals_named(f"the sample of batch {batch.batch_id}"),
            self.store.database.connected() as connection,
        ):
            return read_state(self.store, connection, batch)

    def _require_approver(self, person: str) -> None:
        if person not in self._settings.approver_ids:
            raise RefusedError(f"{person!r} is not named in WAITLIST_APPROVERS; nothing was changed")

    def _require_approvers(self) -> None:
        if not self._settings.approver_ids:
            raise SettingsError("WAITLIST_APPROVERS names no person that may release a wave or withdraw it")
