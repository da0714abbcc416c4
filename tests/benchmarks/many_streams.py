"""A thousand streams under one budget: false pages in 30 days, and one cohort that drifts among them.

    python -m tests.benchmarks.many_streams [--seeds N] [--json FILE]

Simulated days of 10,000 traces in 199 cohorts of very unequal size (Zipf), five signals: 1,000 streams with the
roll-ups. Each seed freezes a baseline from three days, then watches 30 more, with a budget of one false page in 30
days. Without a change every alert counts as a page, though some would be one incident: the budget is kept
where their mean is at most one. Then one cohort's refusals rise on the tenth day, or those of all, and what is
found first counts, the cohort's own stream or the roll-up. The splits of the budget differ only in A.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.signal import Signal, SignalKind
from monitor.domain.stream import StreamKey
from monitor.drift.baseline import Baseline, NullRule, SignalBaseline, Window, build_baseline
from monitor.drift.budget import Budget, WindowPaces
from monitor.drift.daily import DayEvidence, Days, StreamDay, judge_day
from monitor.signals.feedback import NEGATIVE_FEEDBACK
from monitor.signals.length import RESPONSE_LENGTH
from monitor.signals.outcome import ERROR, TRUNCATION
from monitor.signals.refusal import REFUSAL
from monitor.stats.edetector import State, Threshold, Wagers, fold
from monitor.stats.eprocess import Mixture
from monitor.stats.fdr import ELond
from tests.benchmarks.report import machine, options, table, write_json

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIGNALS = (RESPONSE_LENGTH, REFUSAL, TRUNCATION, ERROR, NEGATIVE_FEEDBACK)
COHORTS = 199  # with the roll-up 200 streams a signal
TRACES_A_DAY = 10_000
WINDOW_DAYS, WATCHED_DAYS, CHANGE_DAY = 3, 30, 9
BUDGET = Budget(false_page_days=30.0)
EQUAL_WEIGHTS = replace(BUDGET, rollup_share=1 / (COHORTS + 1))
FIXED = Budget(average_run_length=10_000.0)
START = datetime(2026, 3, 2, tzinfo=UTC)
FALSE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """Refusals multiply from the tenth watched day on, in the cohort of one rank by size or in all."""

    name: str
    rank: int | None  # from 0, the largest; None: every cohort
    factor: float


CHANGES = (
    Change("all cohorts, refusals x 1.5", None, 1.5),
    Change("the largest cohort, refusals x 2", 0, 2.0),
    Change("the 10th cohort, refusals x 5", 9, 5.0),
    Change("the 100th cohort, refusals x 20", 99, 20.0),
)


@dataclass(frozen=True)
class Traffic:
    """The traces of some days, in order: their cohorts, and the values of one signal at a time."""

    seed: int
    days: int
    change: Change | None = None

    @cached_property
    def cohorts(self) -> Integers:
        sizes = 1.0 / np.arange(1, COHORTS + 1)
        rng = np.random.default_rng([self.seed, self.days])
        return rng.choice(COHORTS, self.days * TRACES_A_DAY, p=sizes / sizes.sum())

    def values(self, signal: Signal) -> Floats:
        number = SIGNALS.index(signal)
        level = np.random.default_rng(number).uniform(0.5, 1.5, COHORTS)[self.cohorts]  # a cohort keeps its own
        rng = np.random.default_rng([self.seed, self.days, number])
        if signal.kind is SignalKind.LENGTH:
            return np.rint(rng.lognormal(np.log(200.0 * level), 0.6))
        rate = 0.03 * level
        if self.change is not None and signal is REFUSAL:
            struck = self.change.rank is None or self.cohorts == self.change.rank
            late = np.arange(len(rate)) >= CHANGE_DAY * TRACES_A_DAY
            rate = np.where(struck & late, np.minimum(rate * self.change.factor, 0.9), rate)
        return (rng.random(len(rate)) < rate).astype(float)


@dataclass(frozen=True, slots=True)
class Watched:
    """One stream's observations after the window, as growth factors of its bets; places count traces from 0."""

    key: StreamKey
    growth: Floats
    places: Integers
    mixture: Mixture

    def by_day(self) -> Iterator[tuple[int, slice]]:
        edges = np.searchsorted(self.places, np.arange(WATCHED_DAYS + 1) * TRACES_A_DAY)
        for day in range(WATCHED_DAYS):
            yield day, slice(int(edges[day]), int(edges[day + 1]))


def main() -> int:
    parser = options(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=6, help="times 30 days without a change, and changes of each kind")
    arguments = parser.parse_args()
    started = time.monotonic()
    quiet = [watch_quiet(seed) for seed in range(arguments.seeds)]
    found = [watch_change(change, arguments.seeds) for change in CHANGES]
    show(quiet, found, seconds=time.monotonic() - started)
    report = {"quiet": [asdict(row) for row in quiet], "changes": [asdict(row) for row in found]}
    write_json(arguments.json, report | {"machine": machine()})
    return 0


def frozen(seed: int) -> Baseline:
    traffic = Traffic(seed, WINDOW_DAYS)
    names = [f"cohort-{code}" for code in traffic.cohorts.tolist()]
    models = ["model"] * len(names)
    windows = (Window(signal.name, "1", names, models, traffic.values(signal)) for signal in SIGNALS)
    return build_baseline(windows, NullRule(), first_place=0, stop_place=0)


def watched(law: SignalBaseline, traffic: Traffic, values: Floats, cohorts: tuple[str, ...]) -> Iterator[Watched]:
    """Yield the streams *cohorts* of one signal."""
    strata = law.for_policy("model")
    channels, places = law.channels(values), np.arange(len(values))
    code_of = {f"cohort-{code}": code for code in range(COHORTS)}
    for cohort in cohorts:
        rows = list(strata.values()) if cohort == ALL else [strata[cohort]]
        row_of = np.full(COHORTS, -1)
        row_of[[code_of[row.cohort] for row in rows]] = np.arange(len(rows))
        chosen = row_of[traffic.cohorts]
        kept = chosen >= 0
        mean = np.array([row.channel_mean for row in rows])
        half = np.array([row.rollup_half_width if cohort == ALL else row.half_width for row in rows])
        wagers = Wagers.against(mean - half, mean + half, np.array([row.channel_sd for row in rows]))
        yield Watched(
            key=StreamKey(law.signal, cohort, "model", "1"),
            growth=wagers.increments(channels[kept], chosen[kept]),
            places=places[kept],
            mixture=Mixture.of(np.ones(mean.shape[1])),
        )


def alerts(stream: Watched, budget: Budget, paces: WindowPaces, *, all_of_them: bool) -> list[int]:
    """Return the places at which *stream* pages; its evidence begins anew after each."""
    days = Days(budget, paces)
    today, state, places = None, State.empty(stream.growth.shape[1]), list[int]()
    for day, part in stream.by_day():
        days.turn(START + timedelta(days=day), ())
        first, stop = part.start, part.stop
        if first == stop:
            continue
        today = days.begin(stream.key, today, stream.mixture).after(stop - first, np.zeros(stream.growth.shape[1]))
        threshold = Threshold("alert", days.thresholds(today)[Severity.ALERT])
        while first < stop:
            rows = slice(first, stop)
            state, crossings = fold(state, stream.growth[rows], stream.places[rows], thresholds=(threshold,))
            if not crossings:
                break
            first += crossings[0].row + 1
            places.append(int(stream.places[first - 1]))
            state = State.empty(stream.growth.shape[1])
            if not all_of_them:
                return places
    return places


def day_evidence(stream: Watched, paces: WindowPaces) -> Iterator[DayEvidence]:
    """Yield the stream's evidence of each day on which it was observed."""
    days = Days(BUDGET, paces)
    today: StreamDay | None = None
    for day, part in stream.by_day():
        days.turn(START + timedelta(days=day), ())
        if part.start < part.stop:
            gained = np.log(stream.growth[part]).sum(axis=0)
            today = days.begin(stream.key, today, stream.mixture).after(part.stop - part.start, gained)
            yield today.evidence(stream.key, stream.mixture)


@dataclass(frozen=True, slots=True)
class Quiet:
    """What 30 days without a change came to."""

    streams: int
    rollups: int  # pages of the roll-ups
    cohorts: int  # pages of the cohorts' own streams
    fixed: int  # pages of both at A = 10,000
    told: int  # times a stream was told to have moved on a day, by e-BH
    told_over_days: int  # by e-LOND

    @property
    def pages(self) -> int:
        return self.rollups + self.cohorts


def watch_quiet(seed: int) -> Quiet:
    baseline, traffic = frozen(seed), Traffic(seed, WATCHED_DAYS)
    paces = WindowPaces.of(baseline, WINDOW_DAYS)
    pages, fixed, by_day = {True: 0, False: 0}, 0, dict[int, list[DayEvidence]]()
    streams = 0
    for signal in SIGNALS:
        law = baseline.get(signal.name, "1")
        assert law is not None
        for stream in watched(law, traffic, traffic.values(signal), (ALL, *law.for_policy("model"))):
            streams += 1
            pages[stream.key.cohort == ALL] += len(alerts(stream, BUDGET, paces, all_of_them=True))
            fixed += len(alerts(stream, FIXED, paces, all_of_them=True))
            for row in day_evidence(stream, paces):
                by_day.setdefault(row.day.toordinal(), []).append(row)
    lond, told, over_days = ELond(FALSE_SHARE), 0, 0
    for _, rows in sorted(by_day.items()):
        verdict, lond = judge_day(rows, len(rows), FALSE_SHARE, lond)
        told += sum(row.on_the_day for row in verdict)
        over_days += sum(row.over_days for row in verdict)
    return Quiet(streams, pages[True], pages[False], fixed, told, over_days)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long one split of the budget took, at the median over the seeds."""

    found: int  # of the seeds
    own: int  # of them by the cohort's own stream first
    days: float
    own_traces: float  # of the cohorts that drift
    all_traces: float


@dataclass(frozen=True, slots=True)
class Found:
    change: str
    seeds: int
    halves: Delay
    equal: Delay
    told_days: float  # until the stream is told to have moved on a day, at the median; by e-BH among a quiet rest


def watch_change(change: Change, seeds: int) -> Found:
    delays: dict[str, list[tuple[float, float, bool]]] = {"halves": [], "equal": []}
    told = []
    for seed in range(seeds):
        baseline, traffic = frozen(seed), Traffic(seed, WATCHED_DAYS, change)
        paces, law = WindowPaces.of(baseline, WINDOW_DAYS), baseline.get(REFUSAL.name, "1")
        assert law is not None
        rank = 0 if change.rank is None else change.rank
        pair = list(watched(law, traffic, traffic.values(REFUSAL), (ALL, f"cohort-{rank}")))
        for name, budget in (("halves", BUDGET), ("equal", EQUAL_WEIGHTS)):
            rollup, own = (first_after_change(stream, budget, paces) for stream in pair)
            place = min(rollup, own)
            struck = np.ones(len(traffic.cohorts), bool) if change.rank is None else traffic.cohorts == change.rank
            late = slice(CHANGE_DAY * TRACES_A_DAY, None if place == np.inf else int(place) + 1)
            waited = float(struck[late].sum()) if place < np.inf else np.inf
            delays[name].append((place - CHANGE_DAY * TRACES_A_DAY, waited, own < rollup))
        told.append(min(days_until_told(stream, paces) for stream in pair))
    halves, equal = (delay_of(rows) for rows in delays.values())
    return Found(change.name, seeds, halves, equal, float(np.median(told)))


def first_after_change(stream: Watched, budget: Budget, paces: WindowPaces) -> float:
    places = alerts(stream, budget, paces, all_of_them=True)
    return min((float(place) for place in places if place >= CHANGE_DAY * TRACES_A_DAY), default=np.inf)


def days_until_told(stream: Watched, paces: WindowPaces) -> float:
    """Return the days until *stream* is told by e-BH among 999 that say nothing."""
    streams = len(SIGNALS) * (COHORTS + 1)
    for row in day_evidence(stream, paces):
        number = row.day.toordinal() - START.toordinal() - CHANGE_DAY
        if number >= 0 and any(moved.on_the_day for moved in judge_day([row], streams, FALSE_SHARE, ELond(0.1))[0]):
            return number + 1.0
    return np.inf


def delay_of(rows: list[tuple[float, float, bool]]) -> Delay:
    places, own_traces, by_own = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    median = float(np.median(places))
    return Delay(
        found=int(np.isfinite(places).sum()),
        own=int(by_own[np.isfinite(places)].sum()),
        days=median / TRACES_A_DAY,
        own_traces=float(np.median(own_traces)),
        all_traces=median,
    )


def show(quiet: list[Quiet], found: list[Found], *, seconds: float) -> None:
    headers = ("no change", "streams", "roll-ups' pages", "cohorts'", "both", "A = 10,000", "moved", "over days")
    rows: list[list[Any]] = [
        [f"seed {number}", row.streams, row.rollups, row.cohorts, row.pages, row.fixed, row.told, row.told_over_days]
        for number, row in enumerate(quiet)
    ]
    columns = np.array([row[1:] for row in rows], dtype=float)
    rows.append(["mean in 30 days", *columns.mean(axis=0).tolist()])
    print(table(headers, rows))
    print("\nwanted: at most 1 page of both kinds in 30 days, in the mean")
    headers = ("from the 10th day on", "split", "found", "by its own", "days", "its traces", "all traces", "told after")
    lines: list[list[Any]] = []
    for row in found:
        for name, delay in (("halves", row.halves), ("equal weights", row.equal)):
            numbers = (delay.own, delay.days, delay.own_traces, delay.all_traces, row.told_days)
            lines.append([row.change, name, f"{delay.found}/{row.seeds}", *numbers])
    print("\n" + table(headers, lines))
    print(f"\nmedian delays; told after so many days that it has moved\n{seconds:.0f} s on {machine()}")


if __name__ == "__main__":
    sys.exit(main())
