"""A dry run and a wave on the running stack, over its API, as users of the FAB auth manager; what must hold is checked.

python docker/stack/walk.py <url> <file of the admin's password> <as-of date> <wave>
"""

import secrets
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from playwright.sync_api import sync_playwright

DRY_RUN, MIGRATION = "waitlist_dry_run", "waitlist_migration"
PATIENCE_SECONDS = 900
ADMIN, LEAD = "admin", "lead"
T = TypeVar("T")
REASON = "Avstämt med enheterna i vågen."


class Stack:
    """The stack, and its users that have logged in."""

    def __init__(self, url: str, admin_password: str) -> None:
        self.url = url
        self.passwords = {ADMIN: admin_password}
        self.tokens: dict[str, str] = {}

    def ask(self, user: str, method: str, path: str, **given: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes them
        """Send a request as a user."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=120, **given)

    def get(self, user: str, path: str) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON of an address that must answer."""
        answer = self.ask(user, "GET", path)
        require(answer.status_code == 200, f"GET {path} as {user} gave {answer.status_code}")
        return answer.json()

    def log_in(self, user: str) -> None:
        """Get a token for a user."""
        given = {"username": user, "password": self.passwords[user]}

        def token() -> str | None:
            try:
                answer = httpx.post(f"{self.url}/auth/token", json=given, timeout=60)
            except httpx.TransportError:
                return None
            return str(answer.json()["access_token"]) if answer.status_code in {200, 201} else None

        self.tokens[user] = until(f"{user} is logged in", token)

    def add_user(self, name: str, role: str) -> None:
        """Add a user of FAB's with a password of this walk's."""
        self.passwords[name] = secrets.token_urlsafe(16)
        user = {
            "username": name, "password": self.passwords[name], "roles": [{"name": role}],
            "first_name": name, "last_name": "Stack", "email": f"{name}@example.invalid",
        }  # fmt: skip
        answer = self.ask(ADMIN, "POST", "/auth/fab/v1/users", json=user)
        require(answer.status_code in {200, 201}, f"user {name} was not added: {answer.status_code}")
        self.log_in(name)

    def begin(self, user: str, dag: str, conf: dict[str, Any]) -> str:
        """Start a run; return its id."""
        known = until(
            f"{dag} is known", lambda: self.ask(user, "GET", f"/api/v2/dags/{dag}").status_code == 200 or None
        )
        require(known, dag)
        self.ask(user, "PATCH", f"/api/v2/dags/{dag}", json={"is_paused": False})
        answer = self.ask(user, "POST", f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})
        require(answer.status_code == 200, f"{dag} was not started: {answer.status_code}")
        return str(answer.json()["dag_run_id"])

    def ended(self, dag: str, run: str) -> None:
        """Wait until a run has succeeded."""

        def state() -> str | None:
            found = self.get(LEAD, f"/api/v2/dags/{dag}/dagRuns/{run}")["state"]
            return found if found in {"success", "failed"} else None

        require(until(f"{dag} has ended", state) == "success", f"{dag} failed: {self.failed(dag, run)}")

    def failed(self, dag: str, run: str) -> list[str]:
        """Return the failed steps of a run."""
        tasks = self.get(LEAD, f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return [task["task_id"] for task in tasks if task["state"] == "failed"]

    def answer(self, user: str, run: str, option: str) -> int:
        """Answer the question about a wave; return the status."""
        path = f"/api/v2/dags/{MIGRATION}/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": {"motivering": REASON}}
        return self.ask(user, "PATCH", path, json=body).status_code


def look(stack: Stack, user: str) -> None:
    """Log in with a browser, by the login page, and open the dashboard."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{stack.url}/auth/login/")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", stack.passwords[user])
        page.click("input[type=submit], button[type=submit]")
        page.wait_for_url(lambda url: "/auth/login" not in url)
        page.goto(f"{stack.url}/migrering/")
        heading = page.inner_text("h1")
        require(page.locator("a[href*='vag?namn=']").count() > 0, f"the browser shows «{heading}», and no wave")
        browser.close()
    sys.stdout.write("  the dashboard is shown in a browser\n")


def require(fulfilled: object, otherwise: str) -> None:
    """End the walk where something is not as it must be."""
    if not fulfilled:
        raise SystemExit(f"the stack fails: {otherwise}")


def until(what: str, look: Callable[[], T | None]) -> T:
    """Wait for something; say so."""
    begun = time.monotonic()
    sys.stdout.write(f"  {what} ... ")
    sys.stdout.flush()
    while (found := look()) is None:
        require(time.monotonic() - begun < PATIENCE_SECONDS, f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(2)
    sys.stdout.write(f"{time.monotonic() - begun:.0f} s\n")
    return found


def walk(url: str, password_file: str, as_of: str, wave: str) -> Stack:
    """Walk; return the stack, on which the wave is released."""
    stack = Stack(url, Path(password_file).read_text(encoding="utf-8"))
    stack.log_in(ADMIN)
    stack.add_user(LEAD, "Op")

    run = stack.begin(LEAD, DRY_RUN, {"as_of": as_of})
    stack.ended(DRY_RUN, run)
    overview = stack.get(LEAD, "/migrering/api/oversikt")
    require(overview["posts"] > 0, "the overview has no posts")
    refused = stack.ask(ADMIN, "GET", "/migrering/api/oversikt").status_code
    require(refused == 403, f"a user that no setting names saw the overview: {refused}")

    run = stack.begin(LEAD, MIGRATION, {"wave": wave, "as_of": as_of})
    path = f"/api/v2/dags/{MIGRATION}/dagRuns/{run}/taskInstances"

    def waits() -> bool | None:
        tasks = {task["task_id"]: task["state"] for task in stack.get(LEAD, path)["task_instances"]}
        require("failed" not in tasks.values(), f"{MIGRATION} failed: {stack.failed(MIGRATION, run)}")
        return True if tasks.get("approve") == "awaiting_input" else None

    until("the wave waits for its answer", waits)
    require(stack.answer(ADMIN, run, "Godkänn") != 200, "an administrator that is no approver released the wave")
    until("the approver has answered", lambda: stack.answer(LEAD, run, "Godkänn") == 200 or None)
    stack.ended(MIGRATION, run)
    (batch,) = [found for found in stack.get(LEAD, "/migrering/api/korningar")["batches"] if found["wave"] == wave]
    account = stack.get(LEAD, f"/migrering/api/korningar/{batch['batch_id']}")["accounting"]
    require(account["released"] == account["migrate"] > 0, f"released {account['released']} of {account['migrate']}")
    sys.stdout.write(f"  {account['released']} posts of wave {wave} are released\n")
    look(stack, LEAD)
    return stack


if __name__ == "__main__":
    walk(*sys.argv[1:])
