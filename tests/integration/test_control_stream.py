"""The control stream: a share of all prompts is asked again, and the log tells how the answers differ."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine

from monitor.app.reference import control_of, reference_of
from monitor.demo.traffic import DRIFTED, NORMAL, Phase
from monitor.domain.observation import Source
from monitor.drift.comparison import Comparison
from monitor.drift.control import is_drawn
from monitor.drift.stored import FoldPosition
from monitor.postgres.streams import PostgresFoldStore
from monitor.settings.reference import ReferenceSettings
from monitor.telemetry.reference import ReferenceMetrics
from tests.integration.reasking import Ward, calls, settings_of, unscored
from tests.reference_server import Reply, TroubledServer

pytestmark = pytest.mark.postgres
RATIO = 0.25
LONGER = replace(DRIFTED, name="longer", length_factor=2.0, refusal_rate=NORMAL.refusal_rate)


def control(engine: Engine, settings: ReferenceSettings, *, until: int) -> None:
    """Do the duty until the log is looked at up to the place *until*."""
    with closing(reference_of(settings)) as policy:
        metrics = ReferenceMetrics(CollectorRegistry())
        duty = control_of(settings, engine, comparison=Comparison(policy, unscored), metrics=metrics)
        deadline = time.monotonic() + 60
        while (duty._store.control_place() or 0) < until:
            assert time.monotonic() < deadline
            duty()
            time.sleep(0.005)


def written(engine: Engine) -> dict[str, np.ndarray]:
    """Return what the log holds of the control stream, by signal."""
    store = PostgresFoldStore(engine)
    store.place_entries()
    values: dict[str, list[float]] = {}
    for entry in store.entries(FoldPosition(1, 0), max_places=100_000):
        if entry.source is Source.REFERENCE:
            for batch in entry.observations:
                assert batch.series.policy_model == "assistant"
                assert set(batch.cohorts) == {"dataset=all"}
                values.setdefault(batch.series.signal, []).extend(batch.values)
    return {signal: np.array(found) for signal, found in values.items()}


@pytest.mark.parametrize(("phase", "shift"), [(NORMAL, 0.0), (LONGER, 0.4)], ids=["the same policy", "a longer one"])
def test_the_log_tells_how_production_differs_whatever_is_asked(engine: Engine, phase: Phase, shift: float) -> None:
    ward = Ward(engine)
    ward.write(calls(NORMAL, "billing", 40))
    with TroubledServer() as server:
        settings = settings_of(server.url, control_ratio=RATIO)
        control(engine, settings, until=40)
        assert not server.asked  # what was there before it was switched on is let go
        ward.write(calls(phase, "coding", 600, first=40))
        control(engine, settings, until=640)
    told = written(engine)
    assert set(server.asked.values()) == {1}
    assert len(told["control_length"]) == len(told["control_refusal"]) == server.asked.total()
    assert server.asked.total() == is_drawn(np.arange(40, 640), RATIO).sum()
    error = 4 * 0.65 / server.asked.total() ** 0.5
    assert told["control_length"].mean() == pytest.approx(shift, abs=error)


def test_late_answers_count_as_no_difference_and_a_server_that_is_away_as_nothing(engine: Engine) -> None:
    ward = Ward(engine)
    replies = iter([Reply(504), Reply(503)] * 1000)
    with TroubledServer(trouble=lambda _number, _prompt: next(replies)) as server:
        settings = settings_of(server.url, control_ratio=1.0, concurrency=1)
        ward.write(calls(LONGER, "coding", 10))
        control(engine, settings, until=10)
        ward.write(calls(LONGER, "coding", 10, seed=1, first=10))
        control(engine, settings, until=20)
    assert server.asked.total() == 10
    assert written(engine)["control_length"].tolist() == [0.0] * 5


def test_a_spent_budget_lets_the_rest_of_the_sample_go(engine: Engine) -> None:
    ward = Ward(engine)
    ward.write(calls(NORMAL, "billing", 10))
    with TroubledServer() as server:
        settings = settings_of(server.url, control_ratio=1.0, daily_requests=30)
        control(engine, settings, until=10)
        ward.write(calls(NORMAL, "coding", 100, first=10))
        control(engine, settings, until=110)
    assert server.asked.total() == 30
    assert len(written(engine)["control_length"]) == 30


def test_the_sample_has_its_share_of_all_places_and_is_not_what_alarms_ask_first() -> None:
    places = np.arange(100_000)
    assert is_drawn(places, 0.01).mean() == pytest.approx(0.01, abs=0.001)
    assert not is_drawn(places, 0.0).any()
    assert is_drawn(places, 1.0).all()
