"""How soon a falling win rate is found, and how often one that has not fallen is: beside labels alone.

Verdicts and opinions are drawn, cut into blocks, settled and folded by the program's own code. A trace's opinion f is
the probability that its answer wins, as far as the reward models know: f = sigmoid(d), d normal. The verdict is drawn
from f shifted by as much as the rate has moved. Where the models disagree is a noisy sign of how unsure they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.review import SelectionPlan
from monitor.drift.budget import Budget
from monitor.drift.fold import FoldRules
from monitor.signals.estimand import REWARD_ACCURACY, REWARD_WIN, WIN_RATE
from tests.benchmarks.report import table
from tests.benchmarks.winrate.play import ALONE, World, alarms_of

Floats = NDArray[np.float64]
SPREAD = 1.75  # of d: then f and a verdict agree in three of four
AVERAGE_RUN_LENGTH = 100_000.0
WINDOW, CHANGE, TRACES = 20_000, 20_000, 120_000
RULES = FoldRules(Budget(average_run_length=AVERAGE_RUN_LENGTH, warnings_per_page=1.0))  # both tiers at the same A
FLOOR = SelectionPlan(least=0.05)
DISPUTED = SelectionPlan(least=0.03, disputed=0.0702, disagreement_above=0.1664)  # a twentieth of all traces, too


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
        found = [_played(scenario, seed) for seed in range(seeds)]
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


def _played(scenario: Scenario, seed: int) -> dict[str, dict[Severity, int]]:
    return alarms_of(draw(scenario, TRACES, CHANGE, np.random.default_rng([7, seed])), RULES, window=WINDOW)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-values)))
