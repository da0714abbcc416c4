"""A thousand streams under one budget: false pages in 30 days, and one cohort that drifts among them.

    python -m tests.benchmarks.many_streams [--seeds N] [--json FILE]

Simulated days of 10,000 traces in 199 cohorts of very unequal size (Zipf), five signals: 1,000 streams with the
roll-ups. Each seed freezes a baseline from three days and folds 30 more as the daemon does, an entry a day, with a
budget of one false page in 30 days. Without a change every alert counts as a page, though some would be one
incident: the budget is kept where their mean is at most one. Then the refusals of one cohort rise on the fourth
watched day, or those of all; what is found first counts, the cohort's own stream or the roll-up. The splits of the
budget differ only in A.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.cohort import ALL
from monitor.domain.observation import ObservationBatch, PlacedEntry, Series, Source
from monitor.domain.signal import Signal, SignalKind
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.daily import DayEvidence, judge_day
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.drift.stream import Decision
from monitor.signals.feedback import NEGATIVE_FEEDBACK
from monitor.signals.length import RESPONSE_LENGTH
from monitor.signals.outcome import ERROR, TRUNCATION
from monitor.signals.refusal import REFUSAL
from monitor.stats.fdr import ELond
from tests.benchmarks.report import machine, options, table, write_json

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIGNALS = (RESPONSE_LENGTH, REFUSAL, TRUNCATION, ERROR, NEGATIVE_FEEDBACK)
COHORTS = 199  # with the roll-up 200 streams a signal
STREAMS = len(SIGNALS) * (COHORTS + 1)
TRACES_A_DAY = 10_000
WINDOW_DAYS, WATCHED_DAYS = 3, 30
CHANGE_DAY, SOUGHT_DAYS = 3, 15  # of what is watched: quiet days before the change, and days in all
BUDGET = Budget(false_page_days=30.0)
SPLITS = {"halves": BUDGET, "equal weights": replace(BUDGET, rollup_share=1 / (COHORTS + 1))}
FIXED = Budget(average_run_length=10_000.0)
START = datetime(2026, 3, 2, tzinfo=UTC)
FALSE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """Refusals multiply from one watched day on, in the cohort of one rank by size or in all."""

    name: str
    rank: int | None  # from 0, the largest; None: every cohort
    factor: float

    def strikes(self, cohorts: Integers) -> NDArray[np.bool_]:
        return np.ones(len(cohorts), dtype=np.bool_) if self.rank is None else cohorts == self.rank


CHANGES = (
    Change("all cohorts, refusals x 2", None, 2.0),
    Change("the largest cohort, refusals x 3", 0, 3.0),
    Change("the 10th cohort, refusals x 6", 9, 6.0),
    Change("the 100th cohort, refusals x 20", 99, 20.0),
)


@dataclass(frozen=True)
class Traffic:
    """The traces of some days, in order: their cohorts, and the values of one signal at a time."""

    seed: int
    first_day: int
    days: int
    change: Change | None = None

    @cached_property
    def cohorts(self) -> Integers:
        sizes = 1.0 / np.arange(1, COHORTS + 1)
        rng = np.random.default_rng([self.seed, self.first_day])
        return rng.choice(COHORTS, self.days * TRACES_A_DAY, p=sizes / sizes.sum())

    def values(self, signal: Signal) -> Floats:
        number = SIGNALS.index(signal)
        level = np.random.default_rng(number).uniform(0.5, 1.5, COHORTS)[self.cohorts]  # a cohort keeps its own
        rng = np.random.default_rng([self.seed, self.first_day, number + 1])
        if signal.kind is SignalKind.LENGTH:
            return np.rint(rng.lognormal(np.log(200.0 * level), 0.6))
        rate = 0.03 * level
        if self.change is not None and signal is REFUSAL:
            struck = self.change.strikes(self.cohorts)
            struck[: CHANGE_DAY * TRACES_A_DAY] = False
            rate = np.where(struck, np.minimum(rate * self.change.factor, 0.9), rate)
        return (rng.random(len(rate)) < rate).astype(float)

    def entries(self, signals: Sequence[Signal]) -> Iterator[PlacedEntry]:
        """Yield an entry a day."""
        names = tuple(map(cohort_name, range(COHORTS)))
        values = {signal: self.values(signal) for signal in signals}
        for day in range(self.days):
            rows = slice(day * TRACES_A_DAY, (day + 1) * TRACES_A_DAY)
            first, at = (self.first_day + day) * TRACES_A_DAY, START + timedelta(days=self.first_day + day)
            batches = tuple(
                ObservationBatch(
                    series=Series(signal.name, "model", "1"),
                    cohorts=names,
                    cohort_codes=self.cohorts[rows].astype(np.int32),
                    places=np.arange(first, first + TRACES_A_DAY),
                    values=values[signal][rows],
                )
                for signal in signals
            )
            yield PlacedEntry(Source.TRACES, day + 1, first, TRACES_A_DAY, at, at, batches)


@dataclass(frozen=True, slots=True)
class Watched:
    """What some days came to."""

    pages: tuple[Decision, ...]  # in the order of places
    days: tuple[tuple[DayEvidence, ...], ...]  # of every stream that was observed
    streams: int


def main() -> int:
    parser = options("A thousand streams under one budget.")
    parser.add_argument("--seeds", type=int, default=3, help="times 30 days without a change, and changes of each kind")
    arguments = parser.parse_args()
    started = time.monotonic()
    quiet = [watch_quiet(seed) for seed in range(arguments.seeds)]
    found = [row for change in CHANGES for row in watch_change(change, arguments.seeds)]
    show(quiet, found, seconds=time.monotonic() - started)
    report = {"quiet": [asdict(row) for row in quiet], "changes": [asdict(row) for row in found]}
    write_json(arguments.json, report | {"machine": machine()})
    return 0


def cohort_name(code: int) -> str:
    return f"cohort-{code:03d}"


def frozen(seed: int, signals: Sequence[Signal]) -> Baseline:
    traffic = Traffic(seed, 0, WINDOW_DAYS)
    names, models = list(map(cohort_name, traffic.cohorts.tolist())), ["model"] * len(traffic.cohorts)
    places = np.arange(len(names))
    windows = (Window(signal.name, "1", names, models, traffic.values(signal), places) for signal in signals)
    baseline = build_baseline(windows, NullRule(), first_place=0, stop_place=len(names))
    return replace(baseline, window_days=float(WINDOW_DAYS))


def watch(baseline: Baseline, budget: Budget, entries: Iterator[PlacedEntry]) -> Watched:
    fold = Fold(baseline, FoldRules(budget))
    pages, days = list[Decision](), list[tuple[DayEvidence, ...]]()
    for entry in entries:
        outcomes = fold.add(entry)
        pages += [row for row in outcomes if isinstance(row, Decision) and row.severity is Severity.ALERT]
        present = fold.days.take((key, stream.day) for key, stream in fold.streams.items())
        days.append(tuple(row for row in present if row.day == entry.at.date()))
    return Watched(tuple(sorted(pages, key=lambda page: page.place)), tuple(days), len(fold.streams))


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
    baseline, traffic = frozen(seed, SIGNALS), Traffic(seed, WINDOW_DAYS, WATCHED_DAYS)
    held = watch(baseline, BUDGET, traffic.entries(SIGNALS))
    fixed = watch(baseline, FIXED, traffic.entries(SIGNALS))
    lond, told, over_days = ELond(FALSE_SHARE), 0, 0
    for rows in held.days:
        moved, lond = judge_day(rows, len(rows), FALSE_SHARE, lond)
        told += sum(row.on_the_day for row in moved)
        over_days += sum(row.over_days for row in moved)
    rollups = sum(page.stream.cohort == ALL for page in held.pages)
    return Quiet(held.streams, rollups, len(held.pages) - rollups, len(fixed.pages), told, over_days)


@dataclass(frozen=True, slots=True)
class Found:
    """How long one split of the budget took to find a change, at the median over the seeds."""

    change: str
    split: str
    seeds: int
    found: int  # of the seeds
    own: int  # of them by a cohort's own stream first
    days: float
    own_traces: float  # of the cohorts that drift
    all_traces: float
    told_days: float  # until the stream is told to have moved on a day, by e-BH among 1,000


def watch_change(change: Change, seeds: int) -> Iterator[Found]:
    runs: dict[str, list[tuple[float, float, bool, float]]] = {name: [] for name in SPLITS}
    for seed in range(seeds):
        baseline, traffic = frozen(seed, [REFUSAL]), Traffic(seed, WINDOW_DAYS, SOUGHT_DAYS, change)
        struck = {ALL, *(cohort_name(code) for code in range(COHORTS) if change.rank in {None, code})}
        begin = (WINDOW_DAYS + CHANGE_DAY) * TRACES_A_DAY
        for name, budget in SPLITS.items():
            # The other four signals' streams take their shares too.
            shared = replace(budget, false_page_days=budget.false_page_days * len(SIGNALS))
            seen = watch(baseline, shared, traffic.entries([REFUSAL]))
            page = next((row for row in seen.pages if row.place >= begin and row.stream.cohort in struck), None)
            told = days_until_told(seen, struck)
            if page is None:
                runs[name].append((np.inf, np.inf, False, told))
                continue
            late = slice(CHANGE_DAY * TRACES_A_DAY, page.place - WINDOW_DAYS * TRACES_A_DAY + 1)
            waited = float(change.strikes(traffic.cohorts[late]).sum())
            runs[name].append((page.place - begin + 1.0, waited, page.stream.cohort != ALL, told))
    for name, rows in runs.items():
        places, own_traces, own, told_days = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        median, found = float(np.median(places)), int(np.isfinite(places).sum())
        traces, told = float(np.median(own_traces)), float(np.median(told_days))
        yield Found(change.name, name, seeds, found, int(own.sum()), median / TRACES_A_DAY, traces, median, told)


def days_until_told(seen: Watched, struck: set[str]) -> float:
    """Return the days from the change to the first on which a stream of *struck* is told to have moved."""
    for number, rows in enumerate(seen.days[CHANGE_DAY:], start=1):
        moved, _ = judge_day(rows, STREAMS, FALSE_SHARE, ELond(FALSE_SHARE))
        if any(row.on_the_day and row.evidence.stream.cohort in struck for row in moved):
            return float(number)
    return np.inf


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
    headers = ("from one day on", "split", "found", "by its own", "days", "its traces", "all traces", "told after")
    lines = [
        (
            row.change,
            row.split,
            f"{row.found}/{row.seeds}",
            row.own,
            row.days,
            row.own_traces,
            row.all_traces,
            row.told_days,
        )
        for row in found
    ]
    print("\n" + table(headers, lines))
    print(f"\nmedian delays; told after so many days that it has moved\n{seconds:.0f} s on {machine()}")


if __name__ == "__main__":
    sys.exit(main())
