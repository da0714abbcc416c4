"""How soon a falling win rate is found, and how often one that has not fallen is: beside labels alone.

Verdicts and opinions are drawn, cut into blocks, settled and folded by the program's own code. A trace's opinion f is
the probability that its answer wins, as far as the reward models know: f = sigmoid(d), d normal. The verdict is drawn
from f shifted by as much as the rate has moved. Where the models disagree is a noisy sign of how unsure they are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.label import Label
from monitor.domain.observation import (
    LogEntry,
    ObservationBatch,
    PlacedEntry,
    Series,
    Source,
    SubjectRef,
    Subjects,
    SubjectWindow,
    micros_of,
)
from monitor.domain.review import SelectionPlan
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, SignalBaseline
from monitor.drift.budget import Budget
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule, build_signal_baseline
from monitor.drift.late import LateLaws
from monitor.drift.log import Excerpt, LabelSpan, windows_of
from monitor.drift.stream import Decision
from monitor.labels.block import BlockRule
from monitor.labels.keeper import BlockKeeper
from monitor.offline.blocks import InMemoryBlocks
from monitor.offline.log import InMemoryLog
from monitor.signals.estimand import REWARD_ACCURACY, REWARD_WIN, WIN_RATE, Estimand
from tests.benchmarks.report import table

Floats = NDArray[np.float64]
START = datetime(2026, 3, 1, tzinfo=UTC)
ENTRY = 1000
SPREAD = 1.75  # of d: then f and a verdict agree in three of four
AVERAGE_RUN_LENGTH = 100_000.0
ALONE = "labels alone"
WINDOW, CHANGE, TRACES = 20_000, 20_000, 120_000
RULES = FoldRules(Budget(average_run_length=AVERAGE_RUN_LENGTH, warnings_per_page=1.0))  # both tiers at the same A
FLOOR = SelectionPlan(least=0.05)
DISPUTED = SelectionPlan(least=0.03, disputed=0.0702, disagreement_above=0.1664)  # a twentieth of all traces, too


@dataclass(frozen=True, slots=True)
class World:
    """Traces in order: what the reward models think of each, what a person would say, and who is asked."""

    cheap: Floats
    verdict: Floats
    probability: Floats
    least: float
    selected: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    before: float = 0.5
    after: float = 0.5
    opinion: str = "good"  # good, useless, anti; from the change on: broken, flattered
    plan: SelectionPlan = FLOOR


def shift_for(rate: float) -> float:
    """Return by how much d must move for the mean verdict to be *rate*."""
    nodes = np.random.default_rng(0).normal(size=200_000) * SPREAD
    low, high = -5.0, 5.0
    while high - low > 1e-4:
        middle = (low + high) / 2.0
        low, high = (middle, high) if float(_sigmoid(nodes + middle).mean()) < rate else (low, middle)
    return low


def draw(scenario: Scenario, traces: int, change: int, rng: np.random.Generator) -> World:
    moved = np.where(np.arange(traces) < change, shift_for(scenario.before), shift_for(scenario.after))
    d = rng.normal(size=traces) * SPREAD
    verdict = (rng.random(traces) < _sigmoid(d + moved)).astype(np.float64)
    known = _sigmoid(d + moved / 2.0)  # the models see half of what has moved
    noise = _sigmoid(rng.normal(size=traces) * SPREAD)
    cheap = {"good": known, "useless": noise, "anti": 1.0 - known}.get(scenario.opinion, known)
    after = np.arange(traces) >= change
    if scenario.opinion == "broken":
        cheap = np.where(after, noise, known)
    if scenario.opinion == "flattered":
        cheap = np.where(after, _sigmoid(d + 0.5), known)
    doubt = cheap * (1.0 - cheap) * rng.lognormal(0.0, 0.3, traces)
    probability = np.array([scenario.plan.probability(value) for value in doubt])
    selected = rng.random(traces) < probability
    return World(cheap, verdict, probability, scenario.plan.least, selected)


def logged(world: World) -> tuple[InMemoryLog, list[Label]]:
    """Return the log as workers would have written it, and the labels."""
    log = InMemoryLog()
    for first in range(0, len(world.cheap), ENTRY):
        part = slice(first, first + ENTRY)
        size = len(world.cheap[part])
        one = np.zeros(size, np.int32), np.arange(size, dtype=np.int64)
        drawn = Series(WIN_RATE.selected, "policy", repr(world.least))
        subjects = Subjects(
            ids=tuple(f"t-{first + number}" for number in range(size)),
            timestamps=micros_of([START + timedelta(seconds=first + number) for number in range(size)]),
        )
        batches = (
            ObservationBatch(Series(REWARD_WIN.name, "policy", "scorer"), ("all",), *one, world.cheap[part]),
            ObservationBatch(drawn, ("all",), *one, world.selected[part].astype(np.float64), world.probability[part]),
        )
        log.append(LogEntry(Source.TRACES, subjects, batches))
    labels = [
        Label(f"l-{row}", START + timedelta(seconds=int(row)), f"t-{row}", WIN_RATE.kind, value, "a")
        for row, value in zip(np.flatnonzero(world.selected), world.verdict[world.selected].tolist(), strict=True)
    ]
    return log, labels


@dataclass(slots=True)
class Window:
    """The log as it was when its window's labels had been counted."""

    log: InMemoryLog
    span: LabelSpan

    def label_span(self, estimand: Estimand, place: int) -> LabelSpan | None:
        return self.span if estimand is WIN_RATE else None

    def window(self, start: int, stop: int, signals: Collection[str] | None = None) -> list[ObservationBatch]:
        return self.log.window(start, stop, signals)

    def subjects(self, start: int, stop: int) -> SubjectWindow:
        return self.log.subjects(start, stop)

    def excerpt(self, stream: StreamKey, start: int, stop: int) -> Excerpt:
        return self.log.excerpt(stream, start, stop)

    def locate(self, places: Sequence[int]) -> list[SubjectRef]:
        return self.log.locate(places)


def with_labels_alone(entry: PlacedEntry) -> PlacedEntry:
    """Return *entry* with its verdicts as a stream of their own, judged as any share is."""
    alone = [
        replace(batch, series=replace(batch.series, signal=REWARD_WIN.name, scorer_version=ALONE), inclusion=None)
        for batch in entry.observations
        if batch.series.signal == WIN_RATE.labelled
    ]
    return replace(entry, observations=(*entry.observations, *alone))


def laws_of(log: InMemoryLog, counted: Sequence[PlacedEntry], span: LabelSpan) -> list[SignalBaseline]:
    """Freeze what the window's traces and their labels tell, by *span* of the log."""
    laws = LateLaws(NullRule(), least_labels=50).of(Baseline(0, 0, ()), Window(log, span))
    alone = [batch.between(0, span.stop_place) for entry in counted for batch in entry.observations]
    alone = [batch for batch in alone if batch.series.scorer_version == ALONE]
    opinions = log.window(0, WINDOW, {REWARD_WIN.name})
    for batches, since in ((alone, span.stop_place), (opinions, WINDOW)):
        for found in windows_of(batches, {REWARD_WIN.name}):
            law = build_signal_baseline(found, NullRule(), None)
            assert law is not None
            laws.append(replace(law, since=since))
    return laws


def alarms_of(world: World) -> dict[str, dict[Severity, int]]:
    """Return each roll-up's first alarm of each severity, as the number of its trace."""
    log, labels = logged(world)
    store = InMemoryBlocks(log, labels)
    BlockKeeper(store, BlockRule()).finish([WIN_RATE], end=log.end.next_place)
    span = log.label_span(WIN_RATE, 0)
    assert span is not None
    settled = store.settled[WIN_RATE.name]
    stop = span.first_place + sum(len(row.items) for row in settled if row.block.stop_place <= WINDOW)
    entries = [with_labels_alone(entry) if entry.source is Source.LABELS else entry for entry in log.records]
    fold = Fold(Baseline(0, 0, tuple(laws_of(log, entries, replace(span, stop_place=stop)))), RULES)
    told: dict[str, dict[Severity, int]] = {}
    for entry in entries:
        for outcome in fold.add(entry):
            if isinstance(outcome, Decision) and outcome.stream.cohort == ALL:
                name = ALONE if outcome.stream.scorer_version == ALONE else outcome.stream.signal
                [seen] = log.locate([outcome.place])
                told.setdefault(name, {}).setdefault(outcome.severity, int((seen.subject_id or "").removeprefix("t-")))
    return told


SCENARIOS = (
    Scenario("nothing moves"),
    Scenario("nothing moves, the ensemble knows nothing", opinion="useless"),
    Scenario("nothing moves, the ensemble is wrong way round", before=0.3, after=0.3, opinion="anti"),
    Scenario("the win rate falls by 5 points", after=0.45),
    Scenario("the same, the disputed asked more", after=0.45, plan=DISPUTED),
    Scenario("the ensemble knows nothing any more", opinion="broken"),
    Scenario("the ensemble is flattered: its opinion rises, people's does not", opinion="flattered"),
)
WATCHED = (WIN_RATE.name, ALONE, WIN_RATE.rectifier, REWARD_WIN.name, REWARD_ACCURACY.name)
LEGEND = f"""
False: alarms in the {WINDOW:,} traces of the window and the {TRACES - WINDOW:,} after it, where nothing the stream
tells has moved. Delay: traces until the alarm, over the runs; one that is not found counts as {TRACES - CHANGE:,}.
Changed: "changed at all", page: "by more than two points"; both at A = {AVERAGE_RUN_LENGTH:,.0f}. One trace in twenty
is labelled. {REWARD_WIN.name} is the ensemble alone: it tells that its own opinion has moved.
"""


def run(seeds: int) -> list[dict[str, Any]]:
    """Play every scenario *seeds* times; print a table, and return its rows."""
    rows = []
    for scenario in SCENARIOS:
        found = [alarms_of(draw(scenario, TRACES, CHANGE, np.random.default_rng([7, seed]))) for seed in range(seeds)]
        for signal in WATCHED:
            row: dict[str, Any] = {"scenario": scenario.name, "signal": signal, "runs": seeds}
            for tier, severity in (("changed", Severity.WARNING), ("page", Severity.ALERT)):
                at = [told.get(signal, {}).get(severity) for told in found]
                delays = [TRACES - CHANGE if place is None else max(place - CHANGE, 0) for place in at]
                row[f"{tier}_found"] = sum(place is not None for place in at)
                row[f"{tier}_delay"] = float(np.mean(delays))
            rows.append(row)
    print(
        table(
            ("scenario", "stream", "runs", "changed", "mean delay", "page", "mean delay"),
            [tuple(row.values()) for row in rows],
        )
    )
    print(LEGEND)
    return rows


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-values)))
