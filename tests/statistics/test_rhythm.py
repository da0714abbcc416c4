"""Silences of simulated streams: how often one is told falsely, and after how long a stop is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.stats.rhythm import HOUR, Rhythms

Floats = NDArray[np.float64]
MONDAY = 2800 * 7 * 86_400.0 + 4 * 86_400.0
DAYS, EXCEED, STREAMS = 30.0, 0.5, 24
LEARNT_DAYS = 14.0  # by then each hour of the week was seen twice


def steady(day: int, hour: float) -> float:
    return 1.0


def daily(day: int, hour: float) -> float:
    return 0.15 + 1.7 * float(np.exp(-(((hour - 14.0) / 5.0) ** 2)))


def weekly(day: int, hour: float) -> float:
    return daily(day, hour) * (1.3 if day < 5 else 0.25)


def office(day: int, hour: float) -> float:
    """Lies still every night and all weekend."""
    return 3.36 if day < 5 and 8.0 <= hour < 18.0 else 0.0


def half_past(day: int, hour: float) -> float:
    """Begins and ends between two hours."""
    return 2.4 if 8.5 <= hour < 18.5 else 0.0


class Poisson:
    """Arrivals that know nothing of each other; True where a stream has one in the tick."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def __call__(self, expected: float, new_hour: bool) -> NDArray[np.bool_]:
        return self._any(np.full(STREAMS, expected))

    def _any(self, expected: Floats) -> NDArray[np.bool_]:
        came: NDArray[np.bool_] = self.random.random(STREAMS) < 1.0 - np.exp(-expected)
        return came


class Bursty(Poisson):
    """Counts an hour are negative binomial: each hour has a pace of its own, gamma with shape 2."""

    pace: Floats = np.ones(STREAMS)

    def __call__(self, expected: float, new_hour: bool) -> NDArray[np.bool_]:
        if new_hour:
            self.pace = self.random.gamma(2.0, 0.5, STREAMS)
        return self._any(expected * self.pace)


class Sessions(Poisson):
    """Eight arrivals on average come close together, then none for long."""

    left: Floats = np.zeros(STREAMS)

    def __call__(self, expected: float, new_hour: bool) -> NDArray[np.bool_]:
        begun = super().__call__(expected / 8.0, new_hour)
        self.left = self.left + begun * self.random.geometric(1.0 / 8.0, STREAMS)
        came = (self.left > 0.0) & (self.random.random(STREAMS) < 0.5)
        self.left -= came
        return came


@dataclass(frozen=True)
class Case:
    """`STREAMS` alike streams, and within how many mean gaps a stop of theirs is told."""

    profile: Callable[[int, float], float]
    arrivals: type[Poisson]
    an_hour: float
    weeks: int
    gaps: float

    @property
    def tick(self) -> float:
        return max(20.0, min(600.0, HOUR / self.an_hour / 4.0))


@dataclass(frozen=True)
class Told:
    """What was told of the streams of a case, all of it falsely; days since the start."""

    certain: Floats  # when hours of the kind were known
    all: Floats
    delays: Floats  # of a stop after the last day; seconds until it was told

    def later(self, of: Floats) -> int:
        return int((of >= LEARNT_DAYS).sum())


@cache
def live(tick: float, weeks: int) -> dict[str, Told]:
    """Let all cases of the same tick pass at once: no row knows of another."""
    cases = {name: case for name, case in CASES.items() if (case.tick, case.weeks) == (tick, weeks)}
    rows = STREAMS * len(cases)
    rhythms = Rhythms(rows, MONDAY)
    sources = [(case, case.arrivals(np.random.default_rng(11))) for case in cases.values()]
    exceed, allowed = np.full(rows, EXCEED), np.full(rows, np.inf)
    silent, told = np.zeros(rows, dtype=bool), list[tuple[float, int, bool]]()
    for number in range(1, int(weeks * 7 * 86_400.0 / tick) + 1):
        at = number * tick
        new_hour = at // HOUR != (at - tick) // HOUR
        rhythms.advance(MONDAY + at)
        if new_hour or number % 30 == 0:
            allowed = rhythms.allowed(exceed, DAYS)
        late = rhythms.open > allowed
        for row in np.flatnonzero(late & ~silent):
            told.append((at / 86_400.0, int(row) // STREAMS, bool(rhythms.known[row] > allowed[row])))
        silent |= late
        middle = at - tick / 2.0
        day, hour = int(middle // 86_400.0) % 7, middle / HOUR % 24.0
        came = [
            source(case.an_hour * case.profile(day, hour) * tick / HOUR, bool(new_hour)) for case, source in sources
        ]
        arrived = np.flatnonzero(np.concatenate(came))
        rhythms.arrive(arrived)
        silent[arrived] = False
    delays = delays_of(rhythms, hours_into_week=62.0)  # Wednesday, two in the afternoon
    return {
        name: Told(
            np.array([day for day, of, certain in told if of == number and certain]),
            np.array([day for day, of, _ in told if of == number]),
            delays[number * STREAMS : (number + 1) * STREAMS],
        )
        for number, name in enumerate(cases)
    }


def delays_of(rhythms: Rhythms, *, hours_into_week: float) -> Floats:
    """Return after how many seconds a stop is told that begins so far into the next week."""
    begin = rhythms.at + hours_into_week * HOUR
    rhythms.advance(begin, learn=False)
    rhythms.forget_silence()
    rhythms.advance(begin + 1.0, learn=False)
    allowed = rhythms.allowed(np.full(len(rhythms), EXCEED), DAYS)
    delays, step = np.full(len(rhythms), np.inf), 5.0
    while not np.isfinite(delays).all() and rhythms.at < begin + 40 * 86_400.0:
        rhythms.advance(rhythms.at + step, learn=False)
        delays = np.where(rhythms.open > allowed, np.minimum(delays, rhythms.at - begin), delays)
        step = min(step * 1.02, 600.0)
    return delays


def most_of(expected: float) -> int:
    """Return what a Poisson count of that mean passes once in a thousand times."""
    term, total, count = np.exp(-expected), np.exp(-expected), 0
    while total < 0.999:
        count += 1
        term *= expected / count
        total += term
    return count


CASES = {
    "steady, one a minute": Case(steady, Poisson, 60.0, 6, 20.0),
    "steady, one an hour": Case(steady, Poisson, 1.0, 12, 15.0),
    "one a day": Case(steady, Poisson, 1.0 / 24.0, 30, 8.0),
    "bursty": Case(steady, Bursty, 60.0, 6, 120.0),
    "in sessions": Case(steady, Sessions, 40.0, 6, 120.0),
    "a quiet night": Case(daily, Poisson, 60.0, 6, 25.0),
    "a quiet weekend": Case(weekly, Poisson, 60.0, 8, 25.0),
    "a quiet weekend, bursty": Case(weekly, Bursty, 20.0, 8, 60.0),
    "a quiet weekend, one in two hours": Case(weekly, Poisson, 0.5, 16, 15.0),
    "still at night and at weekends": Case(office, Poisson, 60.0, 8, 25.0),
    "still at night, between hours": Case(half_past, Poisson, 60.0, 6, 120.0),
}


@pytest.mark.parametrize("name", CASES)
def test_silence_is_told_falsely_no_more_often_than_asked_for_and_a_stop_within_the_rhythm(name: str) -> None:
    case = CASES[name]
    told = live(case.tick, case.weeks)[name]
    expected = STREAMS * (case.weeks * 7 - LEARNT_DAYS) / DAYS * EXCEED
    first = int((told.certain < LEARNT_DAYS).sum()), int((told.all < LEARNT_DAYS).sum())
    print(
        f"{name}, {case.an_hour:.3g}/h: false {told.later(told.certain)}"
        f" (all {told.later(told.all)}) of {expected:.0f} expected after two weeks; in them {first[0]} (all {first[1]})"
        f" of {STREAMS * LEARNT_DAYS / DAYS * EXCEED:.0f}; stop on Wednesday 14:00 told after"
        f" {np.median(told.delays) / 60.0:.1f} min, {np.median(told.delays) / HOUR * case.an_hour:.1f} mean gaps"
    )
    assert told.later(told.all) <= most_of(expected)
    assert np.median(told.delays) * case.an_hour / HOUR < case.gaps
