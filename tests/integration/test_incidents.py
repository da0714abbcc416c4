"""Incidents in a real database: the same however the log is folded, moved by people, ended with their alarms."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from sqlalchemy import Engine, text

from monitor.domain.alarm import AlarmState, ReferenceVerdict, ScorerVerdict, Severity
from monitor.domain.incident import Cause, Incident, IncidentDetail, IncidentFacts, VerdictWait
from monitor.domain.job import JobState, PlannedStart
from monitor.domain.order import Actor, AlarmOrder, Role
from monitor.domain.trace import Trace
from monitor.drift.controller import Controller, ControllerRules
from monitor.errors import Conflict, NotFound
from monitor.ingest.offset import StoredOffset
from monitor.postgres.alarms import PostgresAlarms
from monitor.postgres.checkpoints import PostgresCheckpoints
from monitor.postgres.engine import create_engine_for
from monitor.postgres.incidents import PostgresIncidents, hold_incidents
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.retrain import TriggerRule
from tests.integration.job_parts import Parts, prefer
from tests.program import wait_for
from tests.traces import START, checkpoint, drifting, scored
from tests.watched import rules_of

pytestmark = pytest.mark.postgres
RULES = rules_of(600)
EVE = Actor("eve", Role.OPERATOR)
DAY = timedelta(days=1)
SWAP = [
    structs.replace(item, policy_model="chat-2") if number >= 900 else item
    for number, item in enumerate(drifting(1500, change=900))
]


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine_for(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def incidents(engine: Engine) -> PostgresIncidents:
    return PostgresIncidents(engine)


def fold(engine: Engine, traces: Sequence[Trace], *, step: int, rules: ControllerRules = RULES, start: int = 0) -> None:
    """Store *traces*, *step* in each checkpoint, and fold after each as a leader that has just begun."""
    checkpoints = PostgresCheckpoints(engine, group_id="group", max_cohorts=50)
    checkpoints.begin({("traces", 0): StoredOffset(start)})
    for first in range(0, len(traces), step):
        checkpoints.write(checkpoint(scored(traces[first : first + step]), start=start + first))
        controller = Controller(PostgresFoldStore(engine), rules)
        while controller.tick().folded < start + min(first + step, len(traces)):
            pass


def detail(incidents: PostgresIncidents, incident: Incident) -> IncidentDetail:
    found = incidents.incident(incident.incident_id)
    assert found is not None
    return found


def described(incidents: PostgresIncidents) -> list[tuple[IncidentFacts, list[tuple[str, ...]]]]:
    """Return each incident without its number, its alarms by what they say."""
    return [
        (
            item.facts,
            sorted((str(row.alarm.stream), row.alarm.severity, row.state) for row in detail(incidents, item).alarms),
        )
        for item in reversed(incidents.incidents(states=(), limit=100))
    ]


def audited(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.begin() as connection:
        query = text("select actor, action, subject from audit order by 1, 2, 3")
        return [tuple(row) for row in connection.execute(query)]


def test_a_model_swap_is_one_page_that_names_the_model_however_the_log_is_cut(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    fold(engine, SWAP, step=1500)
    whole = described(incidents)
    [(facts, members)] = whole
    assert facts.pages
    assert "response_length up in * and 2 cohorts" in facts.summary
    assert len(members) > facts.members, "the warnings that alerts took the place of"
    assert facts.causes[0].cause is Cause.POLICY_MODEL
    assert "chat-2 came at 2025-03-01 05:" in facts.causes[0].because
    with engine.begin() as connection:
        tables = "detector, fold_position, alarm, incident, baseline, baseline_trace, log_entry, log_subject"
        connection.execute(text(f"truncate {tables}, observation_batch, stored_trace, checkpoint, trace, repeat_key,"
                                " consumer_offset, running_total, score cascade"))  # fmt: skip
    fold(engine, SWAP, step=70)
    assert described(incidents) == whole


def test_a_warning_and_the_rest_are_one_incident_where_its_alert_comes_in_the_same_step(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    fold(engine, drifting(2600, change=2500), step=2000)
    [(facts, members)] = described(incidents)
    assert (facts.opened_at - START).total_seconds() < 2000, "a warning came long before the rest"
    assert all(state == "superseded" for _, severity, state in members if severity == "warning")


def test_people_acknowledge_snooze_and_reopen_an_incident_with_its_alarms(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    fold(engine, SWAP, step=1500)
    [incident] = incidents.open_incidents()
    number, alarms = incident.incident_id, PostgresAlarms(engine)
    seen = incidents.order_incident(number, AlarmOrder.ACKNOWLEDGE, actor=EVE)
    assert (seen.incident.facts.state, seen.incident.facts.acknowledged_by) == (AlarmState.ACKNOWLEDGED, "eve")
    assert alarms.open_alarms() == ()
    with pytest.raises(Conflict, match=f"incident {number} is acknowledged; acknowledge wants one that is open"):
        incidents.order_incident(number, AlarmOrder.ACKNOWLEDGE, actor=EVE)
    asleep = incidents.order_incident(number, AlarmOrder.SNOOZE, actor=EVE, snooze=DAY)
    assert asleep.incident.facts.snoozed_until is not None
    incidents.wake()
    assert incidents.open_incidents() == ()
    with engine.begin() as connection:
        connection.execute(text("update alarm set snoozed_until = now() where state = 'snoozed'"))
    incidents.wake()
    assert [item.incident_id for item in incidents.open_incidents()] == [number]
    live = [row.alarm_id for row in detail(incidents, incident).alarms if row.state is AlarmState.OPEN]
    alerts = [row for row in live if (found := alarms.alarm(row)) and found.alarm.severity is Severity.ALERT]
    for alarm_id in alerts:
        alarms.order_alarm(alarm_id, AlarmOrder.ACKNOWLEDGE, actor=EVE)
    assert detail(incidents, incident).incident.facts.state is AlarmState.ACKNOWLEDGED
    alarms.order_alarm(alerts[0], AlarmOrder.REOPEN, actor=EVE)
    assert detail(incidents, incident).incident.facts.pages
    with pytest.raises(NotFound):
        incidents.order_incident(number + 1, AlarmOrder.REOPEN, actor=EVE)
    asked = {(action, subject) for _, action, subject in audited(engine)}
    about = f"incident {number}"
    assert {("incident.acknowledge", about), ("incident.snooze", about)} <= asked
    assert {("alarm.acknowledge", f"alarm {alerts[0]}"), ("alarm.reopen", f"alarm {alerts[0]}")} <= asked


def test_an_incident_recovers_with_its_last_alarm_and_what_drifts_then_is_another(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    rules = rules_of(600, patience=150)
    drifted = [*drifting(1300, change=700)[:1000], *drifting(1300, change=1300, seed=1)[1000:]]
    calm = [structs.replace(item, trace_id=f"calm-{item.trace_id}") for item in drifted[:600]]
    fold(engine, [*drifted, *calm], step=100, rules=rules)
    [first] = incidents.incidents(states=(), limit=10)
    assert first.facts.state is AlarmState.RECOVERED
    again = [
        structs.replace(item, trace_id=f"again-{item.trace_id}") for item in drifting(1600, change=1300, seed=2)[1300:]
    ]
    fold(engine, again, step=100, rules=rules, start=1900)
    second, same = incidents.incidents(states=(), limit=10)
    assert (second.facts.pages, same.facts.state) == (True, AlarmState.RECOVERED)
    store = PostgresFoldStore(engine)
    active = store.active()
    assert active is not None
    store.freeze(active.baseline, by="eve", note="as it is now")
    assert {item.facts.state for item in incidents.incidents(states=(), limit=10)} == {AlarmState.SUPERSEDED}


def test_verdicts_are_kept_rank_the_causes_and_end_a_page_that_the_prompts_explain(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    fold(engine, drifting(1500, change=900), step=1500)
    [incident], alarms = incidents.open_incidents(), PostgresAlarms(engine)
    alerts = [row.alarm_id for row in detail(incidents, incident).alarms if row.alarm.severity is Severity.ALERT]
    alarms.set_scorer_verdict(alerts[0], ScorerVerdict.SCORER_CHANGED, note="anchor +0.3")
    stored = alarms.alarm(alerts[0])
    assert stored is not None
    assert (stored.scorer_verdict, stored.scorer_note) == (ScorerVerdict.SCORER_CHANGED, "anchor +0.3")
    assert detail(incidents, incident).incident.facts.causes[0].cause is Cause.SCORER
    for alarm_id in alerts:
        assert detail(incidents, incident).incident.facts.pages
        alarms.set_reference_verdict(alarm_id, ReferenceVerdict.TRAFFIC_CHANGED)
    assert not detail(incidents, incident).incident.facts.pages
    with pytest.raises(NotFound):
        alarms.set_reference_verdict(10_000, ReferenceVerdict.UNDECIDED)


def test_a_page_waits_for_the_verdict_as_long_as_anybody_may_have_patience(
    engine: Engine, incidents: PostgresIncidents
) -> None:
    fold(engine, drifting(1500, change=900), step=1500)
    [incident], wait = incidents.open_incidents(), VerdictWait(frozenset({"response_length", "refusal"}), DAY)
    assert incidents.open_incidents(wait) == ()
    assert incidents.open_incidents(replace(wait, signals=frozenset({"response_length"}))) == (incident,)
    assert incidents.open_incidents(replace(wait, patience=timedelta(microseconds=1))) == (incident,)
    alerts = [row.alarm_id for row in detail(incidents, incident).alarms if row.alarm.severity is Severity.ALERT]
    PostgresAlarms(engine).set_reference_verdict(alerts[0], ReferenceVerdict.POLICY_CHANGED)
    assert [item.incident_id for item in incidents.open_incidents(wait)] == [incident.incident_id]


def test_one_incident_starts_one_job_of_an_action_and_a_snoozed_one_none(
    engine: Engine, incidents: PostgresIncidents, parts: Parts
) -> None:
    fold(engine, SWAP, step=1500)
    [incident] = incidents.open_incidents()
    rule = TriggerRule(signals=("response_length", "refusal"), cooldown_seconds=0, min_new_pairs=1, only_when="policy")
    jobs = parts.ruled_by(rules=[rule])
    prefer(engine, "p-1")

    def answer() -> PlannedStart:
        [planned] = jobs.plan()
        [started] = jobs.start_due()
        assert (started.decision, started.detail) == (planned.decision, planned.detail)
        return started

    incidents.order_incident(incident.incident_id, AlarmOrder.SNOOZE, actor=EVE, snooze=DAY)
    assert answer().decision == "incident_snoozed"
    incidents.order_incident(incident.incident_id, AlarmOrder.REOPEN, actor=EVE)
    assert answer().decision == "launch"
    assert parts.job().reason.startswith(f"incident {incident.incident_id}, alarm ")
    assert answer().decision == "approval"
    end = "update job set state = :state, created_at = now() - interval '9 days', updated_at = now() - :ago"

    def ended(state: JobState, ago: timedelta) -> PlannedStart:
        """Let the job have ended: all alarms but its own came after it."""
        with engine.begin() as connection:
            connection.execute(text(end), {"state": state, "ago": ago})
        [planned] = jobs.plan()
        return planned

    assert ended(JobState.CANCELLED, 8 * DAY).decision == "alarm_answered"
    assert ended(JobState.PROMOTED, 8 * DAY).decision == "alarm_answered"
    assert ended(JobState.FAILED_GATE, timedelta(hours=5)).decision == "backoff"
    assert ended(JobState.FAILED_GATE, timedelta(hours=7)).decision == "launch"
    with engine.begin() as connection:  # the stream goes on after the promotion
        connection.execute(text("update detector set last_timestamp = now()"))
    assert ended(JobState.PROMOTED, DAY).decision == "launch"
    alarms = PostgresAlarms(engine)
    for alarm in alarms.open_alarms():
        alarms.set_reference_verdict(alarm.alarm_id, ReferenceVerdict.TRAFFIC_CHANGED)
    [planned] = jobs.plan()
    assert (planned.decision, "shown cause: input_shift" in planned.detail) == ("other_cause", True)


def test_an_order_waits_for_the_step_that_is_being_stored(engine: Engine, incidents: PostgresIncidents) -> None:
    fold(engine, SWAP, step=1500)
    [incident] = incidents.open_incidents()
    with engine.begin() as step:
        hold_incidents(step)
        order = threading.Thread(
            target=incidents.order_incident,
            args=(incident.incident_id, AlarmOrder.ACKNOWLEDGE),
            kwargs={"actor": EVE},
        )
        order.start()
        waiting = text("select count(*) from pg_locks where locktype = 'advisory' and not granted")
        with engine.connect() as watching:
            wait_for(lambda: bool(watching.execute(waiting).scalar_one()), "the order that waits")
        assert [item.incident_id for item in incidents.open_incidents()] == [incident.incident_id]
    order.join(10)
    assert incidents.open_incidents() == ()
