"""What an operator starts from an alarm's page: a job with its plan shown first, a baseline with a preview."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import Page, expect

from monitor.domain.job import Action, Hold, JobState, PlannedStart
from monitor.drift.preview import LawChange
from monitor.drift.summary import SignalSummary
from tests.browser.held import Held
from tests.unit.in_memory_ports import InMemoryMonitor, stored_alarm
from tests.unit.in_memory_records import InMemoryRecords

SHOTS = os.environ.get("SCREENSHOTS")
BEFORE = SignalSummary(
    "response_length", "", "tokens", 600, 128.0, 3.0, "mean", 0.0, 12.8, 12.8, 0.0, 0.0, (), "mixture"
)
AFTER = SignalSummary(
    "response_length", "", "tokens", 300, 195.0, 5.0, "mean", 0.0, 19.5, 19.5, 0.0, 0.0, (), "mixture"
)


@pytest.fixture
def monitor() -> InMemoryMonitor:
    monitor = InMemoryMonitor(stored={7: stored_alarm(7)}, stored_records=InMemoryRecords())
    monitor.planned = (PlannedStart("alarms", Action.REWARD_REFRESH, "too_few_pairs", "40 of 200 pairs"),)
    monitor.lacking = {Action.KTO: Hold("too_few_pairs", "3 thumbs of 100")}
    monitor.stored_records.laws = (
        LawChange("response_length", "", BEFORE, AFTER),
        LawChange("win_rate", "", BEFORE, None, comes_later=True),
    )
    return monitor


def shot(page: Page, name: str) -> None:
    if SHOTS is not None:
        page.screenshot(path=f"{SHOTS}/{name}.png")


def test_a_job_is_started_for_the_alarm_once_its_plan_was_shown(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(f"{address}/alarms/7")
    page.get_by_role("button", name="Start a job").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#plan-list")).to_contain_text("too few pairs")
    expect(dialog.locator("#plan-list")).to_contain_text("40 of 200 pairs")
    expect(dialog.locator("#start-lacks")).to_contain_text("3 thumbs of 100")
    expect(dialog.get_by_label("Reason")).to_have_value("alarm 7: response length rose, all cohorts")
    shot(page, "alarm-start")
    dialog.get_by_label("Action").select_option("dpo")
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#jobs-list")).to_contain_text("#1 dpo")
    [job] = monitor.kept.values()
    assert (job.action, job.alarm_id, job.state) == (Action.DPO, 7, JobState.QUEUED)
    offers = Held(page, "**/api/v1/jobs/actions")
    page.get_by_role("button", name="Start a job").click()
    offers.wait()
    expect(dialog.get_by_label("Action")).to_be_empty()  # what is chosen now would be overruled by what comes
    offers.give()
    dialog.get_by_label("Action").select_option("dpo")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.locator("#start-error")).to_contain_text("Not started: job 1 (dpo) is queued")


def test_a_baseline_is_frozen_once_what_would_change_was_shown(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(f"{address}/alarms/7")
    page.get_by_role("button", name="Freeze a new baseline").click()
    dialog = page.get_by_role("dialog")
    freeze = dialog.get_by_role("button", name="Freeze", exact=True)
    expect(freeze).to_be_disabled()
    dialog.get_by_label("From the last so many traces").fill("5000")
    dialog.get_by_role("button", name="Show what would change").click()
    expect(dialog.locator("#freeze-error")).to_contain_text("5000")
    dialog.get_by_label("From the last so many traces").fill("300")
    dialog.get_by_role("button", name="Show what would change").click()
    expect(dialog.locator("#preview-told")).to_have_text(
        "Traces 700 to 999. 2 live alarms would be superseded; watched from then on: lang=fr."
    )
    expect(dialog.locator("#preview-rows tr").first).to_have_text("response length128 tokens195 tokens")
    expect(dialog.locator("#preview-rows tr").last).to_contain_text("comes by itself")
    shot(page, "alarm-freeze")
    dialog.get_by_label("Why this window").fill("release 12 is meant to be longer")
    freeze.click()
    expect(dialog).to_have_count(0)
    [made] = monitor.stored_records.frozen
    assert (made.note, made.traces) == ("release 12 is meant to be longer", 300)


def test_what_was_shown_is_what_is_frozen_or_nothing_is(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    page.goto(f"{address}/alarms/7")
    page.get_by_role("button", name="Freeze a new baseline").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("From the last so many traces").fill("200")
    late = Held(page, "**/api/v1/baselines/preview")
    dialog.get_by_role("button", name="Show what would change").click()
    late.wait()
    dialog.get_by_label("From the last so many traces").fill("300")
    dialog.get_by_role("button", name="Show what would change").click()
    expect(dialog.locator("#preview-told")).to_contain_text("Traces 700 to 999.")
    late.give()
    expect(dialog.locator("#preview-told")).to_contain_text("Traces 700 to 999.")
    freeze = dialog.get_by_role("button", name="Freeze", exact=True)
    expect(freeze).to_be_enabled()
    page.route(
        "**/api/v1/baselines",
        lambda route: route.fulfill(status=409, json={"detail": "baseline 2 is active, not 1"}),
    )
    freeze.click()
    expect(dialog.locator("#freeze-error")).to_have_text("Not frozen: baseline 2 is active, not 1")
    dialog.get_by_label("From the last so many traces").fill("200")
    expect(freeze).to_be_disabled()
    assert monitor.stored_records.frozen == []


@pytest.mark.parametrize("tokens", [{"view-me": "viewer"}])
def test_a_viewer_is_offered_none_of_it(page: Page, address: str) -> None:
    page.goto(f"{address}/alarms/7")
    page.get_by_label("Token").fill("view-me")
    page.keyboard.press("Enter")
    expect(page.locator("#sentence")).not_to_be_empty()
    expect(page.get_by_role("button", name="Start a job")).to_have_count(0)
    expect(page.get_by_role("button", name="Freeze a new baseline")).to_have_count(0)
