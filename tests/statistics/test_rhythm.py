"""Silences of simulated streams: how often one is told falsely, and after how long a stop is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
class Told:
    """What was told of `STREAMS` alike streams, all of it falsely; days since the start."""

    certain: Floats  # when hours of the kind were known
    all: Floats
    rhythms: Rhythms  # as they stand after the last day

    def later(self, of: Floats) -> int:
        return int((of >= LEARNT_DAYS).sum())


def live(profile: Callable[[int, float], float], arrivals: type[Poisson], an_hour: float, weeks: int) -> Told:
    rhythms, came = Rhythms(STREAMS, MONDAY), arrivals(np.random.default_rng(11))
    tick = max(20.0, min(600.0, HOUR / an_hour / 4.0))
    exceed, allowed = np.full(STREAMS, EXCEED), np.full(STREAMS, np.inf)
    silent, told = np.zeros(STREAMS, dtype=bool), list[tuple[float, bool]]()
    for number in range(1, int(weeks * 7 * 86_400.0 / tick) + 1):
        at = number * tick
        new_hour = at // HOUR != (at - tick) // HOUR
        rhythms.advance(MONDAY + at)
        if new_hour or number % 30 == 0:
            allowed = rhythms.allowed(exceed, DAYS)
        for row in np.flatnonzero((rhythms.open > allowed) & ~silent):
            told.append((at / 86_400.0, bool(rhythms.known[row] > allowed[row])))
        silent |= rhythms.open > allowed
        middle = at - tick / 2.0
        expected = an_hour * profile(int(middle // 86_400.0) % 7, middle / HOUR % 24.0) * tick / HOUR
        rows = np.flatnonzero(came(expected, bool(new_hour)))
        rhythms.arrive(rows)
        silent[rows] = False
    every = np.array([day for day, _ in told])
    return Told(np.array([day for day, certain in told if certain]), every, rhythms)


def delays_of(rhythms: Rhythms, *, hours_into_week: float) -> Floats:
    """Return after how many seconds a stop is told that begins so far into the next week."""
    begin = rhythms.at + hours_into_week * HOUR
    rhythms.advance(begin, learn=False)
    rhythms.forget_silence()
    rhythms.advance(begin + 1.0, learn=False)
    allowed = rhythms.allowed(np.full(STREAMS, EXCEED), DAYS)
    delays, step = np.full(STREAMS, np.inf), 5.0
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
    "steady, one a minute": (steady, Poisson, 60.0, 6, 20.0),
    "steady, one an hour": (steady, Poisson, 1.0, 12, 15.0),
    "one a day": (steady, Poisson, 1.0 / 24.0, 30, 8.0),
    "bursty": (steady, Bursty, 60.0, 6, 120.0),
    "in sessions": (steady, Sessions, 40.0, 6, 120.0),
    "a quiet night": (daily, Poisson, 60.0, 6, 25.0),
    "a quiet weekend": (weekly, Poisson, 60.0, 8, 25.0),
    "a quiet weekend, bursty": (weekly, Bursty, 20.0, 8, 60.0),
    "a quiet weekend, one in two hours": (weekly, Poisson, 0.5, 16, 15.0),
    "still at night and at weekends": (office, Poisson, 60.0, 8, 25.0),
    "still at night, between hours": (half_past, Poisson, 60.0, 6, 120.0),
}


@pytest.mark.parametrize(("profile", "arrivals", "an_hour", "weeks", "gaps"), CASES.values(), ids=CASES.keys())
def test_silence_is_told_falsely_no_more_often_than_asked_for_and_a_stop_within_the_rhythm(
    profile: Callable[[int, float], float], arrivals: type[Poisson], an_hour: float, weeks: int, gaps: float
) -> None:
    told = live(profile, arrivals, an_hour, weeks)
    expected = STREAMS * (weeks * 7 - LEARNT_DAYS) / DAYS * EXCEED
    delays = delays_of(told.rhythms, hours_into_week=62.0)  # Wednesday, two in the afternoon
    first = int((told.certain < LEARNT_DAYS).sum()), int((told.all < LEARNT_DAYS).sum())
    print(
        f"{profile.__name__} {arrivals.__name__} {an_hour:.3g}/h: false {told.later(told.certain)}"
        f" (all {told.later(told.all)}) of {expected:.0f} expected after two weeks; in them {first[0]} (all {first[1]})"
        f" of {STREAMS * LEARNT_DAYS / DAYS * EXCEED:.0f}; stop on Wednesday 14:00 told after"
        f" {np.median(delays) / 60.0:.1f} min, {np.median(delays) / HOUR * an_hour:.1f} mean gaps"
    )
    assert told.later(told.all) <= most_of(expected)
    assert np.median(delays) * an_hour / HOUR < gaps
