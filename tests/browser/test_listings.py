"""The pages of lists in a real browser: a page at a time, filters in the URL, and what is said of nothing."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.domain.audit import AuditRow
from monitor.drift.summary import SignalSummary
from monitor.notify.notice import ReceiverStatus
from monitor.runs.model import ModelDetail, ModelRole
from tests.browser.listed import HOSTILE, PATHS, fill_listings, model
from tests.hostile import unseen
from tests.unit.in_memory_letters import LetterTopic
from tests.unit.in_memory_ports import InMemoryMonitor
from tests.unit.in_memory_records import NOON, InMemoryRecords

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("SCREENSHOTS")  # a folder that pictures of the pages are put into, for people


@pytest.fixture
def monitor() -> InMemoryMonitor:
    monitor = InMemoryMonitor()
    fill_listings(monitor)
    return monitor


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
    for number in (1, 2):  # followed on the page itself
        fold = page.locator(f"#job-{number} details")
        expect(fold).not_to_have_attribute("open", "")
        page.evaluate(f"location.hash = 'job-{number}'")
        expect(fold).to_have_attribute("open", "")
    expect(page.locator("#job-1 .checks")).to_contain_text("0.14 against 0.05")


@pytest.mark.parametrize("path", ["/jobs#job-1", "/baselines#baseline-1"])
def test_a_link_to_a_card_opens_it(page: Page, address: str, path: str) -> None:
    page.goto(f"{address}{path}")
    expect(page.locator(f"#{path.partition('#')[2]} details")).to_have_attribute("open", "")


def test_a_model_s_lineage_leads_to_the_champion_it_was_judged_against(page: Page, address: str) -> None:
    page.goto(f"{address}/models")
    expect(page.locator("#rows > li")).to_have_count(2)
    page.locator("#model-reward-2 summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#model-reward-2 .facts")).to_contain_text("Judged againstreward-1")
    expect(page.locator("#model-reward-2 .read")).to_contain_text("# Card")
    page.locator("#model-reward-2 .facts a").click()
    page.wait_for_url("**/models#model-reward-1")
    expect(page.locator("#model-reward-1 details")).to_have_attribute("open", "")


def test_models_and_baselines_come_a_page_at_a_time_and_the_url_holds_what_is_looked_for(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    tried = [replace(model(f"org/try {number:03d}"), role=ModelRole.POLICY) for number in range(120)]
    monitor.registered += tried
    monitor.details["org/try 005"] = ModelDetail(tried[5], "/models/5", None, None)
    page.goto(f"{address}/models")
    expect(page.locator("#rows > li")).to_have_count(100)
    page.get_by_role("link", name="The next page").click()
    expect(page.locator("#rows > li")).to_have_count(22)
    page.get_by_label("Role").select_option("reward")
    page.get_by_label("State").select_option("champion")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/models?role=reward&state=champion")
    expect(page.locator("#rows > li")).to_have_id("model-reward-2")
    expect(page.locator("#rows > li")).to_contain_text("championreward-2reward model")
    page.goto(f"{address}/models#model-{quote('org/try 005')}")  # further down than the first page
    expect(page.locator("#rows > li").first).to_have_id("model-org/try 005")
    expect(page.locator("#rows > li").first).to_contain_text("No lineage: the settings named it.")
    expect(page.locator("#rows > li")).to_have_count(101)
    records = monitor.stored_records
    records.frozen = [replace(records.frozen[0], baseline_id=number) for number in range(1, 131)]
    records.followed = {7: (("refusal", "chat-2", "dataset=wild"),), 9: (("refusal", "chat-3", "dataset=wild"),)}
    page.goto(f"{address}/baselines")
    page.get_by_role("link", name="The next page").click()
    expect(page.locator("#baseline-1")).to_be_visible()
    page.get_by_label("Signal").fill("refusal")
    page.get_by_label("Cohort").fill("dataset=wild")
    page.keyboard.press("Enter")
    page.wait_for_url("**/baselines?signal=refusal&cohort=dataset%3Dwild")
    expect(page.locator("#rows > li strong")).to_have_text(["Baseline 9", "Baseline 7"])
    page.goto(f"{address}/baselines?policy_model=none")
    expect(page.locator("#empty")).to_have_text("Nothing is like that. Fewer filters show more.")


def test_a_baseline_tells_which_laws_are_of_another_window_than_its_own(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    numbers = (600, 128.0, 3.0, "mean", 0.0, 12.8, 12.8, 0.0, 0.0, (), "e_detector")
    monitor.stored_records.expected = (
        SignalSummary("response_length", "tokens", "tokens", *numbers),
        SignalSummary("user_score", HOSTILE, "value", *numbers, made_from="first values", since=900),
    )
    page.goto(f"{address}/baselines")
    page.get_by_text("What it expects").click()
    made_from = page.locator("td[data-label='Made from']")
    expect(made_from).to_have_text(["the window", "its own first values, up to place 900"])


def test_filters_and_the_page_stand_in_the_url_and_unknown_ones_are_refused(page: Page, address: str) -> None:
    page.goto(f"{address}/traces")
    expect(page.locator("#rows tr")).to_have_count(100)
    page.get_by_role("link", name="The next page").click()
    expect(page.locator("#rows tr")).to_have_count(51)
    expect(page.locator("#next")).to_be_hidden()
    page.get_by_label("Cohort").fill("c1")
    page.get_by_label("From, UTC").fill("2026-11-21T11:00")
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces?cohort=c1&since=2026-11-21T11%3A00Z")
    expect(page.locator("#rows tr").first).to_contain_text("t-149")
    expect(page.get_by_label("From, UTC")).to_have_value("2026-11-21T11:00")
    page.goto(f"{address}/traces?trace_id=t-9999")
    expect(page.locator("#empty")).to_contain_text("the next page looks further back")
    page.goto(f"{address}/traces?kohort=c1")
    expect(page.locator("#lost")).to_contain_text("query.kohort: no such parameter; did you mean 'cohort'?")
    page.goto(f"{address}/jobs?state=running")
    expect(page.locator("#rows > li")).to_have_count(1)
    page.get_by_label("State").select_option("failed_gate")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#rows > li")).to_have_id("job-1")


def test_what_was_said_is_read_on_request_and_the_audit_keeps_who_read_it(page: Page, address: str) -> None:
    page.goto(f"{address}/traces?trace_id=t-149")
    page.locator("#rows .unfold").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#rows .facts")).to_contain_text("refusal0 (1)")
    page.get_by_role("button", name="Read what was said in t-149").click()
    expect(page.locator("#rows .read").first).to_have_text("Where is my order?")
    page.goto(f"{address}/audit")
    expect(page.locator("#rows tr").first).to_contain_text("local operatortrace.readtrace t-149")
    expect(page.get_by_role("link", name="trace t-149")).to_have_attribute("href", "/traces?trace_id=t-149")


def test_a_link_to_a_long_and_hostile_name_is_whole(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.stored_records.audited = [AuditRow(1, NOON, "ada", "operator", "trace.read", f"trace {HOSTILE}", {})]
    page.goto(f"{address}/audit")
    link = page.locator("#rows a")
    expect(link).to_contain_text("more characters")
    assert unquote((link.get_attribute("href") or "").removeprefix("/traces?trace_id=")) == HOSTILE


def test_a_receiver_that_fails_is_told_of_on_the_overview_and_what_waits_for_it_on_its_page(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(address)
    expect(page.locator("#untold")).to_contain_text("oncall cannot be told since 2026-11-21 12:00:00Z: ")
    page.locator("#untold").get_by_role("link", name="What waits").click()
    page.wait_for_url("**/notifications")
    cards = page.locator("#rows > li")
    expect(cards.first).to_contain_text(
        re.compile("fails.*oncall.*slack, hears of alerts.*Fails since 2026-11-21 12:00")
    )
    expect(cards.first.get_by_role("link", name="incident 6")).to_have_attribute("href", "/incidents/6")
    waiting = cards.first.locator(".waits li")
    expect(waiting).to_contain_text(re.compile("opened; tried 3 times since 2026-11-21 12:00:00Z.*; again 2026-11-21"))
    expect(waiting.get_by_role("link")).to_have_attribute("href", "/incidents/7")
    expect(cards.last).to_contain_text("team")
    expect(cards.last).to_contain_text("It took no message yet.")
    monitor.receivers = [ReceiverStatus("oncall", "slack", "alert", 0, 0.0, NOON, None, 7)]
    expect(cards).to_have_count(1, timeout=60_000)
    expect(cards.first).to_have_attribute("data-state", "good")
    page.goto(address)
    expect(page.locator("#alarms-empty")).to_be_visible()
    expect(page.locator("#untold")).to_be_hidden()


@pytest.mark.parametrize("path", PATHS)
def test_hostile_text_is_text_and_nothing_is_wider_than_a_phone(browser: Browser, address: str, path: str) -> None:
    for width, scheme in ((390, "dark"), (1280, "light")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(address + path)
        expect(page.locator("#rows > *").first).to_be_visible()
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
    monitor.receivers.clear()
    vars(monitor.letters).update(vars(LetterTopic().port()))
    vars(monitor.stored_records).update(vars(InMemoryRecords()))
    monitor.registered = []
    page.goto(address + path)
    expect(page.locator(".empty").first).to_contain_text(re.compile("appears? here"))
    expect(page.locator("#lost")).to_be_hidden()
    away = {"detail": "PostgreSQL is away, or refuses its work"}
    page.route(re.compile("/api/v1/(?!whoami)"), lambda route: route.fulfill(status=503, json=away))
    page.reload()
    expect(page.locator("#lost")).to_contain_text("PostgreSQL is away")


class TestWithTokens:
    @pytest.fixture
    def tokens(self) -> dict[str, str]:
        return {"view-me": "viewer"}

    def test_a_viewer_finds_traces_and_is_shown_neither_what_was_said_nor_the_audit(
        self, page: Page, address: str
    ) -> None:
        page.goto(f"{address}/traces?trace_id=t-149")
        page.get_by_role("textbox", name="Token").fill("view-me")
        page.keyboard.press("Enter")
        page.locator("#rows .unfold").first.click()
        expect(page.locator("#rows .facts")).to_contain_text("refusal")
        expect(page.get_by_role("button", name="Read what was said")).to_have_count(0)
        expect(page.get_by_role("link", name="Audit")).to_be_hidden()
        page.goto(f"{address}/audit")
        expect(page.locator("#lost")).to_contain_text("this wants the role 'operator'")
