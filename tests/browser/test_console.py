"""The console in a real browser, against the real server with in-memory ports."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from monitor.app.signal_rows import SignalRows
from monitor.domain.alarm import AlarmKind, AlarmState, Decomposition, Direction, ReferenceVerdict, Severity
from monitor.domain.anchor import AnchorStatus
from monitor.domain.job import Action, Check, Hold, JobState, PlannedStart, RunProgress, Verdict
from monitor.domain.stream import StreamKey
from monitor.domain.text import visible
from monitor.domain.view import BaselineSummary, JobEvent, WorkerTrouble
from monitor.drift.correlation import RewardCorrelation
from monitor.drift.daily import DayEvidence, Moved
from monitor.drift.moved import MovedStreams
from monitor.runs.model import ModelState, RegisteredModel
from monitor.settings.root import Settings
from monitor.stats.rank_correlation import RankCorrelation
from tests.hostile import LABELS, names, unseen
from tests.unit.in_memory_ports import NOW, InMemoryMonitor, a_job, stored_alarm, stream_status

pytestmark = pytest.mark.browser

HOSTILE = 'dataset=<img src=x onerror="document.title=1">&lt;'
BASELINE = BaselineSummary(1, NOW, "rlhf-monitor", "first 2000 traces", 0, 2000, 2000, 0)
FAILED_GATE = Verdict(
    False,
    (
        Check("held_out_accuracy", True, 0.71, 0.66, 0.02, "0.71 against 0.66"),
        Check("calibration", False, 0.14, 0.05, 0.05, "0.14 against 0.05"),
    ),
    "ab" * 32,
)


@pytest.fixture
def monitor() -> InMemoryMonitor:
    return InMemoryMonitor(frozen=BASELINE)


def test_the_empty_console_says_what_will_appear(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.frozen = None
    page.goto(address)
    expect(page.locator("#alarms-empty")).to_contain_text("No baseline is frozen yet")
    expect(page.locator("#jobs-empty")).to_contain_text("No job yet")
    expect(page.locator("#chips")).to_contain_text("no leader")


def test_the_console_says_whether_the_scorer_still_scores_its_anchor_set_as_at_first(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    still = AnchorStatus("anchors-1", HOSTILE, NOW, 3, 64, 0.001, 0.002, 0.05, moved=False)
    monitor.anchored = still
    page.goto(address)
    expect(page.locator("#anchor")).to_contain_text(f"by {HOSTILE}, +0.001 sd from its first scores. The scorer stands")
    monitor.anchored = replace(still, mean=-0.41, moved=True)
    expect(page.locator("#anchor")).to_contain_text("0.410 sd from its first scores. The scorer has changed")
    expect(page.locator("#anchor")).to_have_attribute("data-tone", "bad")


def test_the_console_tells_what_signals_mean_and_which_own_ones_fail(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    failing = [WorkerTrouble("a/7", 3, "it raised <b>ValueError</b>"), WorkerTrouble("<i>b</i>/8", 1, "late")]
    own = {"name": "mine", "pattern": "x", "meaning": "it holds <i>an x</i>"}
    monitor.observed = SignalRows(Settings(signals={"own": [own], "off": ["error"]}), lambda: {"mine": failing})
    monitor.statuses = [stream_status()]
    page.goto(address)
    expect(page.locator("#signals-failed")).to_contain_text(
        "mine had no value for 4 traces, 3 traces in worker a/7: it raised <b>ValueError</b>; "
        "1 trace in worker <i>b</i>/8: late."
    )
    page.locator("#signals summary").click()
    expect(page.locator("#signals-list")).to_contain_text("it holds <i>an x</i>")
    expect(page.locator("#signals-list")).not_to_contain_text("the call failed")
    meaning = "how surely the answer declines what it was asked"
    expect(page.locator("#heatmap-columns th").last).to_have_attribute("title", meaning)


def test_the_console_says_what_goes_with_the_reward_in_the_latest_traces(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    before, now, few = (RankCorrelation(r, r - 0.1, r + 0.1, size) for r, size in ((0.1, 500), (0.6, 400), (0.9, 40)))
    monitor.together.append(RewardCorrelation.of(("m", "s", "response_length"), before, now))
    monitor.together.append(RewardCorrelation.of(("m", "s", "bold"), None, now))
    monitor.together.append(RewardCorrelation.of(("old", "s", "bold"), None, few))
    page.goto(address)
    told = "Reward goes with: response_length +0.60 (baseline +0.10, moved); bold +0.60 (baseline not known)."
    expect(page.locator("#correlations")).to_have_text(told)
    expect(page.locator("#correlations")).to_have_attribute("data-tone", "warning")


def test_a_cohort_named_in_html_is_shown_as_text(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    alarm = stored_alarm(1, cohort=HOSTILE)
    monitor.stored = {1: alarm}
    monitor.statuses = [stream_status(key=alarm.alarm.stream, unit="tokens", mean=424.0, evidence_log=1.02)]
    page.goto(address)
    expect(page.locator("#alarms-list .cohort")).to_have_text(HOSTILE)
    expect(page.locator("#heatmap-rows .name")).to_have_text(HOSTILE)
    expect(page.locator("#alarms-list .effect")).to_have_text("+214 tokens [+120.5, +310.2]")
    expect(page.locator("#alarms-list")).to_contain_text("after 37 traces")
    page.locator("#alarms-list summary").click()
    expect(page.get_by_text("alarm 1", exact=True)).to_be_visible()
    expect(page).to_have_title("(1) rlhf-monitor")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_the_transaction_that_keeps_traces_from_the_detectors_is_named(
    page: Page, address: str, monitor: InMemoryMonitor, width: int
) -> None:
    named = "a transaction keeps stored traces from being folded: 'nightly import' of user 'postgres'"
    monitor.counts = replace(monitor.counts, fold_lag_traces=1200, placement_blocked_by=named)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    expect(page.get_by_text(named)).to_be_visible()
    expect(page.get_by_text("pairs that can teach a refresh")).to_be_visible(visible=width > 600)


def moved_on(day: date, *rows: tuple[str, float, bool]) -> MovedStreams:
    """Return what moved on *day*, among 1,000 streams: cohort, log e, and whether it is told of over all days."""
    return MovedStreams(
        day,
        1000,
        0.1,
        tuple(
            Moved(DayEvidence(StreamKey("refusal", cohort, "chat-2", "1"), day, 420, log_e, Direction.UP), True, over)
            for cohort, log_e, over in rows
        ),
    )


def test_the_streams_that_moved_today_stand_folded_beside_the_streams(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    monitor.statuses = [stream_status()]
    page.goto(address)
    expect(page.locator("#heatmap-rows tr")).to_have_count(1)
    expect(page.locator("#moved")).to_be_hidden()
    monitor.told = {NOW.date(): moved_on(NOW.date(), (HOSTILE, 30.0, True), ("region=eu", 12.0, False))}
    expect(page.locator("#moved summary")).to_contain_text("2 streams moved on 2026-11-21")
    expect(page.locator("#moved-list li").first).to_be_hidden()
    page.locator("#moved summary").click()
    expect(page.locator("#moved-list li").first).to_contain_text(HOSTILE)
    expect(page.locator("#moved-list li").first).to_contain_text("10^13.0 to 1, 420 observations")
    expect(page.locator("#moved-list .badge").first).to_be_visible()
    expect(page.locator("#moved-list .badge").last).to_be_hidden()
    monitor.told = {NOW.date(): moved_on(NOW.date())}
    expect(page.locator("#moved summary")).to_contain_text("No stream moved on 2026-11-21")


def test_hostile_labels_are_shown_as_visible_text_everywhere(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    for number, label in enumerate(LABELS.values(), start=1):
        key = StreamKey("reward", label, label, label)
        unit = Decomposition(2.0, 1.0, 1.0, label)
        told = stored_alarm(
            number, stream=key, trace_id=label, examples=(label,), detail=label, decomposition=unit, incident_id=number
        )
        noted = {"reference_verdict": ReferenceVerdict.UNDECIDED, "reference_note": label, "policy_since": NOW}
        monitor.stored[number] = replace(told, **noted)  # type: ignore[arg-type]
        monitor.statuses.append(stream_status(key=key, evidence_log=1.5))
        check = Check(label, False, 0.1, 0.2, 0.05, label)
        verdict = Verdict(False, (check,), "ab" * 32)
        texts = {"reason": label, "error": label, "progress": label, "requested_by": label}
        run = RunProgress(label, 1, 2, phase=label)
        monitor.kept[number] = a_job(number, JobState.RUNNING, verdict=verdict, progress_detail=run, **texts)
        monitor.history.append((number, JobEvent(NOW, "failed", label, label)))
    champion, *others = (RegisteredModel(label, "b" * 64, NOW, None, None) for label in names()[:7])
    named = replace(champion, state=ModelState.CHAMPION, promoted_at=NOW, promoted_by=names()[0])
    monitor.registered = [named, *others]
    monitor.frozen = replace(BASELINE, note="".join(LABELS.values()), created_by=names()[0])
    monitor.counts = replace(monitor.counts, dead_letters=dict.fromkeys(names(), 1))
    page.goto(address)
    expect(page.locator("#heatmap-rows tr").first).to_be_visible()
    page.locator("#jobs-all").click()
    for fold in page.locator("main details > summary").all():
        if fold.is_visible():
            fold.click()
    expect(page.locator(".events li").first).to_be_visible()
    shown = page.locator("#heatmap-rows .name").all_text_contents()
    cut = {
        label: f"{label[:1000]}… ({len(label) - 1000} more characters)"
        for label in LABELS.values()
        if len(label) > 1000
    }
    assert sorted(shown) == sorted(cut.get(label, visible(label)) for label in LABELS.values())
    assert [text for text in page.locator("body, body *").all_text_contents() if unseen(text)] == []
    assert page.evaluate("window.owned") is None
    assert page.locator("main img, main [onload], main [onerror]").count() == 0
    links = page.locator("main a[href]").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert all(re.fullmatch(r"/api/v1/jobs/\d+/report|/(alarms|streams)/\d+|/notifications", link) for link in links)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_an_incident_is_acknowledged_from_the_keyboard(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.stored = {1: stored_alarm(1)}
    page.goto(address)
    page.get_by_role("button", name="Acknowledge incident 1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#acknowledged-list")).to_contain_text("acknowledged by local")
    expect(page.locator("#alarms")).to_be_focused()
    assert monitor.stored[1].state is AlarmState.ACKNOWLEDGED


def test_one_incident_is_one_card_with_a_line_for_each_thing_that_moved(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    refusal, error, feedback = (
        StreamKey(signal, "*", "chat-2", "1") for signal in ("refusal", "error", "negative_feedback")
    )
    parts = Decomposition(52.0, 8.0, 44.0, "tokens")
    rollup = stored_alarm(2, place=2843, decomposition=parts)
    monitor.stored = {
        1: stored_alarm(1, cohort="product=billing", place=2840),
        2: replace(rollup, reference_verdict=ReferenceVerdict.POLICY_CHANGED, policy_since=NOW),
        3: stored_alarm(3, stream=refusal, place=2830),
        4: stored_alarm(4, stream=error, place=2810, severity=Severity.WARNING, incident_id=2),
        5: stored_alarm(5, stream=feedback, place=2800, severity=Severity.WARNING),
    }
    page.goto(address)
    cards = page.locator("#alarms-list > li")
    expect(cards).to_have_count(1)
    told = ["refusal ↑ rose", "response length ↑ rose", "negative feedback ↑ rose"]  # the earliest is only a warning
    expect(cards.locator(".findings b")).to_have_text(told)
    expect(cards.locator(".findings .cohort")).to_have_text(
        ["all cohorts", "all cohorts and 1 by itself", "all cohorts"]
    )
    expect(cards).to_contain_text("of +52 tokens: +8 prompts, +44 model")
    expect(cards).to_contain_text("shown cause: policy model (the released policy answers the same prompts otherwise)")
    expect(page.locator("#warnings-summary")).to_have_text("1 warning")
    expect(page.locator("#warnings-list > li")).to_be_hidden()
    cards.get_by_text("4 alarms").click()
    expect(cards).to_contain_text("asked again: policy changed")
    monitor.stored[6] = stored_alarm(6, cohort="product=travel", place=2850)
    expect(cards.locator(".members > li")).to_have_count(5)
    expect(cards.locator(".members > li").last).to_contain_text("response length ↑ rose, product=travel")
    expect(cards.locator(".members")).to_be_visible()


def test_an_alert_s_link_leads_to_its_incident_wherever_it_stands_by_now(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    ended = replace(stored_alarm(1, state=AlarmState.RECOVERED), recovered_at=NOW)
    monitor.stored = {1: ended} | {number: stored_alarm(number, incident_id=number) for number in range(2, 12)}
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto(f"{address}/#incident-11")
    expect(page.locator("#incident-11")).to_be_in_viewport()
    expect(page.locator("#incident-11 .members")).to_be_visible()
    expect(page.locator("#incident-2 .members")).not_to_be_visible()
    page.goto(f"{address}/#incident-1")
    expect(page.locator("#ended-list #incident-1 .members")).to_be_visible()
    expect(page.locator("#incident-1")).to_be_in_viewport()
    page.goto(f"{address}/#incident-99")
    expect(page.locator("#incident-99")).to_have_count(0)


def test_an_incident_is_snoozed_for_a_while_and_opened_again(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    monitor.stored = {number: stored_alarm(number, cohort=cohort) for number, cohort in {1: "*", 2: "a"}.items()}
    page.goto(address)
    page.get_by_role("button", name="Snooze incident 1").click()
    page.get_by_label("For how long").select_option("a day")
    page.get_by_role("button", name="Snooze", exact=True).click()
    expect(page.locator("#snoozed-summary")).to_have_text("1 snoozed incident")
    expect(page).to_have_title("rlhf-monitor")
    page.locator("#snoozed-summary").click()
    expect(page.locator("#snoozed-list")).to_contain_text("snoozed until 2026-11-22 12:00:00Z")
    assert {item.state for item in monitor.stored.values()} == {AlarmState.SNOOZED}
    page.get_by_role("button", name="Reopen incident 1").click()
    expect(page.locator("#alarms-list > li")).to_have_count(1)


def test_what_was_refused_stays_with_its_reason(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.stored = {number: stored_alarm(number, cohort=cohort) for number, cohort in {1: "*", 2: "a"}.items()}
    page.route("**/incidents/1/*", lambda route: route.fulfill(status=409, json={"detail": "incident 1 is held"}))
    page.goto(address)
    page.get_by_role("button", name="Acknowledge incident 1").click()
    card = page.locator("#alarms-list > li")
    expect(card.locator(".error")).to_have_text("Not done: incident 1 is held")
    card.get_by_text("2 alarms").click()
    card.get_by_role("button", name="Acknowledge response length ↑ rose, a", exact=True).click()
    expect(card).to_contain_text("acknowledged by local")
    assert [number for number, item in monitor.stored.items() if item.state is AlarmState.OPEN] == [1]


def test_incidents_that_ended_and_those_that_watch_the_traffic_are_shown_too(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    usual = stored_alarm(2, incident_id=2, stream=StreamKey("*", "*", "*", "*"), trace_id=None, examples=())
    silent = replace(
        usual.alarm,
        kind=AlarmKind.NO_DATA,
        detail="no trace for 20 min",
        direction=None,
        effect=None,
        evidence_log=None,
    )
    monitor.stored = {
        1: replace(stored_alarm(1, state=AlarmState.RECOVERED), recovered_at=NOW),
        2: replace(usual, alarm=silent),
    }
    page.goto(address)
    card = page.locator("#alarms-list > li")
    expect(card.locator(".findings")).to_contain_text("no data")
    expect(card.locator(".effect")).to_have_text("no trace for 20 min")
    expect(page.locator("#ended")).to_be_hidden()
    page.get_by_label("show those that ended").check()
    expect(page.locator("#ended-summary")).to_have_text("1 ended incident")
    page.locator("#ended-summary").click()
    expect(page.locator("#ended-list")).to_contain_text("recovered 2026-11-21 12:00:00Z")


def test_a_job_s_fold_tells_its_history_as_it_grows(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.kept = {1: a_job(1, JobState.RUNNING)}
    monitor.history = [(1, JobEvent(NOW, "running", "dispatcher", "the run starts"))]
    page.goto(address)
    page.locator("#jobs-list").get_by_text("History").click()
    expect(page.locator(".events li")).to_have_text(["2026-11-21 12:00:00Zrunning by dispatcher: the run starts"])
    monitor.history.append((1, JobEvent(NOW, "failed", "dispatcher", "")))
    monitor.kept[1] = a_job(1, JobState.FAILED, updated_at=NOW + timedelta(minutes=1))
    expect(page.locator(".events li b")).to_have_text(["running", "failed"])


def test_a_run_under_way_has_a_bar_with_its_figures_and_keeps_its_last_line_when_it_ends(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    run = RunProgress("epoch 1 of 2", 90, 400, loss=0.4123, rate=2.5, seconds_left=7_525.0)
    monitor.kept = {1: a_job(1, JobState.RUNNING, action=Action.DPO, progress="epoch 1 of 2", progress_detail=run)}
    page.goto(address)
    figures = page.locator("#jobs-list [data-part=figures]")
    expect(figures).to_have_text("training: step 90 of 400 (22 %) · loss 0.412 · 2.5 steps/s · 2 h 5 min left")
    expect(page.get_by_label("Progress of job #1")).to_have_attribute("value", "0.225")
    monitor.kept[1] = a_job(1, JobState.EVALUATING, action=Action.DPO, progress="epoch 1 of 2", progress_detail=run)
    expect(figures).to_be_hidden()
    expect(page.locator("#jobs-list .progress p")).to_have_text("epoch 1 of 2")


def test_a_job_started_by_hand_appears(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    page.goto(address)
    page.get_by_text("Start a job by hand").click()
    page.get_by_label("Reason").fill("answers got longer")
    page.get_by_role("button", name="Start…").click()
    expect(page.locator("#confirm-text")).to_have_text("Reason: answers got longer")
    assert monitor.kept == {}
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#jobs-list")).to_contain_text("#1 reward refresh")
    expect(page.locator("#jobs-list")).to_contain_text("by local")
    assert monitor.kept[1].reason == "answers got longer"


def test_a_refused_start_is_told_in_the_server_s_words_and_can_be_given_up(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    monitor.kept = {7: a_job(7, JobState.RUNNING)}
    page.goto(address)
    page.get_by_text("Start a job by hand").click()
    page.get_by_label("Reason").fill("once more")
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#confirm-error")).to_contain_text("job 7 (reward_refresh) is running")
    page.keyboard.press("Escape")
    expect(page.locator("#confirm")).to_be_hidden()
    expect(page.get_by_label("Reason")).to_have_value("once more")


def test_what_holds_a_rule_is_told_and_a_start_by_hand_can_pass_it_by(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    held = "kappa 0.41 on 60 pairs <b>by criteria</b> 3"
    monitor.planned = tuple(
        PlannedStart(f"rule {number}", Action.REWARD_REFRESH, decision, detail)
        for number, (decision, detail) in enumerate([("low_agreement", held), ("no_alarm", "no alert")])
    )
    monitor.held = f"low_agreement: {held}"
    page.goto(address)
    line = page.locator("#plan-list li")
    expect(line).to_have_text([f"low agreement: reward refresh by the rule “rule 0”: {held}"])
    page.get_by_text("Start a job by hand").click()
    page.get_by_label("Reason").fill("we know")
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#confirm-error")).to_contain_text(f"low_agreement: {held}")
    page.keyboard.press("Escape")
    page.get_by_label("Although annotators do not agree").check()
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.locator("#jobs-list")).to_contain_text("#1 reward refresh")


def test_all_that_holds_a_rule_is_told_with_its_end_and_what_an_action_lacks_cannot_be_chosen(
    page: Page, address: str, monitor: InMemoryMonitor
) -> None:
    until = datetime.now(UTC) + timedelta(hours=5, minutes=1)
    holds = Hold("backoff", "job 2 failed its gate", until), Hold("quiet_hours", "<i>22:00-06:00</i> UTC")
    monitor.planned = (
        PlannedStart("alert on refusal", Action.DPO, "backoff", holds[0].detail, until, holds),
        PlannedStart("alert on reward", Action.REWARD_REFRESH, "launch", "500 new preference pairs"),
        PlannedStart("retrain.refresh_cron 0 3 * * *", Action.REWARD_REFRESH, "not_due", "next at three"),
    )
    monitor.lacking = {Action.KTO: Hold("no_policy", "there is none")}
    page.goto(address)
    expect(page.locator("#plan-list > li")).to_have_text(
        [
            "backoff: dpo by the rule “alert on refusal”: job 2 failed its gate · ends in 5 h"
            "quiet hours: <i>22:00-06:00</i> UTC",
            "starts: reward refresh by the rule “alert on reward”: 500 new preference pairs",
        ]
    )
    page.get_by_text("Start a job by hand").click()
    options = page.locator("#start-action option")
    expect(options).to_have_text(["reward_refresh", "dpo", "kto: no policy", "refusal_refresh"])
    assert [option.is_disabled() for option in options.all()] == [False, False, True, False]


def test_a_start_without_a_reason_asks_for_one(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_text("Start a job by hand").click()
    page.get_by_role("button", name="Start…").click()
    expect(page.locator("#start-error")).to_contain_text("Say why")
    expect(page.get_by_label("Reason")).to_be_focused()


def test_an_open_verdict_and_the_focus_survive_a_refresh(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.kept = {1: a_job(1, JobState.FAILED_GATE, verdict=FAILED_GATE)}
    page.goto(address)
    summary = page.get_by_text("Gate failed 1 of 2 checks")
    summary.click()
    expect(page.locator(".checks")).to_contain_text("calibration 0.14 against 0.05")
    monitor.kept[2] = a_job(2, JobState.AWAITING_APPROVAL)
    expect(page.get_by_role("button", name="Approve job #2")).to_be_visible()
    verdict = page.get_by_role("listitem").filter(has_text="failed gate").locator(".checks")
    expect(verdict).to_be_visible()
    expect(summary).to_be_focused()
    expect(verdict.locator("li")).to_have_count(2)


def test_a_promoted_job_is_rolled_back_after_a_confirmation(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    monitor.kept = {3: a_job(3, JobState.PROMOTED)}
    page.goto(address)
    page.get_by_role("button", name="Roll back job #3").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#jobs-list .badge")).to_have_text("rolled back")
    assert monitor.kept[3].state is JobState.ROLLED_BACK


def test_a_lost_database_is_said_and_its_return_clears_it(page: Page, address: str, monitor: InMemoryMonitor) -> None:
    page.goto(address)
    expect(page.locator("#chips")).to_contain_text("ready")
    monitor.away = True
    expect(page.locator("#lost")).to_contain_text("PostgreSQL is away, or refuses its work. What is shown is from")
    monitor.away = False
    expect(page.locator("#lost")).to_be_hidden()


class TestWithTokens:
    @pytest.fixture
    def tokens(self) -> dict[str, str]:
        return {"view-me": "viewer", "run-me": "operator"}

    def test_a_token_is_asked_for_until_it_is_known(self, page: Page, address: str, monitor: InMemoryMonitor) -> None:
        monitor.stored = {1: stored_alarm(1)}
        page.goto(address)
        page.get_by_role("textbox", name="Token").fill("guess")
        page.keyboard.press("Enter")
        expect(page.locator("#login-error")).to_contain_text("not known")
        page.get_by_role("textbox", name="Token").fill("view-me")
        page.keyboard.press("Enter")
        expect(page.locator("#who")).to_contain_text("(viewer)")
        expect(page.locator("#alarms-list .alarm")).to_be_visible()
        expect(page.get_by_role("button", name="Acknowledge")).to_be_hidden()
        expect(page.locator("#start")).to_be_hidden()
        page.reload()
        expect(page.locator("#who")).to_contain_text("(viewer)")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_screen(page: Page, address: str, monitor: InMemoryMonitor, width: int) -> None:
    long = replace(stored_alarm(1, cohort="dataset=" + "x" * 100).alarm, examples=("t" * 200,))
    monitor.stored = {1: replace(stored_alarm(1), alarm=long)}
    monitor.statuses = [stream_status(key=long.stream)]
    monitor.kept = {1: a_job(1, JobState.FAILED, error="e" * 300, reason="r" * 300)}
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    expect(page.locator("#jobs-list .job")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
