"""A candidate's and a champion's answers as the gate's simulation draws them, and what a run would report of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.runs.policy import Comparison, PolicyResult
from monitor.stats.comparison import (
    Difference,
    paired_difference,
    win_difference,
    win_difference_at_equal_length,
)
from monitor.stats.length_control import shortened
from tests.comparisons import an_equal_candidate

Floats = NDArray[np.float64]

RATES = {"refusal": 0.03, "repetition": 0.02, "format": 0.04}  # of the champion's replayed answers
PROBE_RATES = {"over_refusal": 0.06, "harmful_compliance": 0.10, "capability": 0.45}
COHORTS = {"a": 0.5, "b": 0.3, "c": 0.2}  # shares of the replay
TIES = 0.3  # of answers that differ: the ensemble's lower bound tells neither better
LENGTH_SPREAD = 0.45  # of the log ratio of two lengths
LENGTH_HELPS = 0.1  # how much the win rate rises with a gap of 1
SWAYED, CONTRARY = 0.12, 0.02  # of twins: follow either asker's view, or go against both
STRANGENESS = 0.1  # spread of the difference in nats a token, by answer
READ = 100  # good answers that both read
MEAN_LOG_LENGTH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    replay: int
    probes: int  # items of a suite; twins are two of them
    copied: float  # share of the answers that come to the same


def draw(population: Population, worse: Mapping[str, float], *, seed: Sequence[int]) -> PolicyResult:
    """Return what a run reports of a candidate that differs by *worse*, by measure and in its unit."""
    rng = np.random.default_rng(list(seed))
    found = [*_replayed(rng, population, worse), *_probed(rng, population, worse)]
    result = an_equal_candidate()
    return replace(result, comparisons=tuple(found))


def _replayed(rng: np.random.Generator, population: Population, worse: Mapping[str, float]) -> list[Comparison]:
    count = population.replay
    same = rng.random(count) < population.copied
    equal = rng.random(count) < population.copied / 2  # outcomes come to the same more often than texts
    lost = -worse.get("win_rate", 0.0) - worse.get("win_rate_length_controlled", 0.0)
    gap = np.where(equal & ("length" not in worse), 0.0, rng.normal(worse.get("length", 0.0), LENGTH_SPREAD, count))
    gaps = shortened(gap)
    wins = _wins(rng, equal, 0.5 + LENGTH_HELPS * gaps * (1 - TIES), lost)
    rated = {name: _pair(rng, same, rate, worse.get(name, 0.0)) for name, rate in RATES.items()}
    names = np.array([str(number) for number in range(count)])
    cohorts = rng.choice(list(COHORTS), count, p=list(COHORTS.values()))
    found = []
    for cohort in (None, *COHORTS):
        rows = np.ones(count, dtype=bool) if cohort is None else cohorts == cohort
        at = list(names[rows])
        found += [
            _told("win_rate", cohort, win_difference(wins[rows], at)),
            _told("win_rate_length_controlled", cohort, win_difference_at_equal_length(wins[rows], gaps[rows], at)),
            _told(
                "length", cohort, paired_difference(gap[rows] + MEAN_LOG_LENGTH, 0 * gap[rows] + MEAN_LOG_LENGTH, at)
            ),
        ]
        for name, (candidate, champion) in rated.items():
            found.append(_told(name, cohort, paired_difference(candidate[rows], champion[rows], at, limit=1.0)))
    people = 0.5 + worse.get("win_rate_human", 0.0) + rng.normal(0.0, 0.06)
    found.append(
        Comparison(
            name="win_rate_human", cohort=None, items=count, candidate=people, champion=1 - people,
            difference=people - 0.5, lower=people - 0.5 - 0.12, upper=people - 0.5 + 0.12,
        )
    )  # fmt: skip
    return found


def _probed(rng: np.random.Generator, population: Population, worse: Mapping[str, float]) -> list[Comparison]:
    count = population.probes
    at = [str(number) for number in range(count)]
    found = []
    for name, rate in PROBE_RATES.items():
        sides = _pair(rng, rng.random(count) < population.copied, rate, worse.get(name, 0.0))
        found.append(_told(name, None, paired_difference(*sides, at, limit=1.0)))
    twins = count // 2
    copied = rng.random(twins) < population.copied
    champion = _swayed(rng, twins, 0.0)
    candidate = np.where(copied, champion, _swayed(rng, twins, 0.0))
    pushed = rng.random(twins) < worse.get("sycophancy", 0.0) / (1 - SWAYED + CONTRARY)
    candidate = np.where(pushed, 1.0, candidate)
    told = _told("sycophancy", None, paired_difference(candidate, champion, at[:twins], limit=2.0, flips=0.5))
    read = rng.normal(worse.get("perplexity", 0.0), STRANGENESS, READ)
    return [
        *found,
        replace(told, items=count),
        _told("perplexity", None, paired_difference(1.5 + read, 1.5 + 0 * read, [str(row) for row in range(READ)])),
    ]


def _wins(rng: np.random.Generator, same: NDArray[np.bool_], rate: Floats, lost: float) -> Floats:
    """Return wins, ties and losses whose mean lies *lost* below one half where nothing else moves it."""
    drawn = (rng.random(len(same)) < rate).astype(np.float64)
    tied = same | (rng.random(len(same)) < TIES)
    wins = np.where(tied, 0.5, drawn)
    turned = rng.random(len(same)) < 2 * lost  # each such item costs one half in the mean
    return np.where(turned, 0.0, wins)


def _pair(rng: np.random.Generator, same: NDArray[np.bool_], rate: float, shift: float) -> tuple[Floats, Floats]:
    """Return both sides' outcomes; the candidate's happen more often by *shift*, or less where it is negative."""
    champion = (rng.random(len(same)) < rate).astype(np.float64)
    candidate = np.where(same, champion, rng.random(len(same)) < rate).astype(np.float64)
    if shift >= 0:
        turned = rng.random(len(same)) < shift / (1 - rate)
        return np.where(turned, 1.0, candidate), champion
    turned = rng.random(len(same)) < -shift / rate
    return np.where(turned, 0.0, candidate), champion


def _swayed(rng: np.random.Generator, twins: int, shift: float) -> Floats:
    return rng.choice([1.0, 0.0, -1.0], twins, p=[SWAYED + shift, 1 - SWAYED - CONTRARY - shift, CONTRARY])


def _told(name: str, cohort: str | None, found: Difference | None) -> Comparison:
    assert found is not None
    return Comparison(
        name=name,
        cohort=None if cohort is None else f"product={cohort}",
        items=found.items,
        candidate=found.candidate,
        champion=found.champion,
        difference=found.difference,
        lower=found.lower,
        upper=found.upper,
    )
