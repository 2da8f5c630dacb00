"""Take the pictures of the dashboard that the documents show.

    python scripts/pictures.py URL PASSWORDS FOLDER

URL is a running demo (``make up``). The pictures are taken as ``lead``, a user without the right to see persons, so
no picture shows a name or a number of a patient. Ends with 1 when a picture is too large for a document.
"""

import json
import sys
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import Page, ViewportSize
from tests.support.chromium import chromium

USER: Final = "lead"
SIZE: Final = ViewportSize(width=1280, height=860)
LARGEST: Final = 200_000
"""Bytes of one picture."""


def main(url: str, passwords: Path, folder: Path) -> int:
    """Take every picture; 0 when each has a size that a document can carry."""
    login = {"username": USER, "password": json.loads(passwords.read_text(encoding="utf-8"))[USER]}
    with httpx.Client(base_url=url, timeout=60) as client:
        token = client.post("/auth/token", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        overview = client.get("/migrering/api/oversikt").raise_for_status().json()
    batch = overview["latest"]["batch_id"]
    unit = max(
        (unit for wave in overview["waves"] for unit in wave["units"] if unit["key"] and unit["status"] != "live"),
        key=lambda unit: unit["posts"],
    )
    addresses = {
        "overview": "",
        "unit": f"enhet/{unit['key']}",
        "run": f"korningar/{batch}",
    }
    too_large = []
    with chromium() as browser:
        context = browser.new_context(viewport=SIZE, color_scheme="light", locale="sv-SE")
        context.add_cookies([{"name": "_token", "value": token, "url": url}])
        page = context.new_page()
        for name, address in addresses.items():
            file = folder / f"dashboard-{name}.png"
            take(page, f"{url}/migrering/{address}", file)
            size = file.stat().st_size
            sys.stdout.write(f"     {file}  {size:,} bytes\n")
            if size > LARGEST:
                too_large.append(file.name)
        context.close()
    if too_large:
        sys.stderr.write(f"larger than {LARGEST:,} bytes: {', '.join(too_large)}\n")
    return bool(too_large)


def take(page: Page, address: str, file: Path) -> None:
    """Write what a window shows of a page."""
    answer = page.goto(address)
    if answer is None or not answer.ok:
        raise SystemExit(f"{address} was answered with {answer.status if answer else 'nothing'}")
    page.screenshot(path=file, animations="disabled")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
