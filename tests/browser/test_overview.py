"""The overview in a real browser: cohorts by signals, filtered and paged on the server, told anew by events."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, Response, expect

from monitor.domain.alarm import AlarmKind, AlarmState, Direction, Effect
from monitor.domain.stream import StreamKey, StreamStatus
from monitor.domain.text import visible
from monitor.domain.view import BaselineSummary
from monitor.notify.notice import ReceiverStatus
from tests.hostile import names, unseen
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, stored_alarm, stream_status

pytestmark = pytest.mark.browser

SIGNALS = ("response_length", "refusal", "error")
EVENTS = "**/api/v1/overview/changes"


def streams(*cohorts: str, signals: tuple[str, ...] = SIGNALS) -> list[StreamStatus]:
    keys = [StreamKey(signal, cohort, "chat-2", "1") for cohort in cohorts for signal in signals]
    return [stream_status(key=key, stream_id=number) for number, key in enumerate(keys, start=1)]


@pytest.fixture
def monitor() -> InMemoryMonitor:
    frozen = BaselineSummary(1, NOW, "rlhf-monitor", "first 2000 traces", 0, 2000, 2000, 0)
    return InMemoryMonitor(frozen=frozen, statuses=streams("*", "product=a", "product=b"))


def test_a_cell_tells_the_effect_its_direction_and_its_alarm_and_leads_to_its_stream(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    key = StreamKey("refusal", "product=b", "chat-2", "1")
    fell = Effect(-0.0132, -0.02, -0.01, "ratio")
    monitor.stored = {1: stored_alarm(1, stream=key, effect=fell, direction=Direction.DOWN)}
    silent = StreamKey("*", "product=a", "*", "*")
    monitor.stored[2] = stored_alarm(2, stream=silent, kind=AlarmKind.NO_DATA, direction=None, effect=None)
    page.goto(address)
    rows = page.locator("#heatmap-rows tr")
    expect(rows.locator(".name")).to_have_text(["all cohorts", "product=a", "product=b"])
    expect(page.locator("#heatmap-columns th")).to_have_text(
        ["Cohort", "response lengthpoints", "refusalpoints", "errorpoints"]
    )
    cell = rows.nth(2).locator("td").nth(1)
    expect(cell).to_have_attribute("data-alarm", "alert")
    expect(cell.locator("a")).to_have_text("↓\u22121.32!, evidence 0.31, open alert")
    expect(cell.locator("a")).to_have_attribute("href", "/streams/8")
    expect(rows.nth(1).get_by_role("link", name="no data")).to_have_attribute("href", "/alarms/2")
    cell.hover()
    expect(page.locator("#heatmap-detail")).to_contain_text(
        "refusal in product=b, chat-2: \u22121.32 points since its onset · mean 3.4 %, baseline 3 % · evidence 0.31"
    )


def test_arrow_keys_go_from_cell_to_cell_and_tab_comes_back_to_the_last_one(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    monitor.statuses = [status for status in monitor.statuses if status.stream_id != 5]  # a hole in the middle
    page.goto(address)
    cells = page.locator("#heatmap-rows td")
    expect(cells).to_have_count(9)
    expect(page.locator("#heatmap-rows a[tabindex='0']")).to_have_count(1)
    cells.first.locator("a").focus()
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(cells.nth(4)).to_be_focused()  # nothing is there, and the way leads on
    page.keyboard.press("ArrowRight")
    expect(cells.nth(5).locator("a")).to_be_focused()
    expect(page.locator("#heatmap-detail")).to_contain_text("error in product=a")
    page.keyboard.press("ArrowRight")
    expect(cells.nth(5).locator("a")).to_be_focused()
    page.keyboard.press("Control+End")
    expect(cells.last.locator("a")).to_be_focused()
    page.keyboard.press("Home")
    expect(cells.nth(6).locator("a")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    expect(cells.nth(6).locator("a")).to_be_focused()


def test_the_focus_stays_on_its_cell_when_its_row_moves(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    page.goto(address)
    mine = page.locator("#heatmap-rows tr", has_text="product=b").locator("td a").nth(1)
    mine.focus()
    monitor.stored = {1: stored_alarm(1, cohort="product=b")}
    expect(page.locator("#heatmap-rows .name")).to_have_text(["all cohorts", "product=b", "product=a"])
    expect(mine).to_be_focused()


def test_the_url_holds_the_view_and_back_goes_back(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.statuses = streams("*", *(f"product=p{number:03d}" for number in range(90)))
    monitor.stored = {1: stored_alarm(1, cohort="product=p077")}
    page.goto(address)
    found = page.locator("#heatmap-rows .name")
    expect(found).to_have_count(40)
    expect(page.locator("#heatmap-place")).to_have_text("page 1 of 3")
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile(r"\?page=2$"))
    expect(found.first).to_have_text("product=p038")
    page.get_by_role("searchbox").press_sequentially("P07", delay=20)
    expect(page).to_have_url(re.compile(r"\?cohort=P07$"))
    expect(found).to_have_count(10)
    page.get_by_role("combobox", name="State", exact=True).select_option("open")
    expect(found).to_have_text(["product=p077"])
    page.get_by_role("combobox", name="Signal", exact=True).select_option("error")
    expect(page.locator("#heatmap-empty")).to_have_text("No cohort is in this view.")
    page.go_back()
    expect(found).to_have_text(["product=p077"])
    page.reload()
    expect(found).to_have_text(["product=p077"])
    expect(page.get_by_role("combobox", name="State", exact=True)).to_have_value("open")
    expect(page.get_by_role("searchbox")).to_have_value("P07")
    page.go_back()
    expect(found).to_have_count(10)
    page.go_back()
    expect(page.locator("#heatmap-place")).to_have_text("page 2 of 3")
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_a_url_that_nobody_can_mean_shows_everything(page: Page, address: str) -> None:
    page.goto(f"{address}/?page=minus&state=loud&retired=perhaps&cohort=")
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    expect(page.locator("#lost")).to_be_hidden()


def test_retired_series_are_folded_away_until_somebody_asks(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    old = StreamKey("refusal", "product=gone", "chat-1", "1")
    monitor.statuses.append(stream_status(key=old, last_timestamp=NOW - timedelta(days=2)))
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    page.get_by_label("show 1 retired stream").check()
    expect(page.locator("#heatmap-rows .name")).to_have_text(["all cohorts", "product=a", "product=b", "product=gone"])
    expect(page.locator("#heatmap-rows tr").last).to_contain_text("quiet, retired")
    expect(page.get_by_role("combobox", name="Policy model")).to_be_visible()  # there are two now


def test_nothing_is_asked_for_while_nothing_changes_and_then_what_has_changed(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    asked: list[str] = []
    page.clock.install()
    with page.expect_response(lambda response: is_heatmap(response) and response.status == 304):
        page.goto(address)  # the first event names every part, so all of them are read a second time
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
    page.clock.fast_forward(9_000)  # longer than the pause of polling
    page.wait_for_timeout(500)
    assert asked == []
    monitor.statuses = streams("*", "product=a")
    expect(page.locator("#heatmap-rows tr")).to_have_count(2)
    assert asked == ["/api/v1/overview/heatmap?size=40", "/api/v1/moved"]


def test_where_no_events_can_be_had_the_page_asks_now_and_then_and_gets_304(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.route(EVENTS, lambda route: route.fulfill(status=503, json={"detail": "full"}))
    statuses: list[int] = []
    page.clock.install()
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    page.on("response", lambda response: statuses.append(response.status) if "/heatmap" in response.url else None)
    with page.expect_response(lambda response: is_heatmap(response) and response.status == 304):
        page.clock.fast_forward(5_000)
    monitor.statuses = streams("*")
    page.clock.fast_forward(5_000)
    expect(page.locator("#heatmap-rows tr")).to_have_count(1)
    assert set(statuses) == {304, 200}


def is_heatmap(response: Response) -> bool:
    return "/overview/heatmap" in response.url


def test_a_database_that_is_away_is_said_with_the_age_of_what_is_shown(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    monitor.away = True
    said = r"refuses its work\. What is shown is from \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, (now|\d+ s ago)"
    expect(page.locator("#lost")).to_have_text(re.compile(said))
    expect(page.locator("#heatmap-rows tr")).to_have_count(3)
    monitor.away = False
    expect(page.locator("#lost")).to_be_hidden()


def test_hostile_cohorts_signals_and_models_stay_text(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    labels = [*names(), "منتج=اختبار", "w" * 400]
    keys = [StreamKey("refusal", label, label, label) for label in labels] + [StreamKey(names()[0], "*", "m", "1")]
    monitor.statuses = [stream_status(key=key) for key in keys]
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(len(labels) + 1)
    shown = page.locator("#heatmap-rows .name").all_text_contents()
    assert sorted(shown) == sorted(["all cohorts", *map(visible, labels)])
    page.locator("#heatmap-rows td a:visible").nth(3).focus()
    assert [text for text in page.locator("body, body *").all_text_contents() if unseen(text)] == []
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main [onload], main [onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_heatmap_scrolls_in_its_own_frame_beside_its_cohorts(
    page: Page, address: str, monitor: InMemoryMonitor, width: int
) -> None:
    wide = tuple(f"signal_{number}" for number in range(14))
    monitor.statuses = streams("*", "product=" + "x" * 90, signals=wide)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#heatmap-rows tr").first.locator("td a").last.focus()
    expect(page.locator("#heatmap-rows tr").first.locator("td").last).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#heatmap-rows .name").first).to_be_in_viewport(ratio=0.9)


def test_a_thousand_cohorts_by_ten_signals_fit_on_pages_of_a_hundred_kilobytes(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    ten = tuple(f"signal_{number}" for number in range(10))
    monitor.statuses = streams("*", *(f"product=p{number:04d},region=eu" for number in range(1000)), signals=ten)
    with page.expect_response(is_heatmap) as answered:
        page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(40)
    expect(page.locator("#heatmap-tally")).to_have_text("1,000 cohorts")
    assert 20_000 < len(answered.value.body()) < 100_000  # unpacked
    assert page.evaluate("document.documentElement.scrollHeight") < 3_500
    page.locator("#heatmap-rows tr").last.locator("td a").last.focus()
    expect(page.locator("#heatmap-rows tr").last.locator("td").last).to_be_in_viewport(ratio=0.9)
    expect(page.locator("#heatmap-columns th").last).to_be_in_viewport(ratio=0.9)  # which signal it is
    page.locator("#heatmap-rows tr").nth(20).locator("td a").last.focus()
    cell, head = (page.locator(f"#heatmap-{name}").bounding_box() for name in ("rows tr:nth-child(21)", "columns"))
    assert cell is not None
    assert head is not None
    assert cell["y"] >= head["y"] + head["height"] - 3, "not under the head"


def test_a_phone_s_first_screen_says_what_drifted_by_how_much_under_which_model_and_since_when(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    monitor.stored = {1: stored_alarm(1, stream=StreamKey("response_length", "*", "assistant-v2-2026-11", "1"))}
    monitor.receivers = [ReceiverStatus("oncall", "slack", "alert", 1, 60.0, NOW, "HTTP 503", 6, NOW)]
    page.set_viewport_size({"width": 390, "height": 620})  # of 844, less what the browser takes
    page.goto(address)
    card = page.locator("#incident-1")
    for part in ("onset", "moved", "model", "effect"):
        expect(card.locator(f"[data-part={part}]").first).to_be_in_viewport(ratio=1)
    expect(card.locator("[data-part=model]")).to_have_text("assistant-v2-2026-11")
    expect(page.locator("#untold")).to_be_in_viewport(ratio=1)


def test_an_incident_with_more_than_its_card_holds_says_so(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    keys = [StreamKey(f"signal_{number}", "*", "chat-2", "1") for number in range(10)]
    monitor.stored = {number: stored_alarm(number, stream=key) for number, key in enumerate(keys, start=1)}
    monitor.stored |= {
        number: replace(stored_alarm(number, incident_id=number), state=AlarmState.OPEN) for number in range(20, 32)
    }
    page.goto(address)
    expect(page.locator("#incident-1")).to_contain_text("and 2 further findings")
    expect(page.locator("#alarms-list > li")).to_have_count(10)
    page.get_by_role("button", name="Show 3 more").click()
    expect(page.locator("#alarms-list > li")).to_have_count(13)
