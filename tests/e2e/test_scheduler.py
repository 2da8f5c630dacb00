"""The dry run under the real scheduler: by hand, by night, over past days, cleared, failed and killed."""

import datetime as dt
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import AS_OF, Site
from tests.support import chromium
from tests.support.dump import dump
from tests.support.running_airflow import DAG

from waitlist.facts.mappings import load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.simulator import MAPPINGS

PARTITIONS = 3
FAILED = "Torrkörningen av väntelistorna misslyckades"


@pytest.fixture(scope="module")
def nightly(site: Site) -> str:
    """The run that the scheduler begins by itself, for last night."""
    site.airflow.unpause()
    (run,) = site.airflow.until("there is a nightly run", lambda: site.airflow.runs("scheduled") or None)
    site.airflow.ended(run["dag_run_id"])
    return str(run["dag_run_id"])


@pytest.fixture(scope="module")
def undisturbed(site: Site, nightly: str) -> str:
    """A run by hand that was not disturbed."""
    run_id = site.airflow.trigger("undisturbed", as_of=AS_OF.isoformat())
    site.airflow.ended(run_id)
    return run_id


def content(site: Site, run_id: str) -> dict[str, object]:
    """Everything in staging of a run's batch, except its name, the times and its audit trail."""
    batch_id = site.batch_id(run_id)
    tables = {
        table: [row[1:] for row in rows if row[0] == batch_id]
        for table, rows in dump(site.store).items()
        if table not in {"batch", "batch_event"}
    }
    batch = site.batch(run_id)
    return {**tables, "batch": (batch.state, batch.as_of, batch.posts_extracted, batch.posts_staged)}


def test_a_run_by_hand_is_verified_and_every_post_comes_out_as_planted(site: Site, undisturbed: str) -> None:
    assert site.dispositions(undisturbed) == site.truth
    batch = site.batch(undisturbed)
    planted = Counter(site.truth.values())
    assert (batch.state, batch.as_of) == ("verified", AS_OF)
    assert (batch.posts_extracted, batch.posts_staged) == (planted.total(), planted["migrate"])
    mapped = Counter(task for task, index in site.airflow.tasks(undisturbed) if index >= 0)
    assert mapped == {"extract": PARTITIONS, "assess": PARTITIONS}


def test_without_logical_date_and_as_of_the_date_is_that_of_run_after_in_sweden(site: Site, nightly: str) -> None:
    run_id = site.airflow.trigger("by-run-after", run_after="2024-09-30T22:30:00Z", waves=["1"])
    site.airflow.ended(run_id)
    assert site.airflow.get(f"/dagRuns/{run_id}")["logical_date"] is None
    batch = site.batch(run_id)
    assert (batch.state, batch.as_of, batch.wave) == ("verified", dt.date(2024, 10, 1), "1")


def test_an_older_snapshot_is_judged_again_without_pmo(site: Site, undisturbed: str) -> None:
    older = site.batch_id(undisturbed)
    away = site.pmo.rename(site.pmo.with_suffix(".away"))
    run_id = site.airflow.trigger("replay", reuse_snapshot=older, waves=["1"])
    site.airflow.ended(run_id)
    assert not site.pmo.exists(), "somebody opened PMO"
    away.rename(site.pmo)
    units = load_mappings(site.folder / MAPPINGS, raisable=BUILT_IN_SEVERITIES).units
    of_unit = dict(site.ask("SELECT post_id, trim(enhet_hsa_id) FROM disposition WHERE batch_id = ?", older))
    wave = {hsa_id for hsa_id, unit in units.items() if unit.vag == "1"}
    then = {post: what for post, what in site.dispositions(undisturbed).items() if of_unit[post] in wave}
    assert site.dispositions(run_id) == then
    assert (site.batch(run_id).state, site.batch(run_id).as_of) == ("verified", AS_OF)


def test_after_the_last_go_live_a_run_skips_everything_and_makes_no_batch(site: Site, nightly: str) -> None:
    units = load_mappings(site.folder / MAPPINGS, raisable=BUILT_IN_SEVERITIES).units.values()
    last = max(unit.driftstart for unit in units if unit.driftstart)
    by_hand = site.airflow.trigger("after-the-last", as_of=(last + dt.timedelta(days=1)).isoformat())
    site.airflow.ended(by_hand)
    for run_id in (nightly, by_hand):
        states = {task: told["state"] for (task, _), told in site.airflow.tasks(run_id).items()}
        # What has been released is looked after as long as the DAG runs.
        assert {states.pop("verify_releases"), states.pop("watch_receipts")} == {"success"}
        assert set(states.values()) == {"skipped"}
        assert site.ask("SELECT * FROM batch WHERE run_id = ?", run_id) == []


def test_a_backfill_makes_each_past_day_a_batch_as_the_list_was(site: Site, nightly: str) -> None:
    # A run's data interval begins on the day that the backfill names and ends on the next, its as-of date.
    span = ("--from-date", "2024-09-29", "--to-date", "2024-10-01")
    site.airflow.home.cli("backfill", "create", "--dag-id", DAG, *span)
    runs = [run["dag_run_id"] for run in site.airflow.runs("backfill")]
    for run_id in runs:
        site.airflow.ended(run_id)
    lists = {}
    for run_id in runs:
        batch = site.batch(run_id)
        assert batch.state == "verified"
        lists[batch.as_of] = set(site.dispositions(run_id))
        assert batch.posts_extracted == len(lists[batch.as_of])
    days = [dt.date(2024, 9, 30), AS_OF]
    assert lists == {day: waiting_at_the_end_of(site, day) for day in days}
    assert lists[AS_OF] == set(site.truth)
    assert len({len(posts) for posts in lists.values()}) == len(days)
    assert lists[days[0]] - lists[AS_OF], "a post that was closed since is in the older batch alone"


def waiting_at_the_end_of(site: Site, day: dt.date) -> set[object]:
    end = f"{day + dt.timedelta(days=1)} 00:00:00"
    rows = site.ask_pmo(
        "SELECT post_id FROM vantelistepost WHERE registrerad < ? AND coalesce(avslutad, '9') >= ?", end, end
    )
    return {post_id for (post_id,) in rows}


@pytest.mark.parametrize(
    "chosen", [("extract", "assess", "reconcile"), pytest.param((), id="any", marks=pytest.mark.attack)]
)
def test_clearing_one_task_leaves_the_same_database(site: Site, undisturbed: str, chosen: tuple[str, ...]) -> None:
    before = dump(site.store)
    assert set(chosen) < set(site.airflow.task_ids())
    for task_id in chosen or site.airflow.task_ids():
        tries = tries_of(site, undisturbed)
        site.airflow.clear(undisturbed, [task_id])
        site.airflow.ended(undisturbed)
        ran = {task for (task, index), tried in tries_of(site, undisturbed).items() if tried != tries[task, index]}
        assert ran == {task_id} - {"mark_failed"}
        assert dump(site.store) == before, f"after clearing {task_id}"


@pytest.mark.attack
def test_clearing_the_whole_run_leaves_the_same_database(site: Site, undisturbed: str) -> None:
    before, tries = dump(site.store), tries_of(site, undisturbed)
    site.airflow.clear(undisturbed)
    site.airflow.ended(undisturbed)
    ran = {task for (task, index), tried in tries_of(site, undisturbed).items() if tried != tries[task, index]}
    assert ran == set(site.airflow.task_ids()) - {"mark_failed"}
    assert dump(site.store) == before


@pytest.mark.usefixtures("nightly")
@pytest.mark.attack
def test_a_rerun_with_fewer_partitions_and_one_with_more_again_stage_exactly_the_posts_that_are_there(
    site: Site,
) -> None:
    run_id = site.airflow.trigger("shrunk", as_of=AS_OF.isoformat())
    site.airflow.ended(run_id)
    before, whole = content(site, run_id), site.pmo.read_bytes()
    gone = sorted(site.truth)[len(site.truth) // 2 :]
    site.ask_pmo("DELETE FROM vantelistepost WHERE post_id >= ?", gone[0])
    site.airflow.clear(run_id)
    site.airflow.ended(run_id)
    assert site.dispositions(run_id).keys() == site.truth.keys() - set(gone)
    states = {key: task["state"] for key, task in site.airflow.tasks(run_id).items()}
    assert states["extract", PARTITIONS - 1] == states["assess", PARTITIONS - 1] == "removed"
    assert states["extract", 0] == states["verify", -1] == "success"

    site.pmo.write_bytes(whole)
    site.airflow.clear(run_id)
    site.airflow.ended(run_id)
    assert {key: rows for key, rows in content(site, run_id).items() if key != "batch_file"} == {
        key: rows for key, rows in before.items() if key != "batch_file"
    }


def tries_of(site: Site, run_id: str) -> dict[tuple[str, int], int]:
    return {key: task["try_number"] for key, task in site.airflow.tasks(run_id).items()}


def test_a_failed_extract_shows_nothing_and_once_mended_and_cleared_ends_as_if_undisturbed(
    site: Site, undisturbed: str
) -> None:
    post_id = sorted(site.truth)[len(site.truth) // 2]
    with altered(site, post_id):
        run_id = site.airflow.trigger("disturbed", as_of=AS_OF.isoformat())
        site.airflow.ended(run_id, state="failed")
    tasks = site.airflow.tasks(run_id)
    failed = [key for key, task in tasks.items() if task["state"] == "failed" and key[0] != "conclude"]
    assert failed == [("extract", PARTITIONS // 2)]
    assert "is failed and not verified" in site.airflow.task_log(run_id, "conclude")
    assert tasks[failed[0]]["try_number"] == 1, "drift is not cured by trying again"
    assert str(post_id) in site.airflow.task_log(run_id, *failed[0])
    assert site.batch(run_id).state == "failed"
    assert [event.reason for event in site.store.events(site.batch_id(run_id))][-1] == f"failed: extract_{failed[0][1]}"
    (told,) = site.airflow.until("the leads are told", lambda: site.mails(FAILED) or None)
    assert "Steget extract misslyckades." in told
    assert f'href="{site.airflow.url}/dags/{DAG}/runs/disturbed"' in told
    assert site.ask("SELECT * FROM readable_batch WHERE run_id = ?", run_id) == []
    assert site.dispositions(run_id) == {}
    a_lead_finds_the_log(site, str(post_id))

    site.airflow.clear(run_id, failed, downstream=True)
    site.airflow.ended(run_id)
    assert content(site, run_id) == content(site, undisturbed)
    assert len(site.mails(FAILED)) == 1


def a_lead_finds_the_log(site: Site, said: str) -> None:
    """Go from Översikt to a post, and from there to the failed step's log, as a lead whose browser is logged in."""
    with chromium.chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "_token", "value": site.airflow.token("lead"), "url": site.airflow.url}])
        page = context.new_page()
        page.goto(f"{site.airflow.url}/migrering/")
        expect(page.get_by_text("Den senaste torrkörningen misslyckades")).to_be_visible()
        page.locator("table.units tbody a").first.click()
        page.get_by_role("link", name="Alla poster").click()
        post = page.locator("table.posts tbody th").first.inner_text()
        page.get_by_label("Post-id", exact=True).fill(post)
        page.get_by_role("button", name="Visa", exact=True).click()
        expect(page.locator("table.posts tbody th")).to_have_text([post])

        page.locator(".brand a").click()
        page.get_by_role("link", name="Se var den stannade").click()
        expect(page.get_by_text("Den stannade i steget Läsa PMO.")).to_be_visible()
        page.get_by_role("link", name="Läsa PMO", exact=True).click()
        # Airflow's own pages from here on: the part that failed, and its log.
        page.get_by_role("link", name=str(PARTITIONS // 2), exact=True).first.click(timeout=30_000)
        expect(page.get_by_text(said).first).to_be_visible(timeout=30_000)


@contextmanager
def altered(site: Site, post_id: int) -> Iterator[None]:
    """Write a flag into PMO that is neither yes nor no."""
    ((flag,),) = site.ask_pmo("SELECT vantar_pa_besok FROM vantelistepost WHERE post_id = ?", post_id)
    site.ask_pmo("UPDATE vantelistepost SET vantar_pa_besok = 7 WHERE post_id = ?", post_id)
    yield
    site.ask_pmo("UPDATE vantelistepost SET vantar_pa_besok = ? WHERE post_id = ?", flag, post_id)


def test_a_worker_killed_while_it_assesses_is_replaced_and_the_result_is_the_same(site: Site, undisturbed: str) -> None:
    before, tried = dump(site.store), site.airflow.task(undisturbed, "assess", 1)["try_number"]
    with held(site.staging):
        site.airflow.clear(undisturbed, [("assess", 1)])
        pid = site.airflow.until("assess has staging open", at_work(site, undisturbed))
        os.kill(pid, signal.SIGKILL)
        site.airflow.until(
            "the kill is noticed",
            lambda: site.airflow.task(undisturbed, "assess", 1)["state"] == "up_for_retry",
        )
    site.airflow.ended(undisturbed)
    assert site.airflow.task(undisturbed, "assess", 1)["try_number"] == tried + 2
    assert dump(site.store) == before


@contextmanager
def held(staging: Path) -> Iterator[None]:
    """Keep others from writing to staging."""
    with closing(sqlite3.connect(staging, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def at_work(site: Site, run_id: str) -> Callable[[], int | None]:
    """Return the process of ``assess`` once it has staging open: while staging is locked, it waits there."""

    def pid() -> int | None:
        task = site.airflow.task(run_id, "assess", 1)
        if task["state"] != "running" or not task["pid"]:
            return None
        opened = {link.resolve() for link in Path(f"/proc/{task['pid']}/fd").iterdir()}
        return int(task["pid"]) if site.staging.resolve() in opened else None

    return pid
