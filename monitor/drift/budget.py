"""How many false pages all streams together may cost, and what each stream's evidence must reach for it.

A stream's false alarms
-----------------------
Let M be the evidence (a Shiryaev-Roberts statistic, set to nothing after an alarm), and A_t the threshold at
the stream's observation t, known before it is made. While the mean keeps to its null interval,
E[M_t | past] <= M_(t-1) + 1. Where A_t never falls, M_t / A_t grows by at most 1 / A_t in the mean, and an alarm
takes at least 1 away. So the expected number of false alarms is at most the sum of 1 / A_t, over any stretch and at
any stopping time. A threshold that fell would let evidence count for more than it was gathered for; hence
an A that never falls under one baseline.

What that comes to in a day
---------------------------
The sum over one day is that day's observations / A. With A = (observations a day) / share it is the stream's
share of the budget, and the shares sum to one page in `false_page_days`. The sum is a theorem; that a
day holds as many observations as expected is not. It is measured (`Pace`): traffic that doubles overnight
costs twice the share on that day, and about two more shares until the measure has caught up.

References
----------
Shin, Ramdas, Rinaldo, "E-detectors", arXiv 2203.03532, definition 2.2 and proposition 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import ANY_POLICY, Baseline

SHORTEST_WINDOW_DAYS = 1.0 / 24.0
FOLLOWED = 1.0 / 3.0  # of the way to a day's count that the measured pace goes after it


@dataclass(frozen=True, slots=True)
class StreamCount:
    """How many streams share the budget."""

    rollups: int = 0
    cohorts: int = 0

    def and_of(self, cohorts: Iterable[str]) -> StreamCount:
        """Return the count with one stream more for each name in *cohorts*; "*" names a roll-up."""
        rollup = [cohort == ALL for cohort in cohorts]
        return StreamCount(self.rollups + sum(rollup), self.cohorts + len(rollup) - sum(rollup))

    def or_more(self, other: StreamCount) -> StreamCount:
        """Return the larger count of each kind: a stream that was there once keeps its share."""
        return StreamCount(max(self.rollups, other.rollups), max(self.cohorts, other.cohorts))


@dataclass(frozen=True, slots=True)
class Budget:
    """One expected false page in so many days, over all streams together.

    Half of it is the roll-ups', half is shared by the cohorts' streams, each in equal parts. A delay in
    observations grows with log A = log(pace / share), so equal shares make the sum of the streams' delays least.
    """

    false_page_days: float = 30.0
    rollup_share: float = 0.5
    warnings_per_page: float = 10.0  # a warning may be false so many times as often
    least_run_length: float = 1000.0  # A stream of three observations a day would alarm on a handful of them.
    average_run_length: float | None = None  # A of every stream, whatever its pace; None follows from the budget

    def promise(self) -> str:
        """Say how often streams that have not drifted page."""
        if self.average_run_length is not None:
            return f"a stream that has not drifted alarms once in {self.average_run_length:,.0f} observations at most"
        return f"all streams together, if none has drifted, page once in {self.false_page_days:g} days at most"

    def share(self, key: StreamKey, count: StreamCount) -> float:
        """Return how many false alarms a day *key* may raise; where one kind has no stream, the other takes all."""
        rollup = key.cohort == ALL
        own, others = (count.rollups, count.cohorts) if rollup else (count.cohorts, count.rollups)
        part = self.rollup_share if rollup else 1.0 - self.rollup_share
        return (part if others else 1.0) / (max(own, 1) * self.false_page_days)

    def run_length(self, key: StreamKey, observations_per_day: float, count: StreamCount) -> float:
        """Return A, in the stream's own observations, of a stream at this pace."""
        if self.average_run_length is not None:
            return self.average_run_length
        return max(observations_per_day / self.share(key, count), self.least_run_length)

    def thresholds(self, run_length: float) -> dict[Severity, float]:
        """Return what each severity's evidence must reach in a stream with this A."""
        warning = run_length / self.warnings_per_page
        if self.average_run_length is None:
            warning = max(warning, self.least_run_length)
        return {Severity.WARNING: warning, Severity.ALERT: run_length}


@dataclass(frozen=True, slots=True)
class Pace:
    """How many observations a stream brings a day, measured over whole days of the traffic's own time.

    >>> Pace(rate=90.0, day=10, today=0).after(120).on(11).rate
    100.0
    """

    rate: float  # observations a day, as expected before `day` began
    day: int  # proleptic ordinal, UTC
    today: int = 0  # observations on `day` so far

    def on(self, day: int) -> Pace:
        """Return the pace on *day*; the days since the last one that are not told of had no observation."""
        if day <= self.day:
            return self
        measured = self.rate + (self.today - self.rate) * FOLLOWED
        return Pace(measured * (1.0 - FOLLOWED) ** (day - self.day - 1), day)

    def after(self, observations: int) -> Pace:
        return Pace(self.rate, self.day, self.today + observations)


@dataclass(frozen=True, slots=True)
class WindowPaces:
    """What a baseline's window says of the streams it feeds: how many there are, and how fast each is."""

    count: StreamCount  # without those of laws that were added later: they count once they are there
    per_day: Mapping[StreamKey, float]  # observations; those under ANY_POLICY are the whole window's
    traces_per_day: Mapping[str, float]  # by cohort, or a little less: as many as its fastest signal has observations

    @classmethod
    def of(cls, baseline: Baseline, window_days: float) -> WindowPaces:
        """Take *window_days* from the subjects' own times; less than an hour counts as an hour."""
        paces: dict[StreamKey, float] = {}
        counted = StreamCount()
        for law in baseline.signals:
            named = {row.policy_model for row in law.strata} - {ANY_POLICY}
            for policy_model in sorted({ANY_POLICY, *named}):
                strata = law.for_policy(policy_model)
                rows = {cohort: row.observations for cohort, row in strata.items() if cohort != UNLABELLED}
                rows[ALL] = sum(row.observations for row in strata.values())
                if law.since == 0 and policy_model in (named or {ANY_POLICY}):
                    counted = counted.and_of(rows)
                for cohort, observations in rows.items():
                    key = StreamKey(law.signal, cohort, policy_model, law.scorer_version)
                    days = window_days if law.days is None else law.days
                    paces[key] = observations / max(days, SHORTEST_WINDOW_DAYS)
        traces: dict[str, float] = {}
        for key, pace in paces.items():
            traces[key.cohort] = max(pace, traces.get(key.cohort, 0.0))
        return cls(counted, paces, traces)

    def expected(self, key: StreamKey) -> float:
        """Return the observations a day of *key*.

        A policy model that the window never saw is taken for all of it, and a signal without a law is
        observed on every trace.
        """
        for known in (key, replace(key, policy_model=ANY_POLICY)):
            if known in self.per_day:
                return self.per_day[known]
        return self.traces_per_day.get(key.cohort, 0.0)
