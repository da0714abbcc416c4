"""The gate over seeded candidates: what it costs one that is equal, and what it lets through of one that is worse."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.retraining.gate.limit import even_share
from monitor.retraining.gate.measure import RULES
from monitor.settings.policy import PolicyGateSettings
from tests.benchmarks.gate import play
from tests.benchmarks.gate_population import Population
from tests.comparisons import compared

ALIKE = Population(replay=200, probes=100, copied=0.9)
RUNS = 120
ENDS = [name for name in RULES if name not in {"win_rate_human", "capability"}]  # whose interval's end is the margin


def most(share: float) -> float:
    """Return how often what happens with probability *share* is seen in `RUNS`, three standard deviations up."""
    return share + 3.0 * float(np.sqrt(share * (1.0 - share) / RUNS))


def test_most_equal_candidates_pass_the_whole_gate() -> None:
    assert play(ALIKE, "alike", runs=RUNS).passed > 0.7


@pytest.mark.parametrize("measure", ENDS)
def test_a_candidate_worse_by_the_margin_hardly_ever_passes_and_by_twice_as_much_never(measure: str) -> None:
    at = play(ALIKE, "alike", measure=measure, times=1.0, runs=RUNS)
    assert at.passed_measure <= most(0.05)  # 2.5% by the normal law; proportions near 0 are skewed
    assert play(ALIKE, "alike", measure=measure, times=2.0, runs=RUNS // 4).passed == 0.0


@pytest.mark.parametrize("half", [0.02, 0.04, 0.06, 0.09])
def test_the_stated_chance_of_an_equal_candidate_is_what_a_simulation_finds(half: float) -> None:
    rng = np.random.default_rng(4)
    bounds = RULES["over_refusal"].bounds(PolicyGateSettings(), 1.0)
    middles = rng.normal(0.0, half / 1.96, 20_000)
    kept = np.mean((middles <= bounds[0].middle) & (middles + half <= bounds[0].end))
    found = compared("over_refusal", lower=-half, upper=half)
    assert even_share(found, bounds) == pytest.approx(float(kept), abs=0.01)
