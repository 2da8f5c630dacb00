"""The dashboard in a running Airflow: the users that get in, the pages, and their accessibility."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import openpyxl
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect
from tests.e2e.conftest import AS_OF, Site
from tests.support import chromium, runs

from waitlist import demo
from waitlist.simulator import MAPPINGS
from waitlist.staging.access_log import Action, record

POSTS = 2_000
RUNS_TASKS = False
NIGHTS = (dt.date(2024, 9, 21), dt.date(2024, 9, 28), AS_OF)
UNIT = "SE9999999999-DEMO0024"
WAVE_1 = "SE2120009999-DEMO0001"
PILOT = demo.BATCH
BATCH, BEFORE = (runs.request(f"scheduled__{night}").batch_id for night in (NIGHTS[2], NIGHTS[1]))

PAGES = {
    "oversikt": "",
    "enheter": "enhet",
    "enheter-urval": "enhet?vag=1&lage=late&sortera=kvar&riktning=ned",
    "enhet": f"enhet/{UNIT}",
    "enhet-urval": f"enhet/{UNIT}?regel=CATEGORY_NOT_MOVED&sortera=lista&riktning=ned",
    "korningar": "korningar",
    "korning": f"korningar/{BATCH}",
    "korning-jamford": f"korningar/{BATCH}?jamfor={BEFORE}",
    "regler": "regler",
    "vag": "vag?namn=1",
    "beslutsunderlag": "beslutsunderlag?namn=1",
    "utan-vag": "vag",
    "forfaller": f"forfaller/{WAVE_1}?vecka=1",
    "poster": "poster?beslut=fix_in_pmo&vag=1",
    "poster-regel": "poster?regel=CATEGORY_NOT_MOVED",
    "sok": "sok",
    "utan-ram": "utan-ram?sida=vag%3Fnamn%3D1",
    "vad-hander-om": "vad-hander-om",
    "vad-hander-om-svar": "vad-hander-om?enhet=v%C3%A5g:1&driftstart=2025-03-03&grans=review",
    "vad-hander-om-fel": "vad-hander-om?enhet=x&dagar=x",
    "overfort": "overfort",
    "overford-korning": f"korningar/{PILOT}",
    "aterlamning": f"korningar/{PILOT}/aterlamning",
    "stickprov-vag": f"stickprov/{PILOT}",
    "handbok": "handbok",
    "atkomstlogg": "atkomstlogg",
    "stickprov": "atkomstlogg/stickprov",
    "finns-inte": "finns-inte",
}
"""Every page that a lead can open, below ``/migrering/``."""
SIZES = {
    "wide": ViewportSize(width=1440, height=900),
    "narrow": ViewportSize(width=390, height=844),
    # What a window of 1440 by 900 shows at 200 %.
    "zoomed": ViewportSize(width=720, height=450),
}


@dataclass(frozen=True)
class Dashboard:
    """The site with dry runs in it, and a browser."""

    site: Site
    browser: Browser

    @property
    def url(self) -> str:
        return f"{self.site.airflow.url}/migrering/"

    def get(self, path: str, user: str | None = None) -> httpx.Response:
        """Send a request as a user, or without a login."""
        client = self.site.airflow.as_user(user) if user else httpx.Client(base_url=self.site.airflow.url)
        with closing(client):
            return client.get(f"/migrering/{path}", timeout=60)

    def open(self, path: str, user: str, *, size: str = "wide", theme: str = "light") -> Page:
        """Open a page as a user whose browser is logged in already."""
        token = self.site.airflow.token(user)
        context = self.browser.new_context(viewport=SIZES[size], color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": token, "url": self.site.airflow.url}])
        page = context.new_page()
        page.goto(self.url + path)
        return page

    def show_persons(self, page: Page) -> None:
        """Open the page with persons by its link, as a reader does: its address alone does not lead there."""
        page.goto(f"{self.url}enhet/{UNIT}")
        page.get_by_role("link", name="Visa personer").click()
        expect(page.get_by_text("Personuppgifter visas", exact=True)).to_be_visible()

    def persons(self) -> set[str]:
        """Every name and number in PMO, as written there, and without the sign between the digits."""
        rows = self.site.ask_pmo("SELECT personnummer, namn FROM patient")
        written = {str(value) for row in rows for value in row if value and len(str(value).strip()) > 7}
        return written | {re.sub(r"[-+]", "", text) for text in written}


@pytest.fixture(scope="module")
def dashboard(site: Site) -> Iterator[Dashboard]:
    """Three nights, in between which a unit moves some of its posts."""
    staging = f"sqlite:///{site.staging}"
    pmo = f"Driver={{SQLite3}};Database={site.pmo};StepAPI=1"
    steps = runs.pipeline(site.airflow.home.folder, pmo=pmo, staging=staging, mappings=site.folder / MAPPINGS)
    for night in NIGHTS:
        now = dt.datetime.now(dt.UTC) - (AS_OF - night)
        runs.dry_run(steps, runs.request(f"scheduled__{night}", as_of=night), now=now)
    # The sample of last month has one entry of the reader's own, and one that somebody else has to judge.
    last_month = dt.datetime.now(dt.UTC).replace(day=1) - dt.timedelta(days=5)
    for post_id, user in enumerate(("lead", "nurse")):
        record(
            site.store, at=last_month, user_id=user, acting_for="", action=Action.PERSONS, batch_id=BATCH, unit=UNIT,
            patients={post_id: None},
        )  # fmt: skip
    with chromium.chromium() as browser:
        yield Dashboard(site, browser)


# The users that get in


@pytest.mark.parametrize(
    "path", ["", f"enhet/{UNIT}", "api/oversikt", "static/style.css", "docs", "openapi.json", "x/y"]
)
def test_nobody_gets_anything_without_a_login(dashboard: Dashboard, path: str) -> None:
    answer = dashboard.get(path)
    assert answer.status_code == 401
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_user_without_a_login_is_led_to_airflows_login_and_back(dashboard: Dashboard) -> None:
    page = dashboard.browser.new_context().new_page()
    page.goto(dashboard.url + "enhet")
    assert chromium.violations(page) == []
    page.get_by_role("link", name="Logga in").click()
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill(dashboard.site.airflow.passwords["viewer"])
    page.locator("button[type=submit]").click()
    expect(page.get_by_role("heading", name="Enheter", level=1)).to_be_visible()
    assert page.url == dashboard.url + "enhet"
    page.context.close()


@pytest.mark.parametrize("user", ["viewer", "other"])
def test_a_user_without_the_right_to_see_persons_is_refused_and_offered_no_link(
    dashboard: Dashboard, user: str
) -> None:
    for path in (f"enhet/{UNIT}/personer", f"api/enhet/{UNIT}/personer", f"enhet/{UNIT}/arbetslista"):
        assert dashboard.get(path, user).status_code == 403
    assert dashboard.get("atkomstlogg", user).status_code == 403
    assert dashboard.get("api/atkomstlogg", user).status_code == 403
    page = dashboard.open(f"enhet/{UNIT}", user)
    expect(page.get_by_role("heading", name="Arbetslista", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Visa personer")).to_have_count(0)
    expect(page.get_by_role("link", name=re.compile("arbetslista"))).to_have_count(0)
    expect(page.get_by_role("link", name="Åtkomstlogg")).to_have_count(0)
    page.context.close()
    assert dashboard.site.ask("SELECT * FROM access_log WHERE user_id = ?", user) == []


# The pages


def test_the_address_without_its_slash_leads_to_the_dashboard(dashboard: Dashboard) -> None:
    page = dashboard.open("", "viewer")
    page.goto(dashboard.url.removesuffix("/"))
    expect(page.get_by_role("heading", name="Översikt", level=1)).to_be_visible()
    assert page.url == dashboard.url
    page.context.close()


def test_a_lead_goes_from_the_menu_to_a_units_work_list(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard.open("../", "lead")
    page.get_by_role("link", name="Migrering").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Översikt", level=1)).to_be_visible()
    name = dashboard.get("api/enhet/" + UNIT, "lead").json()["unit"]["name"]
    frame.get_by_role("link", name="Enhet", exact=True).click()
    frame.get_by_role("link", name=name, exact=True).click()
    expect(frame.get_by_role("heading", name=name, level=1)).to_be_visible()

    frame.get_by_role("link", name="Alla poster").click()
    expect(frame.get_by_role("link", name="Alla poster")).to_have_attribute("aria-current", "true")
    frame.locator("select[name=beslut]").select_option("migrate")
    frame.get_by_role("button", name="Visa").click()
    expect(frame.locator("table.posts tbody tr").first).to_contain_text("Migreras")
    ready = dashboard.get("api/enhet/" + UNIT, "lead").json()["unit"]["ready"]
    expect(frame.locator("table.posts caption")).to_contain_text(f"av {ready}")

    with page.expect_download() as download:
        frame.get_by_role("link", name="Ladda ner arbetslista").click()
    taken = tmp_path / download.value.suggested_filename
    download.value.save_as(taken)
    assert re.fullmatch(rf"arbetslista-[A-Za-z-]+--{UNIT}-{AS_OF}.xlsx", taken.name)
    assert name in str([cell.value for row in openpyxl.load_workbook(taken).worksheets[0].iter_rows() for cell in row])
    page.context.close()
    assert list(Path("/tmp").glob("waitlist-*/list")) == []


def test_posts_are_paged_and_sorted_on_the_server(dashboard: Dashboard) -> None:
    page = dashboard.open(f"enhet/{UNIT}", "viewer")
    total = dashboard.get("api/enhet/" + UNIT, "viewer").json()["paging"]["rows"]
    assert total > 50
    ids = lambda: [int(text) for text in page.locator("table.posts tbody th").all_inner_texts()]  # noqa: E731
    page.get_by_role("link", name="Post-id").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Post-id")
    first = ids()
    page.get_by_role("link", name="Nästa").click()
    expect(page.locator("table.posts caption")).to_contain_text("51–")
    second = ids()
    assert first == sorted(first)
    assert second == sorted(second)
    assert first[-1] < second[0]
    page.get_by_label("Post-id", exact=True).fill(str(second[0]))
    page.get_by_role("button", name="Visa").click()
    expect(page.locator("table.posts tbody tr")).to_have_count(1)
    page.context.close()


def test_the_page_with_persons_masks_the_protected_and_is_recorded(dashboard: Dashboard) -> None:
    before = len(dashboard.site.ask("SELECT * FROM access_log"))
    page = dashboard.open(f"enhet/{UNIT}", "lead")
    page.get_by_role("link", name="Visa personer").click()
    expect(page.get_by_text("Personuppgifter visas", exact=True)).to_be_visible()
    shown = [int(text) for text in page.locator("table.posts tbody th").all_inner_texts()]
    text = page.locator("table.posts").inner_text()
    page.context.close()
    secret = []
    for post_id in shown:
        ((name, protected),) = dashboard.site.ask_pmo(
            "SELECT namn, sekretess FROM vantelistepost JOIN patient USING (patient_id) WHERE post_id = ?", post_id
        )
        if protected:
            secret.append(post_id)
        elif name:
            assert " ".join(str(name).split()) in " ".join(text.split())
    assert text.count("Skyddade personuppgifter") == len(secret)
    entries = dashboard.site.ask("SELECT user_id, action, enhet_hsa_id, posts FROM access_log ORDER BY at")
    assert entries[before:] == [("lead", "persons", UNIT, 1)] * (len(shown) - len(secret))
    log = dashboard.open("atkomstlogg", "lead")
    expect(log.locator("tbody tr").first).to_contain_text("Visade personer")
    log.context.close()


def test_a_typed_address_shows_no_person_and_leads_to_the_page_with_the_link(dashboard: Dashboard) -> None:
    looks = "SELECT DISTINCT at FROM access_log"
    before = len(dashboard.site.ask(looks))
    for there in (f"enhet/{UNIT}/personer", f"enhet/{UNIT}/arbetslista"):
        page = dashboard.open(there, "lead")
        expect(page.get_by_role("heading", level=1)).to_have_text("Personuppgifter visas inte den vägen")
        page.get_by_role("link", name="Till enheten").click()
        page.get_by_role("link", name="Visa personer").click()
        expect(page.get_by_text("Personuppgifter visas", exact=True)).to_be_visible()
        page.context.close()
    # One look writes a row for each person, all of one moment.
    assert len(dashboard.site.ask(looks)) == before + 2


def test_a_lead_asks_what_another_go_live_would_do_and_nothing_changes(dashboard: Dashboard) -> None:
    before = dashboard.site.ask("SELECT * FROM batch"), dashboard.site.ask("SELECT * FROM batch_event")
    page = dashboard.open("../", "lead")
    page.get_by_role("link", name="Migrering").click()
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Vad händer om").click()
    frame.get_by_label("Enhet eller våg").select_option("Våg 1")
    frame.get_by_label(re.compile("Ny driftstart")).fill("2025-03-03")
    frame.get_by_role("button", name="Räkna").click()
    asked = "enhet=v%C3%A5g:1&driftstart=2025-03-03"
    found = dashboard.get(f"api/vad-hander-om?{asked}", "lead").json()["consequences"]
    assert found["moved"] > 0
    expect(frame.get_by_role("heading", name=re.compile("^Då hinner vågen"))).to_be_visible()
    expect(frame.get_by_role("heading", name=re.compile("får en annan hantering"))).to_contain_text(
        re.compile(rf"^{found['moved']}\s+poster av .* får en annan hantering")
    )
    expect(frame.get_by_label("Enhet eller våg")).to_have_value("våg:1")
    page.context.close()
    assert (dashboard.site.ask("SELECT * FROM batch"), dashboard.site.ask("SELECT * FROM batch_event")) == before


def test_a_run_is_found_in_the_list_and_compared_with_the_one_before(dashboard: Dashboard) -> None:
    page = dashboard.open("korningar", "viewer")
    page.locator(f'a[href="korningar/{BATCH}"]').click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Torrkörning per 1 oktober 2024")
    expect(page.get_by_text("varje läst post hanteras på precis ett sätt")).to_be_visible()
    # It is compared with the dry run before.
    expect(page.get_by_label("Tidigare körning")).to_have_value(BEFORE)
    page.get_by_role("button", name="Jämför").click()
    expect(page.get_by_text("har samma hantering i båda")).to_be_visible()
    page.context.close()


def test_the_figures_of_the_overview_are_those_of_the_tables(dashboard: Dashboard) -> None:
    said = dashboard.get("api/oversikt", "viewer").json()
    batch_id = said["latest"]["batch_id"]
    rows = dashboard.site.ask("SELECT disposition, count(*) FROM disposition WHERE batch_id = ? GROUP BY 1", batch_id)
    assert said["counts"] == dict(rows)
    assert [point["as_of"] for point in said["trend"]] == [night.isoformat() for night in NIGHTS]
    assert said["gates"]


def test_the_waves_take_three_screens_and_the_others_lead_to_their_pages(dashboard: Dashboard) -> None:
    page = dashboard.open("", "viewer")
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * SIZES["wide"]["height"]
    page.get_by_role("link", name="Våg 2", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Våg 2")
    expect(page.get_by_role("heading", name=re.compile("Vågen hinner|Det går inte att säga"))).to_be_visible()
    page.context.close()


def test_a_figure_leads_to_the_units_and_the_posts_that_it_counts(dashboard: Dashboard) -> None:
    page = dashboard.open("vag?namn=1", "viewer")
    page.locator(".legend").get_by_role("link", name="Migreras", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Migreras, enhet för enhet")
    row = page.locator("tbody tr").first
    posts = row.locator("td").nth(1).inner_text()
    row.get_by_role("link").click()
    expect(page.locator("table.posts caption")).to_contain_text(f"av {posts}")

    page.goto(f"{dashboard.url}korningar/{BATCH}")
    check = page.locator('a[href*="poster?regel=CATEGORY_NOT_MOVED"]').first
    deviating = check.inner_text()
    page.goto(dashboard.url + str(check.get_attribute("href")).removeprefix("../"))
    expect(page.locator("tfoot td").nth(1)).to_have_text(deviating)
    page.context.close()


def test_a_reader_finds_a_unit_and_a_post_and_the_address_does_not_say_what(dashboard: Dashboard) -> None:
    page = dashboard.open("", "viewer")
    name = dashboard.get("api/enhet/" + UNIT, "viewer").json()["unit"]["name"]
    post = dashboard.get("api/enhet/" + UNIT, "viewer").json()["posts"][0]["post_id"]
    box = page.get_by_label("Sök enhet, post-id, regel eller lista")
    box.fill(name.lower())
    box.press("Enter")
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    assert page.url == dashboard.url + "sok"
    assert chromium.violations(page) == []
    page.get_by_label("Sök efter").fill(str(post))
    page.get_by_role("button", name="Sök", exact=True).click()
    page.get_by_role("link", name=f"Post {post}").click()
    expect(page.locator("table.posts tbody tr")).to_have_count(1)
    page.context.close()


def test_the_pages_follow_the_theme_of_airflow_and_not_of_the_system(dashboard: Dashboard) -> None:
    context = dashboard.browser.new_context(viewport=SIZES["wide"], color_scheme="null")
    url = dashboard.site.airflow.url
    context.add_cookies([{"name": "_token", "value": dashboard.site.airflow.token("viewer"), "url": url}])
    page = context.new_page()
    grounds = {}
    for theme in ("light", "dark"):
        page.goto(url)
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        page.goto(f"{url}/plugin/migrering")
        heading = page.frame_locator("iframe").get_by_role("heading", name="Översikt", level=1)
        expect(heading).to_be_visible(timeout=30_000)
        grounds[theme] = heading.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
    context.close()
    assert grounds == {"light": "rgb(245, 246, 248)", "dark": "rgb(15, 19, 23)"}


def test_a_page_leads_out_of_airflows_frame_and_back_to_itself(dashboard: Dashboard) -> None:
    page = dashboard.open("../plugin/migrering/migrering/vag?namn=1", "viewer")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_contain_text("Våg 1", timeout=30_000)
    frame.get_by_role("link", name="Öppna utan ram").click()
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="Sidan som du var på").click(modifiers=["Control"])
    alone = opened.value
    expect(alone.get_by_role("heading", level=1)).to_contain_text("Våg 1")
    assert alone.url == dashboard.url + "vag?namn=1"
    alone.get_by_role("link", name="Till Airflow").click()
    framed = alone.frame_locator("iframe").get_by_role("heading", level=1)
    expect(framed).to_contain_text("Våg 1", timeout=30_000)
    page.context.close()


def test_a_chart_tells_its_figures_to_the_mouse_and_to_the_keyboard(dashboard: Dashboard) -> None:
    page = dashboard.open("", "viewer")
    chart = page.locator("svg.trend:not(.spark)").first
    said = chart.locator(".said")
    last = dashboard.get("api/oversikt", "viewer").json()["trend"][-1]
    expect(said.last).to_be_hidden()
    chart.locator(".hit").last.hover()
    expect(said.last).to_be_visible()
    assert re.sub(r"\s", "", said.last.text_content() or "") == f"{last['as_of']}:{last['left']}"
    page.mouse.move(0, 0)
    page.keyboard.press("Tab")
    chart.focus()
    expect(chart.locator(".count").last).to_be_visible()
    page.context.close()


# Accessibility


OF_COLOURS = ("color-contrast", "link-in-text-block", "scrollable-region-focusable")
LOOKS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("wide", "light", ()),
    # The themes differ by their colours alone.
    ("wide", "dark", OF_COLOURS),
    # Here some parts of a page are hidden, and others are shown.
    ("narrow", "light", ()),
    # What is wrong with a page of this width is wrong with a narrower one too.
    ("zoomed", "light", ("scrollable-region-focusable",)),
)
"""Each size and theme, and the rules that axe judges there: all where none is named."""


@pytest.fixture(scope="module")
def one_page(dashboard: Dashboard) -> Iterator[Page]:
    page = dashboard.open("", "lead")
    yield page
    page.context.close()


@pytest.mark.parametrize("name", [*PAGES, "personer"])
def test_every_page_is_accessible_and_fits(dashboard: Dashboard, one_page: Page, name: str) -> None:
    _open(dashboard, one_page, name)
    assert one_page.locator("html").get_attribute("lang") == "sv"
    assert _faults(one_page, *LOOKS) == {}


@pytest.mark.attack
@pytest.mark.parametrize("name", [*PAGES, "personer"])
def test_every_page_is_accessible_and_fits_a_narrow_window_in_the_dark(
    dashboard: Dashboard, one_page: Page, name: str
) -> None:
    _open(dashboard, one_page, name)
    assert _faults(one_page, ("narrow", "dark", OF_COLOURS)) == {}


def _open(dashboard: Dashboard, page: Page, name: str) -> None:
    """Open one of ``PAGES``, or the page with persons, with all that it can unfold."""
    if name in PAGES:
        page.goto(dashboard.url + PAGES[name])
    else:
        dashboard.show_persons(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")


def _faults(page: Page, *looks: tuple[str, str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Look at a page at several sizes and in both themes; it is loaded once, since only its style changes."""
    faults: dict[str, list[str]] = {}
    for size, theme, rules in looks:
        page.set_viewport_size(SIZES[size])
        page.emulate_media(color_scheme=theme)
        wrong = chromium.violations(page, *rules)
        if (over := chromium.sideways(page)) > 0:
            wrong.append(f"{over} px too wide")
        if wrong:
            faults[f"{size} {theme}"] = wrong
    return faults


@pytest.mark.parametrize("name", ["oversikt", "vag", "enhet", "korning", "vad-hander-om-svar"])
def test_what_a_chart_shows_can_be_read_beside_it(dashboard: Dashboard, name: str) -> None:
    page = dashboard.open(PAGES[name], "lead")
    charts = page.locator("svg[role=img]")
    assert charts.count() > 0
    beside = "each => !!each.getAttribute('aria-label') && !!each.closest('section').querySelector('table, .legend')"
    assert charts.evaluate_all(f"found => found.every({beside})")
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["oversikt", "vag", "enhet", "stickprov", "vad-hander-om"])
def test_what_the_keyboard_has_reached_can_be_seen(dashboard: Dashboard, name: str, theme: str) -> None:
    page = dashboard.open(PAGES[name], "lead", theme=theme)
    outlines: list[str] = []
    for _ in range(25):
        page.keyboard.press("Tab")
        outlines += page.locator(":focus").evaluate_all("found => found.map(each => getComputedStyle(each).outline)")
    page.context.close()
    assert len(outlines) > 10
    assert [outline for outline in outlines if "solid 3px" not in outline] == []


def test_the_keyboard_goes_straight_to_the_content(dashboard: Dashboard) -> None:
    page = dashboard.open("", "viewer")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Till innehållet")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.context.close()


# Personal data


def test_no_person_is_in_a_page_without_the_right_or_in_the_servers_log(dashboard: Dashboard) -> None:
    persons = dashboard.persons()
    assert len(persons) > POSTS / 4
    paths = [path for name, path in PAGES.items() if name != "atkomstlogg"]
    paths += ["api/oversikt", "api/enheter", f"api/enhet/{UNIT}", f"enhet/{UNIT}?sida=2", "enhet/okand-enhet"]
    told = "".join(dashboard.get(path, "viewer").text for path in paths)
    assert [person for person in persons if person in told] == []
    log = (dashboard.site.airflow.home.folder / "api-server.log").read_text(encoding="utf-8")
    assert f"/migrering/enhet/{UNIT}/personer" in log
    assert [person for person in persons if person in log] == []
