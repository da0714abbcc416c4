"""Laws of what labels tell, before they are in a database: which are frozen, and what may be bet on them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from monitor.domain.observation import LogEntry, Source, Subjects, micros_of
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.controller import freeze_window
from monitor.drift.freeze import NullRule, Window, build_signal_baseline
from monitor.drift.late import MORE, LateLaws
from monitor.drift.null import Foretold, Null
from monitor.labels.block import BlockRule
from monitor.observe.gather import gather
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.signals.estimand import REWARD_ACCURACY, WIN_RATE, WIN_RATE_LC
from monitor.stats.edetector import LOSS_LIMIT
from monitor.stats.length_control import MOST_LENGTH
from tests.blocks import Traces, settle_all, traces
from tests.traces import START, scored, trace

EMPTY = Baseline(0, 0, ())


def settled(given_traces: Traces) -> InMemoryLog:
    log = InMemoryLog()
    for entry in given_traces.entries(range(0, len(given_traces), 100)):
        log.append(entry)
    settle_all(InMemoryBlocks(log, given_traces.labels()), BlockRule(traces=20))
    return log


def test_a_law_waits_for_its_labels_and_is_frozen_once() -> None:
    log = settled(traces(1000, mixed=False))
    span = log.label_span(WIN_RATE, 0)
    assert span is not None
    labels = span.verdicts["any"]
    assert LateLaws(NullRule(), labels + 1).of(EMPTY, log) == []
    laws = LateLaws(NullRule(), labels).of(EMPTY, log)
    assert {law.signal for law in laws} == {WIN_RATE.name, WIN_RATE.rectifier, REWARD_ACCURACY.name}
    assert {law.since for law in laws} == {span.stop_place}
    assert LateLaws(NullRule(), labels).of(EMPTY.extended(laws), log) == []
    (later,) = LateLaws(NullRule(), labels // 4).of(EMPTY.extended(laws), log)
    assert later.signal == WIN_RATE_LC.name


def test_a_law_that_no_cohort_has_labels_enough_for_is_tried_again_with_more_of_them() -> None:
    cohorts = [f"c-{number % 40}" for number in range(2000)]
    scattered = replace(traces(2000, mixed=False), cohorts=cohorts)
    log, late = InMemoryLog(), LateLaws(NullRule(), 60)
    store, found = InMemoryBlocks(log, scattered.labels()), []
    for entry in scattered.entries(range(0, 2000, 20)):
        log.append(entry)
        settle_all(store, BlockRule(traces=20))
        found += [(law.signal, len(log.records)) for law in late.of(EMPTY, log) if law.signal == REWARD_ACCURACY.name]
    assert found == []
    span = log.label_span(WIN_RATE, 0)
    assert span is not None
    assert span.compared["e-1"] / 40 < 20 < MORE * 20


def test_a_window_lasts_as_long_as_its_traces_took_however_old_those_are_whose_labels_came_meanwhile() -> None:
    log, old = InMemoryLog(), START - timedelta(days=9)
    log.append(gather(scored([trace(number) for number in range(400)])))
    log.append(LogEntry(Source.LABELS, Subjects(("t",) * 400, micros_of([old] * 400))))
    baseline = freeze_window(log, NullRule(), first_place=0, stop_place=800)
    assert baseline.window_days == pytest.approx(400 / 86_400, rel=0.05)


def law_of(values: np.ndarray) -> SignalBaseline:
    rows = len(values)
    window = Window(WIN_RATE.name, "any", ["koala"] * rows, ["m"] * rows, values, np.arange(rows))
    law = build_signal_baseline(window, NullRule(), None)
    assert law is not None
    return law


@settings(max_examples=200, deadline=None)
@given(
    least=some.floats(1e-3, 1.0),
    then=some.floats(1e-3, 1.0),
    mean=some.floats(-1.0, 1.0),
    spread=some.floats(0.0, 1.0),
    seed=some.integers(0, 5),
)
def test_no_bet_can_lose_everything_on_any_value_whatever_probability_is_stated_later(
    least: float, then: float, mean: float, spread: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    drawn = random.random(400) < least
    law = law_of(np.clip(mean + spread * np.where(drawn, random.normal(size=400) / least, 0.0), -1 / least, 1 / least))
    null = Null.of(law, law.followed("koala", "m"), "koala", window=law.law())
    reach = 1.0 / then + MOST_LENGTH
    values = np.array([-reach, -1.0, 0.0, 0.5, 1.0, reach])
    size = len(values)
    zeros = np.zeros(size)
    prompts = Foretold(np.zeros(size, np.int64), zeros, null.located(np.zeros(size, np.int64), zeros), zeros + 1, zeros)
    beyond = law.scale.beyond(np.full(size, then), null.law)
    channels = law.scale.channels(values, prompts.location, prompts.spread, null.law)
    bets = null.intervals(prompts, distance=zeros, stakes=zeros + 1, beyond=beyond).increments(channels)
    assert bets.min() >= 1.0 - LOSS_LIMIT - 1e-9


@pytest.mark.parametrize("then", [0.1, 0.01])
def test_a_probability_that_falls_lowers_what_is_staked(then: float) -> None:
    random = np.random.default_rng(0)
    drawn = random.random(4000) < 0.1
    law = law_of(0.5 + np.where(drawn, (random.random(4000) < 0.5) - 0.5, 0.0) / 0.1)
    null = Null.of(law, law.followed("koala", "m"), "koala", window=law.law())
    one = np.zeros(1)
    prompts = Foretold(np.zeros(1, np.int64), one, null.located(np.zeros(1, np.int64), one), one + 1, one)
    channels = law.scale.channels(np.array([5.0]), prompts.location, prompts.spread, null.law)

    def most(probability: float) -> float:
        beyond = law.scale.beyond(np.array([probability]), null.law)
        return float(null.intervals(prompts, distance=one, stakes=one + 1, beyond=beyond).increments(channels).max())

    assert most(then) == pytest.approx(most(0.1)) if then == 0.1 else most(then) < most(0.1)
    assert most(then) > 1.0
