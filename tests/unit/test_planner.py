"""What would start now: rules and the calendar, the budget, quiet hours, and all that holds a start at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.app.probes import cron_of
from monitor.domain.job import Action, Hold, JobState, Launch
from monitor.errors import InvalidSetting
from monitor.retraining.budget import gpu_hours, hold_budget, quiet_until, run_times
from monitor.retraining.cause import NO_VERDICTS
from monitor.retraining.planner import Planned, Planner
from monitor.retraining.records import AlarmFact, JobFact, JobStep, LearningFacts, RaterFacts, RunTime, TriggerFacts
from monitor.retraining.schedule import hold_not_due, next_fire, parse_cron, periodic_rules
from monitor.settings.probes import ProbeSettings
from monitor.settings.retrain import BudgetSettings, PeriodicRule, RetrainSettings, TriggerRule
from monitor.stats.agreement import Turnover
from tests.unit.test_trigger import ALARM, HOUR, JOB, MINUTE, NOW

RULE = TriggerRule(signals=("reward",), cooldown_seconds=3600, min_new_pairs=100)
NIGHTLY = PeriodicRule(cron="0 3 * * *")
DAY = timedelta(days=1)
RUN = RunTime(NOW - 3 * HOUR, NOW - HOUR)


@dataclass
class InMemoryFacts:
    """Facts that a test sets; what takes long to know is counted."""

    alarms: tuple[AlarmFact, ...] = (ALARM,)
    jobs: tuple[JobFact, ...] = ()
    runs: tuple[RunTime, ...] = ()
    lacks: Hold | None = None
    learning: LearningFacts = field(default_factory=lambda: LearningFacts(500, RaterFacts()))
    since: datetime | None = None
    asked: int = 0

    def trigger_facts(self, action: Action) -> TriggerFacts:
        return TriggerFacts(self.alarms, self.jobs, self.runs, self.lacks)

    def learning_facts(self, action: Action) -> LearningFacts:
        self.asked += 1
        return self.learning

    def calendar_since(self, action: Action, cron: str) -> datetime | None:
        return self.since


def plan(facts: InMemoryFacts, *, now: datetime = NOW, **settings: Any) -> Planned:
    [planned] = Planner(RetrainSettings(**settings), NO_VERDICTS).plans(facts, now)
    return planned


def reasons(planned: Planned) -> list[str]:
    return [hold.reason for hold in planned.holds]


@pytest.mark.parametrize(
    ("approval", "told"), [("manual", "; it will wait for an operator's approval"), ("automatic", "")]
)
def test_an_alert_starts_a_job_and_says_what_it_would_learn_from(approval: str, told: str) -> None:
    planned = plan(InMemoryFacts(), rules=[RULE.model_copy(update={"approval": approval})])
    assert planned.launch == Launch(Action.REWARD_REFRESH, alarm_id=7, needs_approval=approval == "manual")
    shown = planned.shown()
    assert (shown.decision, shown.holds) == ("launch", ())
    assert shown.detail == f"incident 3, alarm 7 on reward, 500 new preference pairs{told}"


def test_what_takes_long_to_know_is_asked_only_where_a_job_would_start() -> None:
    facts = InMemoryFacts(jobs=(replace(JOB, state=JobState.RUNNING),))
    assert reasons(plan(facts, rules=[RULE])) == ["job_running", "cooldown"]
    assert facts.asked == 0
    short = InMemoryFacts(learning=LearningFacts(9, RaterFacts()))
    assert reasons(plan(short, rules=[RULE])) == ["too_few_pairs"]
    assert short.asked == 1


def test_all_that_holds_a_start_is_told_with_its_end() -> None:
    failed = replace(JOB, moved_at=NOW - HOUR, created_at=NOW - 4 * MINUTE)
    budget = {"quiet_hours": "11:00-14:00", "gpu_hours_a_week": 2.0}
    facts = InMemoryFacts(jobs=(failed,), runs=(RUN,))
    planned = plan(facts, rules=[RULE], budget=BudgetSettings(**budget))
    assert {hold.reason: hold.until for hold in planned.holds} == {
        "backoff": NOW + 5 * HOUR,
        "cooldown": NOW + 56 * MINUTE,
        "quiet_hours": NOW + 2 * HOUR,
        "budget": RUN.started_at + 7 * DAY + timedelta(seconds=1),
    }
    shown = planned.shown()
    assert (shown.decision, shown.until, shown.holds) == ("backoff", NOW + 5 * HOUR, planned.holds)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(InMemoryFacts(alarms=()), id="no_alarm"),
        pytest.param(InMemoryFacts(jobs=(replace(JOB, state=JobState.CANCELLED),)), id="alarm_answered"),
        pytest.param(InMemoryFacts(lacks=Hold("no_policy", "there is none")), id="no_policy"),
    ],
)
def test_where_nothing_asks_or_nothing_could_run_the_rest_is_not_told(
    facts: InMemoryFacts, request: pytest.FixtureRequest
) -> None:
    planned = plan(facts, rules=[RULE], budget=BudgetSettings(quiet_hours="11:00-14:00"))
    assert reasons(planned) == [request.node.callspec.id]


@pytest.mark.parametrize(("minutes", "held"), [(59, True), (60, False)])
def test_a_later_alarm_waits_out_the_cooldown(minutes: int, held: bool) -> None:
    earlier = replace(JOB, created_at=NOW - minutes * MINUTE, alarm_id=2, incident_id=1, moved_at=NOW - 50 * MINUTE)
    facts = InMemoryFacts(alarms=(replace(ALARM, created_at=NOW),), jobs=(earlier,))
    assert reasons(plan(facts, rules=[RULE])) == (["cooldown"] if held else [])


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (JobState.AWAITING_APPROVAL, Hold("approval", "job 12 waits for an operator: `jobs approve 12`")),
        (JobState.PASSED, Hold("approval", "job 12 has passed its gate and waits for its promotion")),
        (JobState.QUEUED, Hold("job_running", "job 12 is queued; one of an action can be live")),
    ],
)
def test_a_live_job_holds_and_says_whom_it_waits_for(state: JobState, told: Hold) -> None:
    assert plan(InMemoryFacts(jobs=(replace(JOB, state=state),)), rules=[RULE]).holds[0] == told


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        pytest.param("22:00-06:00", "21T21:59:59", None, id="a second before a night"),
        pytest.param("22:00-06:00", "21T22:00", "22T06:00", id="before midnight"),
        pytest.param("22:00-06:00", "22T00:00", "22T06:00", id="at midnight"),
        pytest.param("22:00-06:00", "22T06:00", None, id="at its end"),
        pytest.param("09:30-17:00", "21T12:00", "21T17:00", id="within a day"),
        pytest.param("09:30-17:00", "21T23:00", None, id="after a day"),
        pytest.param("18:00-00:00", "21T23:59", "22T00:00", id="until midnight"),
    ],
)
def test_quiet_hours_end(hours: str, now: str, until: str | None) -> None:
    assert quiet_until(hours, at(now)) == (None if until is None else at(until))


@given(first=st.times(), last=st.times(), now=st.datetimes(timezones=st.just(UTC), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_one_of_two_complementary_quiet_hours_always_holds_and_ends_within_a_day(
    first: Any, last: Any, now: datetime
) -> None:
    words = f"{first:%H:%M}", f"{last:%H:%M}"
    if words[0] == words[1]:
        with pytest.raises(ValidationError, match="leave no time"):
            BudgetSettings(quiet_hours="-".join(words))
        return
    ends = quiet_until("-".join(words), now), quiet_until("-".join(reversed(words)), now)
    [until] = [end for end in ends if end is not None]
    assert now < until <= now + DAY
    assert quiet_until(f"{words[0]}-{words[1]}", until) != until


def test_runs_are_counted_by_their_jobs_steps_with_attempts_that_failed_or_were_lost() -> None:
    def step(job_id: int, state: JobState, hours: float) -> JobStep:
        return JobStep(job_id, state, NOW + hours * HOUR)

    steps = [
        step(1, JobState.LEASED, -9),
        step(1, JobState.RUNNING, -8),
        step(2, JobState.RUNNING, -7),
        step(1, JobState.QUEUED, -6),  # failed
        step(1, JobState.RUNNING, -5),
        step(1, JobState.RUNNING, -4.5),  # taken up again
        step(2, JobState.CANCELLED, -4),
        step(1, JobState.EVALUATING, -3),
        step(3, JobState.RUNNING, -1),
    ]
    runs = run_times(steps)
    assert sorted((run.started_at - NOW) / HOUR for run in runs) == [-8, -7, -5, -1]
    assert gpu_hours(runs, gpus=1, now=NOW) == 2 + 3 + 2 + 1
    assert gpu_hours(runs, gpus=4, now=NOW) == 32
    assert gpu_hours([RunTime(NOW - 8 * DAY, NOW - 7 * DAY + HOUR)], gpus=2, now=NOW) == 2


def test_a_spent_budget_says_what_was_spent_and_when_it_is_free_again() -> None:
    budget = BudgetSettings(gpu_hours_a_week=3.0, gpus_a_run=2)
    until = RUN.started_at + timedelta(minutes=30) + 7 * DAY + timedelta(seconds=1)
    detail = f"4.0 GPU hours in seven days; wanted fewer than 3: so from {until.isoformat()} on"
    assert hold_budget(budget, [RUN], NOW) == Hold("budget", detail, until)
    assert hold_budget(budget.model_copy(update={"gpu_hours_a_week": 4.1}), [RUN], NOW) is None
    assert hold_budget(BudgetSettings(), [RUN], NOW) is None


@given(
    spans=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20)), max_size=8),
    allowed=st.integers(1, 60),
)
def test_the_budget_is_free_when_it_says_so_and_not_a_second_before(spans: list[tuple[int, int]], allowed: int) -> None:
    runs = [RunTime(NOW - ago * HOUR, min(NOW, NOW - ago * HOUR + length * HOUR)) for ago, length in spans]
    held = hold_budget(BudgetSettings(gpu_hours_a_week=allowed), runs, NOW)
    if held is None:
        assert gpu_hours(runs, gpus=1, now=NOW) < allowed
        return
    assert held.until is not None
    assert gpu_hours(runs, gpus=1, now=held.until) < allowed
    assert gpu_hours(runs, gpus=1, now=held.until - timedelta(seconds=1)) >= allowed


THREE = datetime(2026, 11, 21, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "now", "next_at"),
    [
        pytest.param(THREE - HOUR, THREE - timedelta(seconds=1), THREE, id="a second early"),
        pytest.param(THREE - HOUR, THREE, None, id="on time"),
        pytest.param(THREE + MINUTE, THREE + HOUR, THREE + DAY, id="already done"),
        pytest.param(THREE - 5 * DAY, THREE, None, id="after days away"),
    ],
)
def test_a_job_at_three_each_night_is_due(last: datetime, now: datetime, next_at: datetime | None) -> None:
    hold = hold_not_due("0 3 * * *", last=last, now=now)
    assert (None if hold is None else hold.until) == next_at


def test_a_line_that_never_fires_says_so() -> None:
    assert hold_not_due("0 0 31 2 *", last=THREE, now=THREE) == Hold("not_due", "never")


@pytest.mark.parametrize(
    ("days", "fires"),
    [
        ("0", "Sun Sun"),
        ("7", "Sun Sun"),
        ("1-5", "Mon Tue"),
        ("0-6", "Sat Sun"),
        ("5-7", "Sat Sun"),
        ("*/2", "Sat Sun"),
        ("0,wed", "Sun Wed"),
        ("sun-tue", "Sun Mon"),
        ("*", "Sat Sun"),
    ],
)
def test_days_of_the_week_are_counted_as_a_crontab_counts_them(days: str, fires: str) -> None:
    found, after = [], THREE - MINUTE  # on a Saturday
    for _ in range(2):
        fire = next_fire(f"0 3 * * {days}", after)
        assert fire is not None
        found.append(f"{fire:%a}")
        after = fire
    assert " ".join(found) == fires


@pytest.mark.parametrize("line", ["61 * * * *", "* * *", "0 3 * * 6-1", "0 3 * * 8", "0 3 * * */0"])
def test_a_wrong_crontab_is_named_with_its_setting_and_what_was_wanted(line: str) -> None:
    settings = RetrainSettings(periodic=(NIGHTLY, PeriodicRule(cron=line)))
    setting, rule = list(periodic_rules(settings).items())[1]
    with pytest.raises(InvalidSetting, match=r"^retrain\.periodic\[1\]\.cron = .*five crontab fields"):
        parse_cron(rule.cron, setting=setting)


def test_refresh_cron_is_one_more_line_of_the_calendar() -> None:
    settings = RetrainSettings(refresh_cron="0 3 * * *", periodic=(PeriodicRule(cron="0 4 * * *", action=Action.DPO),))
    assert periodic_rules(settings) == {
        "retrain.refresh_cron": PeriodicRule(cron="0 3 * * *", action=Action.REWARD_REFRESH, min_new_pairs=1),
        "retrain.periodic[0].cron": PeriodicRule(cron="0 4 * * *", action=Action.DPO),
    }


DUE = THREE + MINUTE
SOME_DAYS_AGO = THREE - 3 * DAY


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param({}, None, id="starts, once for all fires that were missed"),
        pytest.param({"since": None}, "not_due", id="counts from when the leader first reads it"),
        pytest.param({"jobs": (replace(JOB, created_at=THREE, moved_at=THREE),)}, "not_due", id="is done"),
        pytest.param(
            {"jobs": (replace(JOB, created_at=SOME_DAYS_AGO, state=JobState.RUNNING),)},
            "job_running",
            id="waits for a job that runs",
        ),
        pytest.param(
            {"jobs": (replace(JOB, created_at=SOME_DAYS_AGO, moved_at=THREE - HOUR),)},
            "backoff",
            id="waits after a failure",
        ),
        pytest.param({"learning": LearningFacts(0, RaterFacts())}, "too_few_pairs", id="wants something new"),
        pytest.param(
            {"learning": LearningFacts(9, RaterFacts(turnover=Turnover(0.5, 0.0, 90)))},
            "rater_turnover",
            id="wants annotators as a rule does",
        ),
    ],
)
def test_a_line_of_the_calendar_that_is_due(facts: dict[str, Any], reason: str | None) -> None:
    planned = plan(InMemoryFacts(**({"since": SOME_DAYS_AGO} | facts)), now=DUE, refresh_cron="0 3 * * *")
    assert reasons(planned) == ([] if reason is None else [reason])
    if reason is None:
        assert planned.launch == Launch(Action.REWARD_REFRESH, None, needs_approval=False)
        assert planned.reason == "periodic reward_refresh (0 3 * * *), 500 new preference pairs"


def test_a_line_that_quiet_hours_hold_stays_due_until_they_end() -> None:
    facts, quiet = InMemoryFacts(since=SOME_DAYS_AGO), BudgetSettings(quiet_hours="22:00-06:00")
    held = plan(facts, now=DUE, periodic=(NIGHTLY,), budget=quiet)
    assert held.holds == (Hold("quiet_hours", "22:00-06:00 UTC: until 2026-11-21T06:00:00+00:00", at("21T06:00")),)
    assert held.rule == "retrain.periodic[0].cron 0 3 * * *"
    assert plan(facts, now=at("21T06:00"), periodic=(NIGHTLY,), budget=quiet).launch is not None


@pytest.mark.parametrize("day", ["0", "7", "sun"])
def test_probes_read_a_crontab_s_days_as_the_calendar_does(day: str) -> None:
    at = cron_of(ProbeSettings(cron=f"0 3 * * {day}")).get_next_fire_time(None, datetime(2026, 11, 18, tzinfo=UTC))
    assert at == datetime(2026, 11, 22, 3, tzinfo=UTC)  # a Sunday
