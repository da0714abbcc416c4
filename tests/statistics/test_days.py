"""What a day's e-values, e-BH, e-LOND and the budget promise, counted over seeded simulations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.stats.edetector import BETS
from monitor.stats.eprocess import Mixture
from monitor.stats.fdr import ELond, rejected
from tests.statistics.test_edetector_guarantees import UPPER, clustered, null, steady, swinging

Floats = NDArray[np.float64]
ROWS = 400
MIXTURE = Mixture.of(np.array([1.0]))


def capital(values: Floats) -> Floats:
    """Return the logarithm of each bet's capital after a day of *values*."""
    return np.asarray(np.log(null(len(values)).increments(values[:, None])).sum(axis=0))


@pytest.mark.parametrize("process", [steady, swinging, clustered])
def test_a_days_evidence_has_a_mean_of_one_at_most_while_the_conditional_mean_stays_in_its_interval(
    process: Callable[[np.random.Generator, int], Floats],
) -> None:
    e = np.exp([MIXTURE.log_e(capital(process(np.random.default_rng(seed), ROWS))) for seed in range(1500)])
    assert e.mean() <= 1.0 + 3.0 * e.std() / np.sqrt(len(e))
    assert (e >= 20.0).mean() <= 1 / 20 + 3.0 * np.sqrt(0.05 / len(e))


def test_a_day_on_which_refusals_double_is_found_and_its_direction_is_told() -> None:
    seen = [capital((np.random.default_rng(seed).random(2000) < 0.07).astype(float)) for seed in range(40)]
    assert np.median([MIXTURE.log_e(row) for row in seen]) > np.log(10_000.0)
    assert all(MIXTURE.is_up(row) for row in seen)
    assert not MIXTURE.is_up(capital(np.zeros(2000)))


def correlated(rng: np.random.Generator, nulls: int, moved: int) -> Floats:
    """Return log e-values of likelihood ratios N(2.5, 1) against N(0, 1), the noise of all streams half shared."""
    noise = np.sqrt(0.5) * (rng.standard_normal() + rng.standard_normal(nulls + moved))
    seen = noise + np.repeat([0.0, 2.5], [nulls, moved])
    return np.asarray(2.5 * seen - 3.125)


def test_e_bh_keeps_the_false_share_of_a_day_however_the_streams_depend_on_each_other() -> None:
    rng, shares, found = np.random.default_rng(1), [], 0
    for _ in range(4000):
        mask = rejected(correlated(rng, 40, 10), 0.1)
        shares.append(mask[:40].sum() / max(mask.sum(), 1))
        found += int(mask[40:].sum())
    assert np.mean(shares) <= 0.1 * 40 / 50 + 3.0 * np.std(shares) / np.sqrt(len(shares))
    assert found > 0


def test_e_lond_keeps_the_false_share_over_all_days_together() -> None:
    rng, shares, found = np.random.default_rng(2), [], 0
    for _ in range(300):
        state, false = ELond(0.2), 0
        for _ in range(30):
            mask, state = state.test(correlated(rng, 15, 5))
            false += int(mask[:15].sum())
        shares.append(false / max(state.found, 1))
        found += state.found - false
    assert np.mean(shares) <= 0.2 + 3.0 * np.std(shares) / np.sqrt(len(shares))
    assert found > 0


def test_where_a_threshold_rises_the_false_alarms_number_no_more_than_the_sum_of_its_inverses() -> None:
    """The hardest null: the mean lies on the interval's end. Evidence begins anew after an alarm, as in an episode."""
    streams, rng = 3000, np.random.default_rng(3)
    stakes = (null(1).increments(np.ones((1, 1)))[0, :BETS] - 1.0) / (1.0 - UPPER)
    evidence, alarms, allowed = np.zeros((streams, len(stakes))), 0, 0.0
    for row in range(1500):
        threshold = 200.0 * 2.0 ** (row // 500)
        outcome = (rng.random(streams) < UPPER).astype(float)
        evidence = (evidence + 1.0) * (1.0 + (outcome - UPPER)[:, None] * stakes)
        over = evidence.mean(axis=1) >= threshold
        evidence[over] = 0.0
        alarms += int(over.sum())
        allowed += streams / threshold
    assert 0.3 * allowed < alarms <= allowed + 3.0 * np.sqrt(allowed)
