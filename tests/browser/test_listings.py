"""The pages of lists in a real browser: a page at a time, filters in the URL, and what is said of nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from prometheus_client import CollectorRegistry

from monitor.domain.job import Check, JobState, RunProgress, Verdict
from monitor.runs.lineage import Lineage
from monitor.runs.model import ModelDetail, Models, RegisteredModel
from monitor.telemetry.health import Health
from monitor.web.app import create_app
from monitor.web.server import WebServer
from tests.hostile import LABELS, unseen
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, a_job

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("SCREENSHOTS")  # a folder that pictures of the pages are put into, for people
PATHS = ("/jobs", "/models")
VERDICT = Verdict(False, (Check("calibration", False, 0.14, 0.05, 0.05, "0.14 against 0.05"),), "ab" * 32)
HOSTILE = "".join(LABELS.values())


def model(version: str, job_id: int | None = None) -> RegisteredModel:
    return RegisteredModel(version, "ab" * 32, NOW, job_id, None)


@pytest.fixture
def monitor() -> InMemoryMonitor:
    progress = RunProgress("train", 120, 400, 0.41, 2.0, 140.0)
    first, second = model("reward-1"), model("reward-2", 2)
    lineage = Lineage(action="reward_refresh", base_sha256="cd" * 32, champion="reward-1", scorer=None)
    monitor = InMemoryMonitor(registry=Models(second, first, (), NOW, "ada"))
    monitor.details = {"reward-2": ModelDetail(second, "/models/2", lineage, f"# Card\n{HOSTILE}")}
    monitor.kept = {
        1: a_job(1, JobState.FAILED_GATE, verdict=VERDICT),
        2: a_job(2, JobState.RUNNING, progress="step 120", progress_detail=progress, reason=HOSTILE),
    }
    return monitor


@pytest.fixture
def address(monitor: InMemoryMonitor) -> Iterator[str]:
    health = Health(["web"])
    app = create_app(monitor.ports(), health=health, registry=CollectorRegistry(), tokens={})
    server = WebServer(app, host="127.0.0.1", port=0, health=health)
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


def test_the_bar_leads_to_the_jobs_with_live_progress_and_the_gate_s_report(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(address)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    page.wait_for_url("**/jobs")
    expect(page.locator("nav [aria-current=page]")).to_have_text("Jobs")
    card = page.locator("#job-2")
    expect(card).to_contain_text("step 120 of 400 (30 %)")
    kept = monitor.kept[2]
    assert kept.progress_detail is not None
    monitor.kept[2] = replace(kept, progress_detail=replace(kept.progress_detail, done=200))
    expect(card).to_contain_text("step 200 of 400 (50 %)")
    expect(page.locator("#job-1").get_by_role("link", name="Report of the verdict")).to_have_attribute(
        "href", "/api/v1/jobs/1/report"
    )
    page.goto(f"{address}/jobs#job-1")
    expect(page.locator("#job-1 .checks")).to_contain_text("0.14 against 0.05")


def test_a_model_s_lineage_leads_to_the_champion_it_was_judged_against(page: Page, address: str) -> None:
    page.goto(f"{address}/models")
    expect(page.locator("#reward-list > li")).to_have_count(2)
    page.locator("#reward-list #model-reward-2 summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#reward-list #model-reward-2 .facts")).to_contain_text("Judged againstreward-1")
    expect(page.locator("#reward-list #model-reward-2 .read")).to_contain_text("# Card")
    page.locator("#reward-list #model-reward-2 .facts a").click()
    page.wait_for_url("**/models?version=reward-1#model-reward-1")
    expect(page.locator("#reward-list #model-reward-1 details")).to_have_attribute("open", "")


@pytest.mark.parametrize("path", PATHS)
def test_hostile_text_is_text_and_nothing_is_wider_than_a_phone(browser: Browser, address: str, path: str) -> None:
    for width, scheme in ((390, "dark"), (1280, "light")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address + path)
        expect(page.locator("main li, main tr").first).to_be_visible()
        assert [text for text in page.locator("body, body *").all_text_contents() if unseen(text)] == []
        assert page.evaluate("window.owned") is None
        assert page.locator("main img, main [onload], main [onerror]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if SHOTS is not None:
            page.screenshot(path=Path(SHOTS) / f"listing{path.replace('/', '-')}-{width}.png", full_page=True)
        context.close()


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_list_says_so_and_a_database_that_is_away_is_told(
    page: Page, address: str, monitor: InMemoryMonitor, path: str
) -> None:
    monitor.kept.clear()
    monitor.registry = Models(None, None, (), None, None)
    page.goto(address + path)
    expect(page.locator(".empty").first).to_contain_text("appears here")
    expect(page.locator("#lost")).to_be_hidden()
    monitor.away = True
    page.reload()
    expect(page.locator("#lost")).to_contain_text("PostgreSQL is away")
