"""A stream's page in a real browser: its past over a range that the URL names."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.domain.stream import StreamKey
from tests.hostile import LABELS, unseen
from tests.unit.in_memory_history import KEY, a_history
from tests.unit.in_memory_ports import InMemoryMonitor, stream_status

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("SCREENSHOTS")  # a folder that pictures of the page are put into, for people


@pytest.fixture
def monitor() -> InMemoryMonitor:
    monitor = InMemoryMonitor(statuses=[stream_status(key=KEY, unit="tokens", stream_id=3)])
    monitor.histories.kept = {3: a_history(3), 4: a_history(4, StreamKey("refusal", "dataset=wild", "chat-2", "1"))}
    return monitor


def test_a_stream_s_past_is_told_with_its_marks_and_its_numbers(page: Page, address: str) -> None:
    page.goto(f"{address}/streams/3")
    expect(page.locator("#title")).to_have_text("response length, all cohorts")
    expect(page.locator("#sentence")).to_have_text(re.compile("^Last .* tokens, over the day .* on .* observations"))
    plot = page.get_by_role("img", name=re.compile(r"Mean from 2026-11-20 12:15:00Z .* tokens"))
    expect(plot.locator("canvas")).to_have_count(2)
    expect(page.locator("#marks-rows tr")).to_have_count(5)
    expect(page.locator("#marks-rows")).to_contain_text("alert here")
    expect(page.get_by_role("link", name="alert here")).to_have_attribute("href", "/alarms/7")
    page.get_by_text("Show the points as a table").click()
    row = page.locator("#numbers-rows tr").first
    expect(row.locator("td")).to_have_count(6)
    expect(row.locator("[data-part=p99]")).to_contain_text("tokens")
    page.get_by_role("link", name="dataset=wild").click()
    expect(page.locator("#keys")).to_contain_text("95 % interval of the rate")


def test_each_baseline_s_band_is_drawn_over_the_time_in_which_it_held(page: Page, address: str) -> None:
    page.add_init_script(
        "window.filled = []; const fill = CanvasRenderingContext2D.prototype.fillRect;"
        "CanvasRenderingContext2D.prototype.fillRect = function (...at) { filled.push(at); fill.apply(this, at); }"
    )
    page.goto(f"{address}/streams/3")
    expect(page.locator("#plot canvas")).to_have_count(2)
    expect(page.locator("#readout")).to_contain_text("; baseline 3 accepts 141 to 181")
    spans = {(left, left + width) for left, _, width, _ in page.evaluate("window.filled")}
    (start, edge), (same, end) = sorted(spans)
    assert edge == pytest.approx(same)
    assert (edge - start) / (end - start) == pytest.approx(3.75 / 24, rel=0.05)  # it was frozen 20 hours before noon
    page.locator("#plot .u-over").first.hover(position={"x": 20, "y": 60})
    expect(page.locator("#readout")).to_contain_text("; baseline 2 accepts 120 to 160")


def test_the_url_holds_the_range_and_the_keyboard_reads_single_points(page: Page, address: str) -> None:
    page.goto(f"{address}/streams/3")
    page.get_by_role("link", name="6 hours").click()
    page.wait_for_url("**/streams/3?range=6h")
    expect(page.locator("#ranges [aria-current]")).to_have_text("6 hours")
    expect(page.locator("#plot canvas")).to_have_count(2)
    page.locator("#plot").focus()
    expect(page.locator("#readout")).to_have_text(
        re.compile(r"^2026-11-21 11:55:00Z: mean .* 99 % .* n = \d+; baseline 3 accepts 141 to 181$")
    )
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#readout")).to_contain_text("2026-11-21 11:50:00Z")
    page.set_viewport_size({"width": 800, "height": 900})  # which draws the plots anew
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#readout")).to_contain_text("2026-11-21 11:45:00Z")
    page.get_by_role("link", name="Earlier").click()
    page.wait_for_url("**/streams/3?range=6h&until=2026-11-21T06%3A04%3A59.999Z")
    expect(page.locator("#span")).to_have_text("2026-11-21 00:05:00Z to 2026-11-21 06:05:00Z")
    page.goto(f"{address}/streams/3?range=6h&until=2026-11-01T00:00:00Z")
    expect(page.locator("#empty")).to_contain_text("What is kept goes from 2026-11-20 12:00:00Z")


def test_a_dashboard_s_link_by_labels_goes_on_to_the_newest_stream_that_has_them(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    newer = replace(KEY, policy_model="chat-3"), monitor.statuses[0].last_timestamp + timedelta(hours=1)
    monitor.statuses.append(replace(monitor.statuses[0], key=newer[0], last_timestamp=newer[1], stream_id=4))
    cohort = quote(KEY.cohort)
    for model, number in ((KEY.policy_model, 3), ("other", 4), ("", 4)):
        page.goto(f"{address}/streams?signal={KEY.signal}&cohort={cohort}&model={model}")
        page.wait_for_url(f"**/streams/{number}")
    page.goto(f"{address}/streams?signal={KEY.signal}&cohort=product%3Dnone")
    expect(page.locator("#empty")).to_contain_text("There is no stream of this signal in this cohort")


def test_what_is_not_known_is_refused_and_a_database_that_is_away_is_told(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    answer = page.goto(f"{address}/streams/9")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("There is no such stream.")
    page.goto(f"{address}/streams/3?range=2y")
    expect(page.locator("#lost")).to_contain_text("query.range = '2y'")
    monitor.histories.away = True
    page.goto(f"{address}/streams/3")
    expect(page.locator("#lost")).to_contain_text("PostgreSQL is away")


def test_hostile_labels_are_text_on_the_page(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    hostile = "".join(LABELS.values())
    key = StreamKey("response_length", hostile, hostile, "1")
    kept = a_history(3, key)
    marks = tuple(replace(mark, what=hostile) for mark in kept.marks)
    related = (replace(kept.related[0], key=key),)
    monitor.histories.kept[3] = replace(kept, marks=marks, related=related)
    page.goto(f"{address}/streams/3")
    expect(page.locator("#marks-rows tr")).to_have_count(5)
    assert [text for text in page.locator("body, body *").all_text_contents() if unseen(text)] == []
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main [onload], main [onerror]").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_nothing_is_wider_than_the_screen(browser: Browser, address: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    for number in (3, 4):
        page.goto(f"{address}/streams/{number}")
        expect(page.locator("#plot canvas")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if SHOTS is not None:
            page.screenshot(path=Path(SHOTS) / f"stream-{number}-{width}-{scheme}.png", full_page=True)
    context.close()
