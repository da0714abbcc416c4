"""What axe-core finds on the pages of the console: nothing."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from monitor.domain.alarm import AlarmState
from monitor.domain.stream import StreamKey
from monitor.domain.view import BaselineSummary
from tests.browser.listed import PATHS, fill_listings
from tests.unit.in_memory_history import a_history
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, stored_alarm, stream_status

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
THERE = {"/": "#heatmap-rows tr", "/alarms/1": "h1", "/review": "h1, h2", "/streams/3": "#plot canvas"}
LEVELS = (0.1, 0.3, 0.6, 0.8)


@pytest.fixture
def monitor() -> InMemoryMonitor:
    """A monitor whose overview has every shade in both directions, and alarms in every state."""
    frozen = BaselineSummary(1, NOW, "rlhf-monitor", "first 2000 traces", 0, 2000, 2000, 0)
    monitor = InMemoryMonitor(frozen=frozen)
    for number, (level, mean) in enumerate([(level, mean) for level in LEVELS for mean in (0.01, 0.09)], start=1):
        key = StreamKey("refusal", f"product=p{number}", "chat-2", "1")
        monitor.statuses.append(stream_status(key=key, evidence_log=level, mean=mean, stream_id=number))
    for number, state in enumerate((AlarmState.OPEN, AlarmState.ACKNOWLEDGED, AlarmState.SNOOZED), start=1):
        key = StreamKey("response_length", f"product=p{number}", "chat-2", "1")
        monitor.stored[number] = stored_alarm(number, stream=key, state=state, incident_id=number)
        monitor.statuses.append(stream_status(key=key, unit="tokens", stream_id=100 + number))
    fill_listings(monitor)
    monitor.histories.kept = {3: a_history(3)}
    return monitor


def found_by_axe(page: Page) -> list[str]:
    page.evaluate(AXE)
    violations = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{found['id']}: {node['html'][:200]}" for found in violations for node in found["nodes"]]


@pytest.mark.parametrize("path", ["/", "/alarms/1", "/review", "/streams/3", *PATHS])
def test_axe_finds_nothing(page: Page, address: str, path: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(address + path)
    expect(page.locator(THERE.get(path, "#rows > *")).first).to_be_visible()
    expect(page.locator("#who")).to_contain_text("operator")
    for fold in page.locator("#rows summary, #rows .unfold").all()[:3]:
        fold.click()
    expect(page.get_by_text("Reading…", exact=True)).to_have_count(0)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert found_by_axe(page) == [], scheme


def test_axe_finds_nothing_on_the_overview_of_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}/?cohort=p1")
    expect(page.locator("#heatmap-rows tr")).to_have_count(1)
    assert found_by_axe(page) == []
