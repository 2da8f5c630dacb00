"""The day of a unit's staff, and of a reader of the access log, in a browser over the pages alone."""

import dataclasses
import datetime as dt
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect
from tests.support import chromium, dashboards, posts, releases, runs, worklists
from tests.support.dashboards import Server
from upath import UPath

from waitlist.facts.gates import Gate
from waitlist.facts.mappings import load_mappings
from waitlist.judge.rules import BUILT_IN_SEVERITIES
from waitlist.release import decisions
from waitlist.release.receipts import files, follow
from waitlist.simulator import MAPPINGS, Order, generate
from waitlist.staging import PIPELINE, StagingStore, log_verdicts, schema
from waitlist.staging.access_log import Action, record
from waitlist.steps.pipeline import Pipeline
from waitlist_airflow.web import errors
from waitlist_airflow.web import site as site_module

AS_OF = dt.date(2024, 10, 1)
NIGHTS = (AS_OF - dt.timedelta(days=2), AS_OF - dt.timedelta(days=1))
UNIT, NEXT = "SE9999999999-DEMO0024", "SE2120009999-DEMO0001"
WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
ZOOMED = ViewportSize(width=720, height=450)
"""What a window of 1440 by 900 shows at 200 %."""
LAST_MONTH = dt.datetime.now(dt.UTC).replace(day=1) - dt.timedelta(days=5)


@dataclass(frozen=True)
class Clinic:
    """The pages over two nights, and a browser."""

    server: Server
    browser: Browser
    steps: Pipeline
    pmo: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/migrering/"

    def open(self, path: str, user: str, *, size: ViewportSize = WIDE, theme: str = "light") -> Page:
        context = self.browser.new_context(viewport=size, color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": user, "url": self.url}])
        page = context.new_page()
        page.goto(self.url + path)
        return page

    def night(self, day: dt.date) -> None:
        now = dt.datetime.now(dt.UTC) - (AS_OF - day)
        runs.dry_run(self.steps, runs.request(f"scheduled__{day}", as_of=day), now=now)

    def change_pmo(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self.pmo)) as connection, connection:
            connection.execute(sql, values)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("clinic")
    pmo, staging = folder / "pmo.sqlite", f"sqlite:///{folder}/staging.sqlite"
    generate(Order(2_000, seed=3, as_of=AS_OF), folder, sqlite=pmo)
    store = StagingStore(staging, pooled=True)
    store.migrate()
    steps = runs.pipeline(
        folder, pmo=f"Driver={{SQLite3}};Database={pmo};StepAPI=1", staging=staging, mappings=folder / MAPPINGS
    )
    mappings = load_mappings(folder / MAPPINGS, raisable=BUILT_IN_SEVERITIES)

    class Site(dashboards.Site):
        unit_readers = {"nurse": frozenset({UNIT})}  # noqa: RUF012 - as the deployment has it

        def __init__(self) -> None:
            super().__init__(store, folder / "snapshots")
            self.mappings = mappings

    with pytest.MonkeyPatch.context() as patch, chromium.chromium() as browser:
        for name, users in {**dashboards.RIGHTS, "WAITLIST_LOG_READERS": "auditor"}.items():
            patch.setenv(name, users)
        patch.setattr(errors, "get_auth_manager", SimpleAuthManager)
        made = dashboards.over(SimpleNamespace(store=store, snapshots=folder / "snapshots"))  # type: ignore[arg-type]
        made.dependency_overrides[site_module.site] = Site
        with dashboards.serving(made) as server:
            found = Clinic(server, browser, steps, pmo)
            for day in NIGHTS:
                found.night(day)
            yield found
    store.engine.dispose()


def rows(page: Page) -> Locator:
    return page.locator("table.worklist tbody tr")


def count_of(page: Page, tab: str) -> int:
    said = page.locator(".tabs").get_by_role("link", name=tab).locator("b").inner_text()
    return int(re.sub(r"\D", "", said))


def requires_access(page: Page) -> None:
    assert chromium.violations(page) == []
    assert chromium.sideways(page) <= 0


def test_the_day_of_a_units_staff(clinic: Clinic) -> None:
    page = clinic.open("", "nurse")
    assert page.url == f"{clinic.url}enhet/{UNIT}"
    expect(page.get_by_role("link", name="Översikt", exact=True)).to_have_count(0)

    page.goto(f"{clinic.url}enhet/{NEXT}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Du har inte behörighet till enheten")
    requires_access(page)
    page.get_by_role("link", name="Till enhetens sida").click()

    todo = count_of(page, "Att göra")
    row = rows(page).filter(has_text="Bokas direkt i Millennium").first
    post_id = row.locator("th").inner_text()
    row.locator("summary").click()
    row.locator("select[name=utfall]").select_option("not_needed")
    row.get_by_role("button", name="Spara").click()
    expect(page.locator("#fel")).to_contain_text("Skriv varför besöket inte behövs längre.")
    requires_access(page)
    page.locator("input[name=ord]").fill("har fått tid på annat håll")
    page.get_by_role("button", name="Spara").click()
    expect(page.locator(".told")).to_contain_text(f"Post {post_id}: Behövs inte längre (har fått tid på annat håll)")
    requires_access(page)
    assert count_of(page, "Att göra") == todo - 1

    page.locator(".told").get_by_role("button", name="Ångra").click()
    expect(page.locator(".told")).to_contain_text(f"Post {post_id} är inte längre klarmarkerad.")
    assert count_of(page, "Att göra") == todo

    row = rows(page).filter(has_text=post_id)
    row.locator("summary").click()
    row.locator("select[name=utfall]").select_option("booked_millennium")
    row.get_by_role("button", name="Spara").click()
    expect(page.locator(".told")).to_contain_text("Bokad i Millennium")

    moving = rows(page).filter(has_text="Flytta till SDV-väntelista").first
    moved, to = moving.locator("th").inner_text(), moving.locator("[data-label=Hantering] b").inner_text()
    expect(moving).to_contain_text("Raden försvinner när posten ligger på en SDV-väntelista i PMO.")
    clinic.change_pmo("UPDATE vantelistepost SET kategori = ? WHERE post_id = ?", to, int(moved))
    clinic.night(AS_OF)

    page.goto(f"{clinic.url}enhet/{UNIT}")
    assert {moved, post_id}.isdisjoint(rows(page).locator("th").all_inner_texts())
    page.get_by_role("link", name="Åtgärdade senaste veckan").click()
    expect(rows(page).filter(has_text=moved)).to_contain_text("Migreras nu")
    page.get_by_role("link", name=re.compile("^Klarmarkerade")).click()
    expect(rows(page).filter(has_text=post_id)).to_contain_text("nurse")
    page.context.close()


def test_a_second_person_is_shown_what_the_first_has_written(clinic: Clinic) -> None:
    one, other = (clinic.open(f"enhet/{UNIT}", user) for user in ("nurse", "lead"))
    post_id = rows(one).filter(has=one.locator("summary")).nth(1).locator("th").inner_text()
    for page, outcome in ((one, "booked_pmo"), (other, "moved")):
        row = rows(page).filter(has=page.locator(f"th:text-is('{post_id}')"))
        row.locator("summary").click()
        row.locator("select[name=utfall]").select_option(outcome)
        row.get_by_role("button", name="Spara").click()
    expect(one.locator(".told")).to_contain_text("Bokad i PMO")
    expect(other.get_by_role("heading", level=1)).to_contain_text("är ändrad sedan du öppnade sidan")
    expect(other.locator(".said")).to_contain_text("nurse")
    requires_access(other)
    one.context.close()
    other.context.close()


def test_a_post_is_ticked_by_the_keyboard_alone(clinic: Clinic) -> None:
    page = clinic.open(f"enhet/{UNIT}", "nurse")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Till innehållet")
    summary = page.locator("table.worklist summary").first
    post_id = rows(page).filter(has=page.locator("summary")).first.locator("th").inner_text()
    for _ in range(80):
        page.keyboard.press("Tab")
        if summary.evaluate("element => element === document.activeElement"):
            break
    assert page.locator(":focus").evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("name", "utfall")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".told")).to_contain_text(f"Post {post_id}")
    page.context.close()


def test_a_reader_of_the_log_judges_its_sample(clinic: Clinic) -> None:
    store = clinic.steps.store
    for number, user in enumerate(("nurse", "auditor")):
        record(
            store, at=LAST_MONTH, user_id=user, acting_for="", action=Action.PERSONS, batch_id="natt", unit=UNIT,
            patients={number: None},
        )  # fmt: skip
    page = clinic.open("", "auditor")
    expect(page.get_by_role("heading", level=1)).to_have_text("Åtkomstlogg")
    page.get_by_role("link", name="Månadens stickprov").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(log_verdicts.month_before(dt.datetime.now(dt.UTC)))
    expect(rows_of_sample(page).filter(has_text="auditor")).to_contain_text("Din egen rad. Någon annan bedömer den.")
    row = rows_of_sample(page).filter(has_text="nurse")
    row.get_by_label("Bedöm").select_option("unclear")
    row.get_by_role("button", name="Spara").click()
    expect(page.get_by_role("alert")).to_have_text("Inget är sparat. Skriv varför med några ord.")
    requires_access(page)
    row.get_by_label("Bedöm").select_option("unclear")
    row.get_by_label("Varför").fill("ingen planerad vård")
    row.get_by_role("button", name="Spara").click()
    expect(row).to_contain_text("Oklart: ingen planerad vård")
    page.context.close()
    for size, theme in ((WIDE, "dark"), (NARROW, "light"), (NARROW, "dark"), (ZOOMED, "light")):
        page = clinic.open("atkomstlogg/stickprov", "auditor", size=size, theme=theme)
        requires_access(page)
        page.context.close()


def rows_of_sample(page: Page) -> Locator:
    return page.locator("tbody tr")


@pytest.mark.parametrize(
    ("size", "theme", "rules"),
    [(WIDE, "light", ()), (NARROW, "dark", ()), (ZOOMED, "light", ("scrollable-region-focusable",))],
)
def test_every_view_of_a_units_list_is_accessible_and_fits(
    clinic: Clinic, size: ViewportSize, theme: str, rules: tuple[str, ...]
) -> None:
    page = clinic.open("", "nurse", size=size, theme=theme)
    faults = {}
    for view in ("att-gora", "nya", "klara", "atgardade", "alla"):
        page.goto(f"{clinic.url}enhet/{UNIT}?visa={view}")
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
        wrong = [*chromium.violations(page, *rules), *([over] if (over := chromium.sideways(page)) > 0 else [])]
        faults |= {view: wrong} if wrong else {}
    page.context.close()
    assert faults == {}


def test_the_overview_of_150_units_fits_three_screens(clinic: Clinic, tmp_path: Path) -> None:
    waves = {"1": (40, 48), "2": (45, 125), "3": (50, 216), "0": (5, -15), "": (10, None)}
    units = tuple(
        dataclasses.replace(
            posts.unit(
                f"SE2120009999-V{wave}N{number}",
                None if days is None else AS_OF + dt.timedelta(days),
                "Pv",
                vag=wave or None,
            ),
            enhet=f"Familjecentralen Strandvägen {number}",
        )
        for wave, (many, days) in waves.items()
        for number in range(many)
    )
    assert len(units) == 150
    context = posts.context(units=units)
    staged = dataclasses.replace(worklists.site(tmp_path), context=context)
    left = [{"enhet_hsa_id": unit.hsa_id, "enhet": unit.enhet, "kategori": "Diabetesmottagning"} for unit in units]
    for days in (9, 5, 0):
        at = dataclasses.replace(context, as_of=AS_OF - dt.timedelta(days))
        dataclasses.replace(staged, context=at).stage(*left, batch_id=f"natt-{days}")
    staged.stage({"enhet_hsa_id": units[0].hsa_id}, batch_id="wave", kind="migration", wave="1")
    decisions.request_approval(staged.store, "wave", releases.failing(Gate.UNHANDLED_SHARE), PIPELINE, releases.NOW)

    with beside(clinic, staged) as many:
        page = many.open("", "lead")
        expect(page.get_by_text("40 enheter hinner inte")).to_be_visible()
        expect(page.get_by_text("10 enheter saknar driftstart")).to_be_visible()
        expect(page.get_by_text("väntar på beslut")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollHeight") <= 3 * WIDE["height"]
        page.context.close()


def test_every_page_of_a_released_wave_is_accessible_and_fits(clinic: Clinic, tmp_path: Path) -> None:
    staged, unit = worklists.site(tmp_path), f"enhet/{posts.UNIT}"
    given = (*({} for _ in range(5)), {"kategori": "Diabetesmottagning"}, {"nybesok": True})
    staged.stage(*given, batch_id="natt-1")
    staged.stage(*given, batch_id="wave", kind="migration", wave="1")
    decisions.request_approval(staged.store, "wave", releases.PASSED, PIPELINE, releases.NOW)
    decisions.release(staged.store, "wave", "lead", None, releases.LATER)
    at = (releases.LATER + dt.timedelta(hours=1)).isoformat()
    rows = ["1,accepted,{at},m1,,", "2,rejected,{at},,finns redan,", "3,booked,{at},m3,,2025-03-01"]
    lines = [",".join(schema.RECEIPT_COLUMNS), *(f"wave,{row.format(at=at)}" for row in rows)]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "svar.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    files.take(staged.store, UPath(tmp_path / "in"), {}, releases.LATER + dt.timedelta(days=1))
    with staged.store.database.writing() as connection:
        follow.keep_day(connection, AS_OF, follow.count(connection, AS_OF))
    paths = (
        "vag?namn=1", f"{unit}?visa=utan-utfall", "korningar/wave", "korningar/wave/aterlamning", "stickprov/wave",
        f"{unit}/stickprov/wave", "beslutsunderlag?namn=1", "overfort",
    )  # fmt: skip
    faults: dict[tuple[str, str, int], object] = {}
    with beside(clinic, staged) as after:
        for size, theme in ((WIDE, "light"), (NARROW, "dark"), (ZOOMED, "light")):
            page = after.open("", "lead", size=size, theme=theme)
            for path in (*paths, "the post, by its link"):
                if path in paths:
                    page.goto(after.url + path)
                else:
                    page.goto(f"{after.url}{unit}/stickprov/wave")
                    page.get_by_role("link", name="Jämför post 1", exact=True).click()
                    expect(page.get_by_text("Personuppgifter visas", exact=True)).to_be_visible()
                page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
                wrong = [*chromium.violations(page), *([over] if (over := chromium.sideways(page)) > 0 else [])]
                faults |= {(path, theme, size["width"]): wrong} if wrong else {}
            page.context.close()
    assert faults == {}


@contextmanager
def beside(clinic: Clinic, staged: worklists.Site) -> Iterator[Clinic]:
    """Serve the pages over another site, for the same browser."""

    class Site(dashboards.Site):
        def __init__(self) -> None:
            super().__init__(staged.store, staged.snapshots)
            self.mappings = staged.context.mappings

    made = dashboards.over(staged)
    made.dependency_overrides[site_module.site] = Site
    with dashboards.serving(made) as server:
        yield dataclasses.replace(clinic, server=server)
