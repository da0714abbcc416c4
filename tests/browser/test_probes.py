"""Probes of the live model, on the console."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from monitor.domain.text import visible
from monitor.probes.rate import rate_of
from monitor.probes.report import PastRun, SuiteReport
from monitor.probes.run import RunState
from tests.hostile import LABELS
from tests.unit.in_memory_ports import InMemoryMonitor

pytestmark = pytest.mark.browser
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = LABELS["overrides of direction"] + LABELS["an element with an event"]
RUN = PastRun(
    7, "over_refusal", "ab" * 32, "over_refusal", "abab/p", "chat-2", RunState.DONE, NOON, NOON, 40, 40, 40, 0.1, ""
)
REPORT = SuiteReport("over_refusal", "over_refusal", 108, "ab" * 32, RUN, rate_of(4.0, 40), rate_of(20.0, 200))


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor()


def test_each_suite_stands_with_its_last_run_and_a_dead_endpoint_is_told_as_a_state(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    away = replace(RUN, suite=HOSTILE, state=RunState.UNAVAILABLE, outcomes=0, rate=None, detail=HOSTILE)
    never = replace(REPORT, suite="capability", last_run=None, last_rate=None, week_rate=None)
    dead = replace(REPORT, suite=HOSTILE, last_run=away, last_rate=None, week_rate=None)
    monitor.probed.told = [REPORT, dead, never]
    page.goto(address)
    rows = page.locator("#probes-rows tr")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("[data-part=rate]")).to_have_text("10.0 %")
    expect(rows.first.locator("[data-part=interval]")).to_have_text("4.0 to 23.1")
    expect(rows.first.locator("[data-part=asked]")).to_have_text("40 of 108")
    expect(rows.last.locator("[data-part=state]")).to_have_text("unavailable")
    expect(rows.last.locator("[data-part=rate]")).to_have_text("\u2013")
    expect(rows.last.locator("[data-part=suite]")).to_contain_text(visible(HOSTILE.replace("_", " ")))
    expect(page.locator("#probes-away")).to_have_text(f"The live model did not answer: {visible(HOSTILE)}")
