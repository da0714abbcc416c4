"""Asking the released policy again: real prompts of a real log, a real server, and the verdict on the alarm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from monitor.app.reference import asking_again
from monitor.demo.traffic import DRIFTED, NORMAL, Phase
from monitor.domain.alarm import ReferenceVerdict, Severity
from monitor.domain.incident import severity_of
from monitor.postgres.engine import transaction
from monitor.rewards.http import HttpEnsemble, HttpScorer
from monitor.rewards.turns import SharedScorer
from monitor.settings.reference import ReferenceSettings
from monitor.signals.refusal.observers import refusal_model
from monitor.telemetry.reference import ReferenceMetrics
from tests.commands import Run
from tests.integration.reasking import BASELINE, Ward, calls, like_short, settings_of
from tests.program import wait_for
from tests.real_kafka import ROOT
from tests.reference_server import Reply, TroubledServer

pytestmark = pytest.mark.postgres
REFUSALS = refusal_model().version
ASKING, POLICY, TRAFFIC, UNDECIDED = ReferenceVerdict
CHANGED = replace(DRIFTED, name="changed", length_factor=2.0, refusal_rate=NORMAL.refusal_rate)
REFUSING = replace(NORMAL, name="refusing", refusal_rate=0.25)


@pytest.fixture
def ward(engine: Engine) -> Ward:
    """A baseline about billing; from then on everybody asks about code, which takes longer answers."""
    ward = Ward(engine)
    ward.write(calls(NORMAL, "billing", BASELINE))
    return ward


def drift(ward: Ward, phase: Phase = NORMAL, *, traces: int = 1600) -> None:
    ward.write(calls(phase, "coding", traces, first=BASELINE))


def test_longer_answers_to_other_prompts_are_a_change_of_the_traffic(ward: Ward) -> None:
    drift(ward)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer() as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url))
    assert verdict is TRAFFIC, note
    assert set(server.asked.values()) == {1}
    assert note.startswith("response_length")


@pytest.mark.parametrize(
    ("phase", "signal", "scorer"), [(CHANGED, "response_length", "reported"), (REFUSING, "refusal", REFUSALS)]
)
def test_another_policy_answers_the_same_prompts_otherwise(ward: Ward, phase: Phase, signal: str, scorer: str) -> None:
    drift(ward, phase)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200, signal=signal, scorer=scorer)
    with TroubledServer() as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url))
    assert verdict is POLICY, note
    assert server.asked.total() < 300


def test_both_answers_are_scored_by_the_same_reward_model(ward: Ward) -> None:
    drift(ward, CHANGED)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200, signal="reward", scorer="short-1")
    with TroubledServer() as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url), score=like_short)
    assert verdict is POLICY, note
    assert note.startswith("reward -")


def test_where_nothing_came_after_the_alarm_its_own_window_is_asked_and_pays_for_its_choice(ward: Ward) -> None:
    drift(ward, CHANGED, traces=400)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 399)
    with TroubledServer() as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url, max_prompts=600))
    assert verdict is POLICY, note
    assert 60 < server.asked.total() <= 300  # those that had no part in the alarm would need some 30


BUSY = Reply(429, headers={"Retry-After": "0"})


def busy(number: int, _prompt: str) -> Reply | None:
    return BUSY if number % 40 == 3 else None


def failing(number: int, _prompt: str) -> Reply | None:
    return Reply(500) if number % 40 == 3 else None


@pytest.mark.parametrize("trouble", [busy, failing], ids=lambda trouble: trouble.__name__)
def test_what_the_server_did_not_take_is_asked_again(
    ward: Ward, trouble: Callable[[int, str], Reply | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.drift.reasker.FIRST_PAUSE_SECONDS", 0.05)
    drift(ward, CHANGED)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer(trouble=trouble) as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url))
    assert verdict is POLICY, note
    assert set(server.answered.values()) == {1}
    assert server.asked.total() > server.answered.total()


def test_requests_that_are_refused_together_are_one_failure(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.drift.reasker.FIRST_PAUSE_SECONDS", 0.05)
    drift(ward, CHANGED)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with capture_logs() as logs, TroubledServer(trouble=lambda number, _: BUSY if number <= 8 else None) as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url, concurrency=8))
    assert verdict is POLICY, note
    assert [entry["seconds"] for entry in logs if entry["event"] == "reference_waits"] == [0.05] * 8


GARBAGE = [
    pytest.param(Reply(200, b"<html>"), "garbled", id="no JSON"),
    pytest.param(Reply(200, b'{"choices": []}'), "garbled", id="no choice"),
    pytest.param(Reply(200, b'{"choices": [{"message": {"content": null}}]}'), "garbled", id="no text"),
    pytest.param(Reply(200, b"\xff\xfe{"), "garbled", id="no text at all"),
    pytest.param(Reply(400, b"{}"), "rejected", id="a prompt it will not take"),
    pytest.param(Reply(200, b"x", seconds=0.6), "timed_out", id="slow"),
    pytest.param(Reply(504), "timed_out", id="a gateway's time-out"),
]


@pytest.mark.parametrize(("reply", "outcome"), GARBAGE)
def test_what_is_no_answer_is_counted_and_decides_nothing(ward: Ward, reply: Reply, outcome: str) -> None:
    drift(ward, CHANGED, traces=300)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    seconds = 0.3 if reply.seconds else 60.0
    settings = settings_of("", endpoint="http://127.0.0.1:9", max_prompts=20, timeout_seconds=seconds)
    with TroubledServer(trouble=lambda _number, _prompt: reply) as server:
        verdict, note = ward.ask(alarm_id, settings.model_copy(update={"endpoint": server.url, "model": "assistant"}))
    assert verdict is UNDECIDED
    assert note == f"no more prompts may be asked: 20 {outcome}"
    assert ward.outcomes(alarm_id) == [outcome] * 20


def test_slow_answers_that_are_not_waited_for_take_no_side(ward: Ward) -> None:
    """The reference's long answers come too late: what is left would make production look longer."""
    drift(ward)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    policy = TroubledServer()
    with policy as server:
        complete = server._policy.complete

        def late(body: bytes) -> object:
            status, answer = complete(body)
            if len(answer["choices"][0]["message"]["content"]) > 500:
                return 504, {}
            return status, answer

        server._policy.complete = late  # type: ignore[assignment,method-assign]
        verdict, note = ward.ask(alarm_id, settings_of(server.url, max_prompts=300))
    assert verdict is UNDECIDED, note
    assert "timed_out" in note


def test_a_spent_budget_ends_the_asking_and_is_kept_over_leaders(ward: Ward) -> None:
    drift(ward)
    first = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer() as server:
        verdict, note = ward.ask(first, settings_of(server.url, daily_requests=50))
        asked = server.asked.total()
        assert verdict is UNDECIDED
        assert 40 < asked <= 50  # a connection that a busy server refuses is paid for as well
        assert note.startswith("the day's budget is spent: response_length")
        second = ward.raise_alarm(onset=BASELINE, place=BASELINE + 201, signal="refusal", scorer=REFUSALS)
        verdict, _ = ward.ask(second, settings_of(server.url, daily_requests=50))
    assert (verdict, server.asked.total()) == (UNDECIDED, asked)


def test_texts_that_are_forgotten_leave_it_undecided_with_the_reason(ward: Ward, engine: Engine) -> None:
    drift(ward)
    with transaction(engine) as connection:
        connection.execute(text("delete from trace"))
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer() as server:
        verdict, note = ward.ask(alarm_id, settings_of(server.url, max_prompts=40))
    assert (verdict, note) == (UNDECIDED, "no more prompts may be asked: 40 no_text")
    assert not server.asked


def test_an_alarm_in_a_cohort_takes_what_was_answered_for_the_roll_up(ward: Ward) -> None:
    drift(ward, CHANGED, traces=320)
    roll_up = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer(trouble=lambda number, _prompt: Reply(seconds=0.02 * (number % 5))) as server:
        settings = settings_of(server.url, max_prompts=100)
        ward.ask(roll_up, settings)
        asked = server.asked.total()
        cohort = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200, cohort="dataset=all")
        verdict, _ = ward.ask(cohort, settings)
    assert verdict is POLICY
    assert server.asked.total() == asked


def test_an_operator_asks_for_more(ward: Ward, postgres_url: str, run: Run) -> None:
    drift(ward)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    told = run("alarms", "reask", alarm_id, POSTGRES__URL=postgres_url)
    assert (told.code, told.err) == (
        2,
        "rlhf-monitor: drift.reference.endpoint is not set: name a server of the released policy there\n",
    )
    with TroubledServer() as server:
        settings = settings_of(server.url, max_prompts=100)
        assert ward.ask(alarm_id, settings)[0] is UNDECIDED
        for _ in range(11):
            assert run("alarms", "reask", alarm_id, DRIFT__REFERENCE__ENDPOINT=server.url).code == 0
        verdict, note = ward.ask(alarm_id, settings, but_not=UNDECIDED)
    assert verdict is TRAFFIC, note
    assert set(server.asked.values()) == {1}
    assert f"the released policy, asked again: traffic_changed {note}" in run("alarms", "show", alarm_id).out
    errors = ward.raise_alarm(onset=BASELINE, place=BASELINE + 210, signal="error", scorer="reported")
    assert "what can be asked again is a live one on response_length" in run("alarms", "reask", errors).err
    assert "no such alarm" in run("alarms", "reask", errors + 1).err


def test_a_page_waits_for_the_verdict_and_no_longer_than_its_patience(ward: Ward, engine: Engine) -> None:
    drift(ward, CHANGED)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    away = settings_of("http://127.0.0.1:9", model="assistant", patience_seconds=600)
    with ward.reasker(away) as reasker:
        reasker()
    waiting = ward.alarm(alarm_id)
    assert (waiting.reference_verdict, severity_of(waiting)) == (ASKING, Severity.WARNING)
    with ward.reasker(away.model_copy(update={"patience_seconds": 0.001})) as reasker:
        reasker()
    paging = ward.alarm(alarm_id)
    assert (paging.reference_verdict, severity_of(paging)) == (UNDECIDED, Severity.ALERT)
    with TroubledServer() as server:
        assert ward.ask(alarm_id, settings_of(server.url), but_not=UNDECIDED)[0] is POLICY


def test_where_nobody_can_be_asked_any_more_no_page_waits(ward: Ward, engine: Engine) -> None:
    drift(ward)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with ward.reasker(settings_of("http://127.0.0.1:9", model="assistant")) as reasker:
        reasker()
    scorer = SharedScorer(HttpScorer(cast(HttpEnsemble, None)))
    metrics = ReferenceMetrics(CollectorRegistry())
    with asking_again(ReferenceSettings(), engine, scorer=scorer, metrics=metrics) as (duty,):
        assert ward.alarm(alarm_id).reference_verdict is ASKING
        duty.body()
    assert ward.alarm(alarm_id).reference_verdict is UNDECIDED


def asked_at_least(server: TroubledServer, requests: int) -> bool:
    return server.asked.total() >= requests


def test_a_leader_that_is_killed_leaves_what_was_answered_to_the_next(ward: Ward, postgres_url: str) -> None:
    drift(ward, traces=1600)
    alarm_id = ward.raise_alarm(onset=BASELINE, place=BASELINE + 200)
    with TroubledServer(trouble=lambda _number, _prompt: Reply(seconds=0.2)) as server:
        command = [sys.executable, "-m", "tests.integration.reasking_program", postgres_url, server.url]
        for stop in (60, 130):
            with subprocess.Popen(command, cwd=ROOT) as process:
                wait_for(partial(asked_at_least, server, stop), f"{stop} requests")
                process.kill()
        answered = sum(outcome == "answered" for outcome in ward.outcomes(alarm_id))
        assert answered > 60
        server.trouble = lambda _number, _prompt: None
        verdict, note = ward.ask(alarm_id, settings_of(server.url))
    assert verdict is TRAFFIC, note
    twice = sum(times > 1 for times in server.asked.values())
    assert 0 < twice <= 2 * 16  # what was on its way at the two kills
    assert max(server.asked.values()) <= 3
