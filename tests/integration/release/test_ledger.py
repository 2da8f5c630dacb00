"""The closing ledger, the outcomes that the nightly run writes, and the closing of a wave."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support import batches, posts, releases, worklists
from tests.support.releases import LATER, REASON

from waitlist.release import closing, decisions, ledger
from waitlist.release.closing import ClosingFault
from waitlist.release.receipts import follow
from waitlist.release.receipts import store as receipts
from waitlist.release.receipts.rows import Receipt
from waitlist.release.receipts.words import Outcome, Word
from waitlist.reports.pages.after_release import Today, read_followed, read_ledger, read_outside
from waitlist.reports.pages.unit import read_post
from waitlist.reports.worklist.advice import Sheet
from waitlist.staging import PIPELINE, StagingStore, post_outcomes, schema
from waitlist.staging.dry_runs import read_dry_runs
from waitlist.staging.states import PostOutcome
from waitlist.swedish.words import WORK_LIST_OWED_MIGRATES

NURSE = "nurse"
MOVE = {"kategori": "Diabetesmottagning"}
FIRST = {"nybesok": True}
LEFT = {"vantar_pa_besok": False}
CLEAN: Mapping[str, Any] = {}
# Posts 1 to 5: two migrate, two are left behind, and for one nobody waits.
GIVEN = (CLEAN, CLEAN, MOVE, FIRST, LEFT)
FAR = dt.date(2024, 1, 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> worklists.Site:
    """One released wave."""
    site = worklists.Site(batches.empty_store(request, tmp_path), tmp_path / "snapshots", posts.context())
    released(site, "first", *GIVEN)
    return site


def released(site: worklists.Site, batch_id: str, *given: Mapping[str, Any], hours: int = 0, **told: Any) -> None:
    """Stage a wave of posts and release it."""
    wave = told.pop("wave", "1")
    at = LATER + dt.timedelta(hours=hours)
    site.stage(*given, batch_id=batch_id, kind="migration", wave=wave, started_at=at, **told)
    decisions.request_approval(site.store, batch_id, releases.PASSED, PIPELINE, at)
    decisions.release(site.store, batch_id, "lead", None, at)


def night(site: worklists.Site, batch_id: str, *given: Mapping[str, Any], days: int = 1, **told: Any) -> ledger.Noted:
    """Stage a dry run some days after the release, and write the outcomes that it sees."""
    later = dataclasses.replace(site.context, as_of=posts.AS_OF + dt.timedelta(days))
    began = LATER + dt.timedelta(days)
    dataclasses.replace(site, context=later).stage(*given, batch_id=batch_id, started_at=began, **told)
    with site.store.database.connected() as connection:
        (run,) = [run for run in read_dry_runs(connection) if run.batch_id == batch_id]
    return ledger.note_outcomes(site.store.database, run, began)


def say(
    store: StagingStore,
    post_id: int,
    outcome: PostOutcome,
    undoes: int | None = None,
    *,
    at: dt.datetime = LATER,
    since: dt.datetime | None = None,
) -> None:
    with store.database.connected() as connection:
        last = post_outcomes.last_numbers(connection, [post_id]).get(post_id, 0)
    word = "redan klar" if outcome is PostOutcome.NOT_NEEDED else None
    entry = post_outcomes.Entry(post_id, last + 1, posts.UNIT, "natt", at, NURSE, outcome, undoes, word)
    kept = post_outcomes.record(store.database, entry, key=f"request-{post_id}-{last}", since=since)
    assert isinstance(kept, post_outcomes.Recorded)


def receive(store: StagingStore, batch_id: str, **words: str) -> None:
    """Keep receipts, given outcomes by ``post_<id>``."""
    some = []
    for hours, (name, outcome) in enumerate(words.items(), 1):
        post_id, at = int(name.removeprefix("post_")), LATER + dt.timedelta(hours=hours)
        said = Word(f"{batch_id}-{name}-{outcome}", Outcome(outcome), at, None if outcome == "rejected" else "m")
        some.append(Receipt(batch_id, post_id, said, "Finns redan" if outcome == "rejected" else None))
    with store.database.writing() as connection:
        receipts.keep(connection, some, LATER)


def owed(store: StagingStore) -> dict[int, bool]:
    """Return whether each post of the ledger has an outcome; a post that is there twice fails."""
    table = schema.closing_ledger.c
    with store.database.connected() as connection:
        rows = connection.execute(sa.select(table.post_id, table.has_outcome)).all()
    assert len(rows) == len({row.post_id for row in rows})
    return {row.post_id: bool(row.has_outcome) for row in rows}


def lines(store: StagingStore, **which: Any) -> tuple[ledger.Line, ...]:
    with store.database.connected() as connection:
        return ledger.read_lines(connection, **which)


# Which posts must get an outcome


def test_what_waits_and_was_not_released_must_get_an_outcome_and_what_was_rejected_too(site: worklists.Site) -> None:
    assert owed(site.store) == {3: False, 4: False}
    receive(site.store, "first", post_1="rejected", post_2="accepted")
    assert owed(site.store) == {1: False, 3: False, 4: False}
    (line,) = lines(site.store, wave="1")
    assert (line.unit, line.posts, line.missing, line.rejected, line.rejected_missing) == (posts.UNIT, 3, 3, 1, 1)
    assert lines(site.store, wave="2") == ()


def test_an_outcome_counts_until_it_is_undone_and_a_mark_is_none(site: worklists.Site) -> None:
    say(site.store, 3, PostOutcome.CHECKED)
    assert owed(site.store)[3] is False
    for outcome in post_outcomes.BY_PEOPLE:
        say(site.store, 3, outcome)
        assert owed(site.store) == {3: True, 4: False}
        with site.store.database.connected() as connection:
            last = post_outcomes.last_numbers(connection, [3])[3]
        say(site.store, 3, PostOutcome.UNDONE, last)
        assert owed(site.store)[3] is False


def test_what_another_unit_says_of_a_post_is_no_outcome_of_this_one(site: worklists.Site) -> None:
    entry = post_outcomes.Entry(3, 1, posts.UNIT_LIVE, "natt", LATER, NURSE, PostOutcome.BOOKED_PMO)
    post_outcomes.record(site.store.database, entry, key="a request")
    assert owed(site.store)[3] is False


def test_the_latest_release_of_a_unit_counts_and_a_withdrawn_one_does_not(site: worklists.Site) -> None:
    released(site, "second", CLEAN, CLEAN, MOVE, hours=1, released=(1, 2))
    assert owed(site.store) == {3: False}
    assert lines(site.store)[0].batch_id == "second"
    decisions.withdraw(site.store, "second", "lead", REASON, LATER + dt.timedelta(hours=2))
    assert owed(site.store) == {3: False, 4: False}
    decisions.withdraw(site.store, "first", "lead", REASON, LATER + dt.timedelta(hours=2))
    assert owed(site.store) == {}


def test_another_units_release_leaves_the_ledger_of_this_one_alone(site: worklists.Site) -> None:
    released(site, "second", {"post_id": 90, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH, **MOVE}, hours=1, wave="2")
    assert owed(site.store) == {3: False, 4: False, 90: False}
    assert {line.wave for line in lines(site.store)} == {"1", "2"}


def test_the_ledger_outlives_the_rows_of_its_batch(site: worklists.Site) -> None:
    with batches.unguarded(site.store) as connection:
        connection.execute(schema.disposition.delete())
    assert owed(site.store) == {3: False, 4: False}


def test_a_rejected_post_that_a_later_batch_released_is_not_in_the_ledger_twice(site: worklists.Site) -> None:
    receive(site.store, "first", post_1="rejected")
    with batches.unguarded(site.store) as connection:
        # As a lead frees it.
        connection.execute(schema.released_post.delete().where(schema.released_post.c.post_id == 1))
    released(site, "second", CLEAN, {"post_id": 6, **MOVE}, hours=1)
    assert owed(site.store) == {6: False}
    receive(site.store, "second", post_1="rejected")
    assert owed(site.store) == {1: False, 6: False}


def test_what_was_said_before_the_release_is_no_outcome_of_a_rejected_post(site: worklists.Site) -> None:
    say(site.store, 1, PostOutcome.BOOKED_PMO, at=LATER - dt.timedelta(hours=1))
    say(site.store, 3, PostOutcome.BOOKED_PMO, at=LATER - dt.timedelta(hours=1))
    receive(site.store, "first", post_1="rejected")
    assert owed(site.store) == {1: False, 3: True, 4: False}
    say(site.store, 1, PostOutcome.BOOKED_MILLENNIUM, since=LATER)
    assert owed(site.store)[1]


def test_a_post_that_was_left_behind_then_released_and_rejected_can_get_its_outcome(site: worklists.Site) -> None:
    """The pipeline has said of it that a later batch released it, which is no outcome of the rejected post."""
    released(site, "second", CLEAN, CLEAN, CLEAN, FIRST, LEFT, hours=1, released=(1, 2))
    everything = (CLEAN, CLEAN, CLEAN, FIRST, LEFT)
    assert night(site, "natt-1", *everything, released=(1, 2, 3)) == ledger.Noted(released_later=1)
    receive(site.store, "second", post_3="rejected")
    assert owed(site.store) == {3: False, 4: False}
    with site.store.database.connected() as connection:
        _, post = read_post(connection, site.context.mappings, posts.UNIT, 3)
    assert post is not None
    assert (post.sheet, post.said, post.done, post.is_owed) == (Sheet.REJECTED_BY_MILLENNIUM, None, False, True)
    assert PostOutcome.BOOKED_MILLENNIUM in post.may
    say(site.store, 3, PostOutcome.BOOKED_MILLENNIUM, at=LATER + dt.timedelta(hours=2), since=post.said_since)
    assert owed(site.store) == {3: True, 4: False}
    with site.store.database.connected() as connection:
        _, post = read_post(connection, site.context.mappings, posts.UNIT, 3)
    assert post is not None
    assert post.said is not None
    assert (post.said.outcome, post.done, post.may) == (PostOutcome.BOOKED_MILLENNIUM, True, ())


def test_the_work_list_has_the_posts_of_the_ledger_that_are_on_no_other_sheet(
    site: worklists.Site, tmp_path: Path
) -> None:
    """Post 3 has left the unit, 4 waits no more and 7 migrates now: each has a row, and 1 its own one, as rejected."""
    released(site, "second", {"post_id": 3, **MOVE}, {"post_id": 4, **FIRST}, {"post_id": 7, **MOVE}, hours=1)
    receive(site.store, "first", post_1="rejected")
    moved = {"post_id": 3, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH, **MOVE}
    now = (CLEAN, CLEAN, moved, {"post_id": 4, **LEFT, **MOVE, "patient": "Fyran Provsson"}, {"post_id": 7})
    night(site, "natt-1", *now, days=0, released=(1, 2))
    site.write(tmp_path / "first", with_csv=True)
    book = worklists.book_of(tmp_path / "first")
    assert worklists.post_ids_of(book) == {"Avvisade av Millennium": [1], "Utan utfall": [3, 4, 7]}
    three, four, seven = worklists.sheets_of(book)["Utan utfall"]
    assert "Ange på enhetens sida" in four["Gör så här"]
    assert seven["Gör så här"] == WORK_LIST_OWED_MIGRATES
    assert (three["Namn"], three["Personnummer"]) == (None, None), "it is another unit's patient now"
    assert four["Namn"] == "Fyran Provsson"
    assert three["Boka före"] == worklists.day(posts.CLEAN["boka_fore"])
    assert worklists.counts_of(book)["Utan utfall"] == 4
    listed = worklists.csv_of(tmp_path / "first")
    assert sorted(row["Post-id"] for row in listed if row["Lista"] == "Utan utfall") == ["3", "4", "7"]
    site.write(tmp_path / "alone", units=(posts.UNIT,))
    assert worklists.post_ids_of(worklists.book_of(tmp_path / "alone")) == worklists.post_ids_of(book)
    say(site.store, 3, PostOutcome.MOVED)
    site.write(tmp_path / "second")
    assert worklists.post_ids_of(worklists.book_of(tmp_path / "second"))["Utan utfall"] == [4, 7]
    site.write(tmp_path / "batch", batch_id="first")
    assert "Utan utfall" not in worklists.post_ids_of(worklists.book_of(tmp_path / "batch")), (
        "of the latest night alone"
    )


# What the nightly run says


def test_a_post_that_a_later_batch_has_released_is_released_later(site: worklists.Site) -> None:
    moved = {"post_id": 3, "enhet_hsa_id": posts.UNIT_CHILD_HEALTH, "kategori": "SDV Bhv Ssk Återbesök (6-8 v)"}
    released(site, "second", moved, hours=1, wave="2")
    assert owed(site.store)[3] is False
    everything = (CLEAN, CLEAN, moved, FIRST, LEFT)
    told = night(site, "natt-1", *everything, released=(1, 2, 3))
    assert told == ledger.Noted(released_later=1)
    assert owed(site.store) == {3: True, 4: False}
    assert night(site, "natt-2", *everything, days=2, released=(1, 2, 3)) == ledger.Noted()
    decisions.withdraw(site.store, "second", "lead", REASON, LATER + dt.timedelta(hours=2))
    assert owed(site.store)[3] is False, "at once, and not after the next night"
    assert night(site, "natt-3", *everything, days=3, released=(1, 2)) == ledger.Noted(undone=1)
    said = [row for row in batches.rows(site.store, schema.post_outcome) if row["post_id"] == 3]
    assert [(row["outcome"], row["actor"]) for row in said] == [("released_later", PIPELINE), ("undone", PIPELINE)]


def test_a_post_of_an_earlier_batch_of_the_unit_is_released_later_too(site: worklists.Site) -> None:
    released(site, "second", CLEAN, CLEAN, CLEAN, FIRST, LEFT, hours=1, released=(1, 2))
    assert owed(site.store) == {4: False}
    everything = (CLEAN, CLEAN, CLEAN, FIRST, LEFT)
    assert night(site, "natt-1", *everything, released=(1, 2, 3)) == ledger.Noted(released_later=1)
    assert night(site, "natt-2", *everything, days=2, released=(1, 2, 3)) == ledger.Noted()


def test_a_post_that_pmo_no_longer_has_is_closed_there_until_it_comes_back(site: worklists.Site) -> None:
    without = (CLEAN, CLEAN, {"post_id": 4, **FIRST})
    assert night(site, "natt-1", *without, released=(1, 2)) == ledger.Noted(closed_in_pmo=1)
    assert owed(site.store) == {3: True, 4: False}
    assert night(site, "natt-2", *without, days=2, released=(1, 2)) == ledger.Noted()
    assert night(site, "natt-3", *GIVEN, days=3, released=(1, 2)) == ledger.Noted(undone=1)
    assert owed(site.store) == {3: False, 4: False}
    assert night(site, "natt-4", *without, days=4, released=(1, 2)) == ledger.Noted(closed_in_pmo=1)


@pytest.mark.parametrize("given", [{"post_id": 3}, {"post_id": 3, **MOVE}], ids=["corrected", "as it was"])
def test_a_post_of_which_pmo_says_that_nobody_waits_is_closed_there(
    site: worklists.Site, given: Mapping[str, Any]
) -> None:
    ended = (CLEAN, CLEAN, {**given, "vantar_pa_besok": False}, FIRST)
    assert night(site, "natt-1", *ended, released=(1, 2)) == ledger.Noted(closed_in_pmo=1)
    assert owed(site.store) == {3: True, 4: False}
    assert night(site, "natt-2", *GIVEN, days=2, released=(1, 2)) == ledger.Noted(undone=1)


def test_a_rejected_post_that_pmo_has_closed_needs_nothing_more(site: worklists.Site) -> None:
    receive(site.store, "first", post_1="rejected")
    night(site, "natt-1", {"post_id": 2}, {"post_id": 3, **MOVE}, {"post_id": 4, **FIRST}, released=(1, 2))
    assert owed(site.store) == {1: True, 3: False, 4: False}


def test_what_people_have_said_is_left_as_it_is(site: worklists.Site) -> None:
    say(site.store, 3, PostOutcome.BOOKED_MILLENNIUM)
    assert night(site, "natt-1", CLEAN, CLEAN, released=(1, 2)) == ledger.Noted(closed_in_pmo=1), "post 4 alone"
    assert [row["post_id"] for row in batches.rows(site.store, schema.post_outcome)] == [3, 4]


def test_a_run_that_has_not_read_every_unit_or_began_before_the_release_closes_nothing(site: worklists.Site) -> None:
    assert night(site, "some", CLEAN, CLEAN, units=(posts.UNIT,), released=(1, 2)) == ledger.Noted()
    assert night(site, "before", CLEAN, CLEAN, days=0, released=(1, 2)) == ledger.Noted(), "it began with the release"
    assert owed(site.store) == {3: False, 4: False}


# Posts of no wave


def test_posts_of_no_wave_are_listed_apart(site: worklists.Site) -> None:
    units = (posts.unit(posts.UNIT, posts.GO_LIVE, "Pv"), posts.unit(posts.UNIT_LIVE, posts.GO_LIVE, "Pv", vag=None))
    mappings = posts.context(units=(*units, posts.unit(posts.UNIT_WITHOUT_GO_LIVE, None, "Pv"))).mappings
    counts = {
        posts.UNIT: {"fix_in_pmo": 9},
        posts.UNIT_LIVE: {"fix_in_pmo": 1, "leave": 5},
        posts.UNIT_WITHOUT_GO_LIVE: {"plan_unit": 3, "already_released": 2},
        "": {"plan_unit": 2},
    }
    assert [(unit.key, unit.posts) for unit in read_outside(counts, mappings)] == [
        (posts.UNIT_WITHOUT_GO_LIVE, 3), ("", 2), (posts.UNIT_LIVE, 1),
    ]  # fmt: skip


# The follow-up, day by day


def test_each_day_is_kept_once_and_the_last_one_is_now(site: worklists.Site) -> None:
    receive(site.store, "first", post_1="accepted")
    window = dt.date.fromisoformat(posts.CLEAN["boka_fore"])
    today = Today(dt.date(2024, 11, 1), window)
    first, second = dt.date(2024, 10, 30), dt.date(2024, 10, 31)
    for day, late_from in ((first, window), (second, window), (second, window + dt.timedelta(days=1))):
        with site.store.database.writing() as connection:
            follow.keep_day(connection, day, follow.count(connection, late_from))
    receive(site.store, "first", post_2="booked")
    with site.store.database.connected() as connection:
        found = read_followed(connection, site.context.mappings, today, wave="1")
        at_unit = read_followed(connection, site.context.mappings, today, unit=posts.UNIT)
        assert read_followed(connection, site.context.mappings, today, unit=posts.UNIT_LIVE) is None
        assert read_followed(connection, site.context.mappings, today, wave="2") is None
    assert found is not None
    assert found == at_unit
    assert [(day.day, day.counts.open, day.counts.late, day.counts.booked) for day in found.days] == [
        (first, 1, 0, 0), (second, 1, 1, 0), (today.day, 1, 0, 1),
    ]  # fmt: skip
    for day in found.days:
        counts = day.counts
        ways = (counts.unanswered, counts.rejected, counts.open, counts.booked, counts.cancelled)
        assert sum(ways) == counts.posts == 2


# Closing a wave


def close(
    site: worklists.Site, reason: str | None = None, *, lead: bool = False, wave: str = "1"
) -> ledger.Closing | ClosingFault:
    return closing.close(site.store.database, wave, "eva", reason, LATER, late_from=FAR, is_lead=lead)


def closed(site: worklists.Site, reason: str | None = None, *, lead: bool = False) -> ledger.Closing:
    made = close(site, reason, lead=lead)
    assert isinstance(made, ledger.Closing)
    return made


def standing(site: worklists.Site) -> closing.Standing:
    with site.store.database.connected() as connection:
        return closing.read_standing(connection, "1", FAR)


def complete(site: worklists.Site) -> None:
    receive(site.store, "first", post_1="booked", post_2="accepted")
    say(site.store, 3, PostOutcome.MOVED)
    say(site.store, 4, PostOutcome.NOT_NEEDED)


def test_a_wave_is_closed_by_anybody_when_nothing_is_missing_and_the_follow_up_goes_on(site: worklists.Site) -> None:
    complete(site)
    made = closed(site)
    found = standing(site)
    assert found.closed == made
    assert (made.closing_no, made.actor, made.reason, made.batches) == (1, "eva", None, ("first",))
    assert {name: made.details[name] for name in ("posts", "missing", "unanswered", "open", "booked")} == {
        "posts": 2, "missing": 0, "unanswered": 0, "open": 1, "booked": 1,
    }  # fmt: skip
    receive(site.store, "first", post_2="cancelled")
    assert standing(site).followed.open == 0


@pytest.mark.parametrize("missing", ["outcome", "receipt"])
def test_before_that_only_a_lead_closes_a_wave_and_with_a_reason(site: worklists.Site, missing: str) -> None:
    if missing == "outcome":
        receive(site.store, "first", post_1="booked", post_2="accepted")
        say(site.store, 3, PostOutcome.MOVED)
    else:
        receive(site.store, "first", post_1="booked")
        for post in (3, 4):
            say(site.store, post, PostOutcome.MOVED)
    assert close(site, REASON) is ClosingFault.ONLY_A_LEAD
    for reason in (None, "", "för kort", "  k o r t  "):
        assert close(site, reason, lead=True) is ClosingFault.REASON_MISSING
    assert close(site, "Gäller 19850314-2380 och ingen annan", lead=True) is ClosingFault.REASON_HAS_NUMBER
    assert close(site, "x" * (closing.LONGEST_REASON + 1), lead=True) is ClosingFault.REASON_LONG
    assert batches.rows(site.store, schema.wave_closing) == []
    made = closed(site, f"  {REASON}  ", lead=True)
    assert (made.reason, made.details["missing"] + made.details["unanswered"]) == (REASON, 1)


def test_a_contradicted_post_has_no_receipt(site: worklists.Site) -> None:
    complete(site)
    receive(site.store, "first", post_2="rejected")
    assert standing(site).followed.unanswered == 1
    assert close(site) is ClosingFault.ONLY_A_LEAD


def test_a_wave_that_is_closed_is_not_closed_again(site: worklists.Site) -> None:
    complete(site)
    assert close(site) == close(site, "En annan motivering", lead=True)
    assert len(batches.rows(site.store, schema.wave_closing)) == 1


def test_a_wave_without_a_release_cannot_be_closed(site: worklists.Site) -> None:
    assert close(site, REASON, lead=True, wave="2") is ClosingFault.NO_RELEASE


def test_closing_ends_the_ledger_and_a_later_release_opens_it_again(site: worklists.Site) -> None:
    close(site, REASON, lead=True)
    with site.store.database.connected() as connection:
        assert not ledger.is_missing(connection)
        assert ledger.read_owed(connection, posts.UNIT) == {}
    released(site, "second", CLEAN, CLEAN, MOVE, hours=1, released=(1, 2))
    with site.store.database.connected() as connection:
        assert ledger.is_missing(connection)
        assert set(ledger.read_owed(connection, posts.UNIT)) == {3}
    assert closed(site, REASON, lead=True).closing_no == 2


def test_the_query_that_the_page_shows_gives_what_the_page_says(site: worklists.Site) -> None:
    receive(site.store, "first", post_1="rejected")
    say(site.store, 3, PostOutcome.MOVED)
    with site.store.database.connected() as connection:
        shown = read_ledger(connection, site.context.mappings, Today(FAR, FAR), "1")
        assert shown is not None
        rows = connection.exec_driver_sql(shown.query).mappings().all()
    assert (sum(row["posts"] for row in rows), sum(row["missing"] for row in rows)) == (3, 2)
    assert (shown.posts, shown.missing, shown.complete) == (3, 2, False)
    assert [(line.key, line.posts, line.missing, line.rejected) for line in shown.lines] == [(posts.UNIT, 3, 2, 1)]


def test_the_name_of_a_wave_is_quoted_in_the_query(site: worklists.Site) -> None:
    wave = "1' OR '100%'='100%"
    with site.store.database.connected() as connection:
        text = ledger.as_text(ledger.count_of_wave(wave), connection)
        assert connection.execute(sa.text(text.replace(":", "\\:"))).all() == []
    assert "= '1'' OR ''100%''=''100%'" in text


def test_later_batches_of_a_unit_are_not_looked_for_in_the_counts_of_every_night(tmp_path: Path) -> None:
    store = StagingStore(f"sqlite:///{tmp_path / 'staging.sqlite'}")
    store.migrate()
    with store.engine.connect() as connection:
        asked = ledger.as_text(ledger.count_of_wave("1"), connection)
        plan = [step for *_, step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}")]
    assert any("recounted" in step for step in plan)
    assert [step for step in plan if step.startswith("SCAN recounted")] == []
