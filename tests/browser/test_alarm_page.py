"""An alarm's page in a real browser: what is said of it, its curves, and the way to an answer."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.domain.alarm import AlarmKind, AlarmState, ReferenceVerdict, Severity, StoredAlarm
from monitor.domain.episode import Compared, FrozenBaseline, GivenOrder, Released, ShownAnswer
from monitor.domain.job import Check, JobState, Verdict
from monitor.drift.sentence import Levels
from tests.browser.held import Held
from tests.drifted import Drifted
from tests.hostile import LABELS, unseen
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, a_job, stored_alarm

pytestmark = pytest.mark.browser

VERDICT = Verdict(False, (Check("calibration", False, 0.14, 0.05, 0.05, "0.14 against 0.05"),), "ab" * 32)
SHOTS = os.environ.get("SCREENSHOTS")  # a folder that pictures of the page are put into, for people


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def drifted() -> Drifted:
    return Drifted("assistant-v2")


@pytest.fixture
def stored(drifted: Drifted) -> StoredAlarm:
    found = drifted.stored()
    began = found.alarm.onset_timestamp
    return replace(
        found,
        incident_id=3,
        trace_number=found.alarm.place,
        onset_trace_number=found.alarm.onset_place,
        policy_since=began - timedelta(minutes=1),
        created_at=found.alarm.timestamp + timedelta(minutes=2),
        reference_verdict=ReferenceVerdict.POLICY_CHANGED,
        reference_verdict_at=found.alarm.timestamp + timedelta(minutes=5),
        reference_note="response_length +44 tokens on 60 prompts",
    )


@pytest.fixture
def monitor(drifted: Drifted, stored: StoredAlarm) -> InMemoryMonitor:
    monitor = InMemoryMonitor(levels=Levels(128, 195, "tokens"))
    curves = drifted.drawn(stored)
    at = {moment.place: moment.logged_at for moment in curves.moments}
    warning = replace(drifted.stored(Severity.WARNING), alarm_id=6, incident_id=3, state=AlarmState.SUPERSEDED)
    monitor.stored = {6: warning, 7: stored}
    monitor.drawn, monitor.explained = {7: curves}, {7: drifted.explained(stored)}
    frozen = FrozenBaseline(1, at[curves.first_place] - timedelta(days=1), "rlhf-monitor", "first 1000 traces", 1000)
    promoted = Released(at[curves.stop_place - 1], 2, "dpo", "policy-2", "operator-1", taken_back=False)
    order = GivenOrder(stored.created_at, "ada", "alarm.acknowledge", "alarm 7", {"note": "on it"})
    monitor.records = replace(monitor.records, baselines=(frozen,), releases=(promoted,), orders=(order,))
    monitor.kept = {2: a_job(2, JobState.FAILED_GATE, alarm_id=7, verdict=VERDICT, reason="alert on response_length")}
    return monitor


def test_the_page_says_since_when_from_what_to_what_and_under_which_model(
    page: Page, address: str, stored: StoredAlarm
) -> None:
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#title")).to_have_text("response length rose, all cohorts")
    onset = f"{stored.alarm.onset_timestamp:%Y-%m-%d %H:%M} UTC"
    sentence = page.locator("#sentence")
    expect(sentence).to_contain_text(f"since {onset}: 128 -> 195 tokens (+")
    expect(sentence).to_contain_text("under assistant-v2; ")
    expect(page.locator("#severity")).to_have_text("alert")
    expect(page).to_have_title("response length rose, all cohorts · alarm 7 · rlhf-monitor")


def test_the_curves_carry_their_marks_and_the_history_names_both_times_of_each(
    page: Page, address: str, stored: StoredAlarm
) -> None:
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#plots svg")).to_have_count(2)
    expect(page.locator("#plots svg").first).to_have_attribute(
        "aria-label", re.compile("Mean of the latest .* assistant-v2")
    )
    expect(page.locator("#plots svg").last).to_have_attribute("aria-label", re.compile("Evidence .* reaches it"))
    kinds = page.locator("#plots svg").first.locator(".mark")
    assert [mark.get_attribute("data-kind") for mark in kinds.all()].count("alert") == 1
    shown = {mark.get_attribute("data-kind") for mark in kinds.all()}
    assert {"onset", "alert", "warning", "release", "baseline", "promotion"} <= shown
    row = page.locator("#history-rows tr[data-kind=alert]")
    expect(row.locator("[data-part=at]")).to_have_attribute("datetime", iso(stored.created_at))
    expect(row.locator("[data-part=trace]")).to_have_attribute("datetime", iso(stored.alarm.timestamp))
    order = page.locator("#history-rows tr[data-kind=order]")
    expect(order).to_contain_text("acknowledge: alarm 7on it")
    expect(order.locator("[data-part=trace]")).to_have_text("\u2013")


def test_the_pointer_and_the_arrow_keys_read_the_curves(page: Page, address: str) -> None:
    page.goto(f"{address}/alarms/7")
    mean, evidence = page.locator("#plots svg").first, page.locator("#plots svg").last
    readout = page.locator("#readout")
    mean.hover(position={"x": 400, "y": 100})
    expect(readout).to_contain_text(re.compile(r"trace time 20\d\d-.*Z · assistant-v2 [\d,.]+ · .*evidence -?[\d.]+"))
    expect(page.locator("#plots line.readout")).to_have_count(2)
    page.mouse.move(2, 2)
    expect(readout).to_have_text("")
    evidence.focus()
    last = readout.text_content()
    page.keyboard.press("Home")
    expect(readout).not_to_have_text(last or "")
    first, width = readout.text_content(), evidence.get_attribute("width")
    page.set_viewport_size({"width": 800, "height": 900})  # which draws the plots anew, as every look at the alarm does
    expect(evidence).not_to_have_attribute("width", width or "")
    expect(evidence).to_be_focused()
    expect(readout).to_have_text(first or "")
    page.keyboard.press("End")
    expect(readout).to_have_text(last or "")


def test_cohorts_causes_and_jobs_stand_with_their_figures(page: Page, address: str) -> None:
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#cohorts-rows th").first).to_have_text("dataset=wild")
    expect(page.locator("#cohorts-rows tr").first.locator("[data-part=contribution]")).to_contain_text("tokens (")
    assert page.locator("#cohorts-rows tr").first.locator(".cell[data-level='4']").count() >= 1
    expect(page.locator("#causes-list")).to_contain_text("policy model")
    expect(page.locator("#figures")).to_contain_text("asked again: policy changed (response_length +44 tokens")
    expect(page.locator("#figures")).to_contain_text("is what was asked")
    expect(page.locator("#jobs-list")).to_contain_text("#2 reward refresh")
    page.get_by_text("Gate failed 1 of 1 checks").click()
    expect(page.locator("#jobs-list .checks")).to_contain_text("0.14 against 0.05")


@pytest.mark.parametrize(
    "path", ["/alarms/8", "/alarms/0", "/alarms/seven", "/alarms/99999999999999999999", "/incidents/9"]
)
def test_an_unknown_number_is_a_plain_page_with_404(page: Page, address: str, path: str) -> None:
    answer = page.goto(address + path)
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text(f"There is no such {path.split('/')[1][:-1]}.")


def test_an_incident_s_link_goes_on_to_the_alarm_that_leads_it(page: Page, address: str) -> None:
    page.goto(f"{address}/incidents/3")
    page.wait_for_url("**/alarms/7")
    expect(page.locator("#sentence")).to_contain_text("128 -> 195 tokens")


def test_an_incident_s_card_links_to_the_page_of_the_alarm_that_leads_it(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="response length").first.click()
    page.wait_for_url("**/alarms/7")


def test_an_alarm_of_silence_is_told_without_curves(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    silent = stored_alarm(9, incident_id=4, kind=AlarmKind.NO_DATA, direction=None, effect=None, evidence_log=None)
    monitor.stored[9] = replace(silent, alarm=replace(silent.alarm, detail="no trace for 20 min"))
    page.goto(f"{address}/alarms/9")
    expect(page.locator("#sentence")).to_have_text("since 2026-11-21 11:57 UTC: no trace for 20 min")
    expect(page.locator("#history-rows tr").first).to_be_visible()
    expect(page.locator("#drawn")).to_be_hidden()


def test_hostile_labels_are_text_on_the_page(
    page: Page, address: str, monitor: InMemoryMonitor, stored: StoredAlarm
) -> None:
    curves, told = monitor.drawn[7], monitor.explained[7]
    labels = list(LABELS.values())
    rows = tuple(replace(curves.cohorts[0], cohort=label) for label in labels)
    lines = tuple(replace(curves.lines[0], policy_model=label) for label in labels[:4])
    monitor.drawn[7] = replace(curves, cohorts=rows, lines=lines, unit=labels[0])
    causes = tuple(replace(told.causes[0], because=label) for label in labels)
    monitor.explained[7] = replace(told, causes=causes)
    alarm = replace(stored.alarm, stream=replace(stored.alarm.stream, cohort=labels[1], policy_model=labels[2]))
    monitor.stored[7] = replace(stored, alarm=alarm, reference_note=labels[3])
    orders = tuple(GivenOrder(NOW, label, "alarm.acknowledge", "alarm 7", {"note": label}) for label in labels)
    monitor.records = replace(monitor.records, orders=orders)
    monitor.kept = {2: a_job(2, JobState.FAILED, alarm_id=7, error=labels[0], reason=labels[1])}
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#cohorts-rows tr")).to_have_count(len(labels))
    expect(page.locator("#causes-list li")).to_have_count(len(labels))
    assert [text for text in page.locator("body, body *").all_text_contents() if unseen(text)] == []
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main [onload], main [onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_answers_stand_side_by_side_once_an_operator_asks_for_them_from_the_keyboard(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    hostile = "".join(LABELS.values())
    new = ShownAnswer("t-9", 402.0, None, hostile, f"line one\nline two {hostile}", cut=True)
    old = ShownAnswer("t-1", 120.0, 0.81, "What is the number 3 of the rivers?", None)
    monitor.compared = {7: (Compared(new, 128.0, (old, replace(old, value=99.0, likeness=0.5))),)}
    page.goto(f"{address}/alarms/7")
    fold = page.locator("#answers-fold summary")
    expect(fold).to_be_visible()
    assert page.locator("#answers-list li").count() == 0
    fold.focus()
    page.keyboard.press("Enter")
    row = page.locator("#answers-list li")
    expect(row).to_contain_text("1. Since the onset: 402 tokens, expected 128 tokens")
    expect(row).to_contain_text("In the baseline: 120 tokens, 81 % alike")
    expect(row).to_contain_text("Others like it: 99 tokens (50 % alike)")
    expect(row).to_contain_text("not kept, or not any more")
    expect(row).to_contain_text("Cut: the text goes on.")
    page.keyboard.press("Tab")
    expect(page.locator(".read").first).to_be_focused()
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main [onload], main [onerror]").count() == 0


def test_the_keyboard_alone_leads_from_the_page_to_an_acknowledgement_with_a_note_and_back(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#acknowledge")).to_be_visible()
    page.locator("#told").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#acknowledge")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Note, for the history")).to_be_visible()
    page.get_by_label("Note, for the history").focus()
    page.keyboard.type("we roll it back <b>")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("acknowledged")
    expect(page.locator("#told")).to_be_focused()
    expect(page.locator("#seen")).to_have_text("acknowledged by local")
    expect(page.locator("#history-rows")).to_contain_text("we roll it back <b>")
    assert monitor.stored[7].state is AlarmState.ACKNOWLEDGED
    page.get_by_role("button", name="Snooze").click()
    page.get_by_label("For how long").select_option("a day")
    page.locator("#order-yes").click()
    expect(page.locator("#seen")).to_contain_text("snoozed until 2026-11-22 12:00:00Z")
    page.get_by_role("button", name="Undo").click()
    page.locator("#order-yes").click()
    expect(page.locator("#state")).to_have_text("open")
    expect(page.locator("#reopen")).to_be_hidden()


def test_what_was_asked_for_before_an_order_is_not_shown_after_it(page: Page, address: str) -> None:
    page.clock.install()
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#causes-list li").first).to_be_visible()
    before = Held(page, "**/api/v1/alarms/7/page")
    while not before.is_made:
        page.clock.fast_forward(10_000)
        page.wait_for_timeout(100)
    page.locator("#acknowledge").click()
    page.locator("#order-yes").click()
    expect(page.locator("#state")).to_have_text("acknowledged")
    before.give()
    page.wait_for_timeout(500)  # it would be shown by now, until the page looks again
    assert page.locator("#state").text_content() == "acknowledged"


def test_what_was_refused_is_told_in_the_dialog(page: Page, address: str) -> None:
    page.route("**/alarms/7/acknowledge", lambda route: route.fulfill(status=409, json={"detail": "alarm 7 is held"}))
    page.goto(f"{address}/alarms/7")
    page.locator("#acknowledge").click()
    page.locator("#order-yes").click()
    expect(page.locator("#order-error")).to_have_text("Not done: alarm 7 is held")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen_in_either_scheme(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{address}/alarms/7")
    expect(page.locator("#plots svg")).to_have_count(2)
    expect(page.locator("#causes-list li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if SHOTS is not None:
        page.screenshot(path=Path(SHOTS) / f"alarm-{width}-{scheme}.png", full_page=True)
    context.close()


class TestWithTokens:
    @pytest.fixture
    def tokens(self) -> dict[str, str]:
        return {"view-me": "viewer"}

    def test_who_has_not_logged_in_learns_nothing_of_what_exists(self, page: Page, address: str) -> None:
        for number in (7, 8):
            answer = page.goto(f"{address}/alarms/{number}")
            assert answer is not None
            assert answer.status == 200
        page.get_by_role("textbox", name="Token").fill("view-me")
        page.keyboard.press("Enter")
        expect(page.locator("#lost")).to_contain_text("there is no alarm 8")
        page.goto(f"{address}/alarms/7")
        expect(page.locator("#sentence")).to_contain_text("128 -> 195 tokens")
        expect(page.locator("#causes-list li").first).to_be_visible()
        expect(page.locator("#answers")).to_be_hidden()
        expect(page.locator("#orders")).to_be_hidden()
        refused = page.request.get(f"{address}/api/v1/alarms/7/answers", headers={"Authorization": "Bearer view-me"})
        assert refused.status == 403
