"""Through the whole daemon: the prompts moved, or the model did, or both; and asking again tells them apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from monitor.app.ports import ports_of
from monitor.domain.alarm import AlarmKind, ReferenceVerdict, Severity, StoredAlarm
from monitor.domain.incident import Cause, IncidentDetail, Likelihood
from monitor.domain.trace import Trace
from monitor.postgres.engine import create_engine_for
from monitor.settings.root import Settings
from tests.asked import BRIEF, LONG, SHORT, THOROUGH, Asked, answer, traffic, usual_words
from tests.commands import Run
from tests.program import Site, running, wait_for
from tests.real_kafka import Kafka
from tests.reference_server import Reply, TroubledServer
from tests.traces import line

pytestmark = pytest.mark.postgres
BASELINE, CALM, WATCHED = 1000, 400, 700
USUAL, MOVED = {SHORT: 0.8, LONG: 0.2}, {SHORT: 0.4, LONG: 0.6}
LONGER = 1.4
PROMPTS = [Asked(BASELINE + CALM, USUAL), Asked(WATCHED, MOVED)]
BOTH = [Asked(BASELINE + CALM, USUAL), Asked(WATCHED, MOVED, longer=LONGER)]
HIDDEN = [Asked(BASELINE + CALM, {BRIEF: 0.8, THOROUGH: 0.2}), Asked(WATCHED, {BRIEF: 0.3, THOROUGH: 0.7})]
RUN_LENGTH = 10_000.0


def released(number: int, prompt: str) -> Reply:
    """Answer as the policy did when it was released."""
    text = answer(prompt, np.random.default_rng(number))
    words = len(text.split())
    usage = {"completion_tokens": words, "total_tokens": words + len(prompt.split())}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Reply(body=json.dumps({"choices": [choice], "usage": usage}).encode())


class Watched:
    """What a daemon made of the traffic."""

    def __init__(self, site: Site, traces: Sequence[Trace], **drift: object) -> None:
        self.site, self.traces = site, traces
        rules: dict[str, Any] = {"baseline_traces": BASELINE, "fold_seconds": 0.1, "average_run_length": RUN_LENGTH}
        form = site.form() | {"drift": rules | drift}
        self.settings = Settings(**form)  # type: ignore[arg-type]
        self.alarms: list[StoredAlarm] = []
        self.incidents: list[IncidentDetail] = []
        self.paging = -1

    def watch(self, until: Callable[[Watched], bool] = lambda _: True) -> None:
        self.site.send([line(item) for item in self.traces])
        with running(self.settings):
            wait_for(lambda: self.site.folded() == len(self.traces), "the fold's end")
            wait_for(lambda: until(self.look()), "what was awaited")

    def look(self) -> Watched:
        engine = create_engine_for(self.site.postgres_url, 2)
        ports = ports_of(engine, self.settings)
        self.alarms = list(reversed(ports.alarms.alarms(state=None, limit=100)))
        numbers = [incident.incident_id for incident in ports.incidents.incidents(states=(), limit=100)]
        self.incidents = [found for number in numbers if (found := ports.incidents.incident(number)) is not None]
        self.paging = ports.overview.overview().paging_incidents
        engine.dispose()
        return self

    def alert(self) -> StoredAlarm:
        return next(
            item
            for item in self.alarms
            if (item.alarm.stream.signal, item.alarm.stream.cohort, item.alarm.severity)
            == ("response_length", "*", Severity.ALERT)
        )

    def kinds(self) -> set[tuple[AlarmKind, Severity]]:
        return {(item.alarm.kind, item.alarm.severity) for item in self.alarms}


@pytest.fixture
def site(kafka: Kafka, postgres_url: str) -> Site:
    return Site(kafka, postgres_url)


@pytest.fixture
def explain(run: Run, site: Site) -> Callable[[StoredAlarm], str]:
    def explain(stored: StoredAlarm) -> str:
        settings = {"POSTGRES__URL": site.postgres_url, "DRIFT__AVERAGE_RUN_LENGTH": str(RUN_LENGTH)}
        done = run("alarms", "explain", stored.alarm_id, **settings)
        assert (done.code, done.err) == (0, "")
        return done.out

    return explain


def test_another_mix_of_prompts_is_a_warning_about_the_prompts_and_pages_nobody(
    site: Site, explain: Callable[[StoredAlarm], str]
) -> None:
    watched = Watched(site, traffic(PROMPTS))
    watched.watch()
    assert (AlarmKind.INPUT_SHIFT, Severity.WARNING) in watched.kinds()
    assert {severity for _, severity in watched.kinds()} == {Severity.WARNING}
    assert watched.paging == 0
    shift = next(item for item in watched.alarms if item.alarm.kind is AlarmKind.INPUT_SHIFT)
    said = explain(shift)
    assert "the log decides at the same place, with the same evidence" in said
    assert "asked of late: " in said
    assert "possible cause: input_shift" in said


def test_the_same_with_longer_answers_is_one_page_that_tells_both_shares(
    site: Site, explain: Callable[[StoredAlarm], str]
) -> None:
    watched = Watched(site, traffic(BOTH))
    watched.watch()
    paging = [detail for detail in watched.incidents if detail.incident.facts.pages]
    assert (len(paging), watched.paging) == (1, 1)
    assert {member.alarm.kind for member in paging[0].alarms} == {AlarmKind.DRIFT, AlarmKind.INPUT_SHIFT}

    alert = watched.alert()
    split = alert.alarm.decomposition
    assert split is not None
    since = watched.traces[alert.alarm.onset_place : alert.alarm.place + 1]
    baseline = float(np.mean([item.output_tokens for item in watched.traces[:BASELINE]]))
    prompts = float(np.mean([usual_words(item) for item in since])) - baseline
    assert prompts > 50
    assert split.prompts == pytest.approx(prompts, abs=10.0)
    assert split.model == pytest.approx((LONGER - 1.0) * (prompts + baseline), abs=20.0)

    said = explain(alert)
    assert f"of it: {split.raw:+.3g} tokens: {split.prompts:+.3g} prompts, {split.model:+.3g} model" in said
    assert "the log decides at the same place, with the same evidence" in said
    assert "tokens: tolerance" in said
    assert "at the same time, since " in said
    assert f"example {alert.alarm.examples[0]}: " in said
    assert "in the baseline t-" in said


def asked_again(watched: Watched) -> bool:
    """Say whether every alert has its verdict."""
    alerts = [item for item in watched.alarms if item.alarm.severity is Severity.ALERT]
    return bool(alerts) and all(
        item.reference_verdict not in {None, ReferenceVerdict.ASKING} or item.alarm.stream.signal != "response_length"
        for item in alerts
    )


def test_asked_again_the_released_policy_answers_otherwise_so_the_policy_changed_and_it_pages(
    site: Site, explain: Callable[[StoredAlarm], str]
) -> None:
    with TroubledServer(trouble=released) as server:
        watched = Watched(site, traffic(BOTH), reference={"endpoint": server.url, "model": "assistant"})
        watched.watch(asked_again)
    assert watched.alert().reference_verdict is ReferenceVerdict.POLICY_CHANGED
    [paging] = [detail.incident for detail in watched.incidents if detail.incident.facts.pages]
    first = paging.facts.causes[0]
    assert (first.cause, first.likelihood) == (Cause.POLICY_MODEL, Likelihood.SHOWN)
    assert "shown cause: policy_model: the released policy answers the same prompts otherwise" in explain(
        watched.alert()
    )


def test_what_no_covariate_tells_is_told_by_asking_again_and_pages_nobody(
    site: Site, explain: Callable[[StoredAlarm], str]
) -> None:
    with TroubledServer(trouble=released) as server:
        watched = Watched(site, traffic(HIDDEN), reference={"endpoint": server.url, "model": "assistant"})
        watched.watch(asked_again)
    alert = watched.alert()
    assert AlarmKind.INPUT_SHIFT not in {item.alarm.kind for item in watched.alarms}
    assert alert.alarm.decomposition is not None
    assert abs(alert.alarm.decomposition.prompts) < 0.1 * alert.alarm.decomposition.model
    assert alert.reference_verdict is ReferenceVerdict.TRAFFIC_CHANGED
    assert watched.paging == 0
    assert "shown cause: input_shift: the released policy answers the same prompts alike" in explain(alert)
