"""The pictures of the walk in README: from the console's page to the cause to the refresh.

    rlhf-monitor demo --port 8080            # in one terminal
    python docs/build_walk.py http://127.0.0.1:8080

It waits for the demo's alarm and, at last, for what answered it. The pictures go to docs/images.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_SECONDS = 600.0


def awaited(url: str, path: str, wanted: Callable[[Any], Any]) -> Any:
    """Return what *wanted* finds in the answer, once it finds something."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            found = wanted(httpx.get(url + path, timeout=30).raise_for_status().json())
        except httpx.HTTPError:
            found = None
        if found:
            return found
        time.sleep(1)
    raise SystemExit(f"{url}{path} showed nothing of what was waited for in {PATIENCE_SECONDS:.0f} s")


def alert_of(alarms: list[dict[str, Any]]) -> int | None:
    return next((row["alarm_id"] for row in alarms if row["alarm"]["severity"] == "alert"), None)


def answer_of(jobs: list[dict[str, Any]]) -> int | None:
    return next((row["job"]["job_id"] for row in jobs if row["job"]["state"] == "promoted"), None)


def walk(page: Page, url: str) -> None:
    alarm = awaited(url, "/api/v1/alarms?state=open", alert_of)
    page.goto(url)
    page.locator("#alarms-list > li").first.wait_for()
    page.screenshot(path=IMAGES / "walk-1-overview.png")
    page.goto(f"{url}/alarms/{alarm}")
    page.locator("#plots svg").first.wait_for()
    page.screenshot(path=IMAGES / "walk-2-alarm.png")
    page.locator("#causes-list li").first.wait_for()
    page.locator("#cohorts").scroll_into_view_if_needed()
    page.screenshot(path=IMAGES / "walk-3-cause.png")
    page.get_by_role("button", name="Start a job").click()
    page.locator("#start-action option").first.wait_for(state="attached")
    page.screenshot(path=IMAGES / "walk-4-start.png")
    awaited(url, "/api/v1/jobs", answer_of)
    page.goto(f"{url}/jobs")
    page.locator(".badge", has_text="promoted").first.wait_for()
    page.screenshot(path=IMAGES / "walk-5-jobs.png")


def main(url: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        walk(page, url.rstrip("/"))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
