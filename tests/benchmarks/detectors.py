"""The detectors' yardstick: false alarms, delays beside an oracle's, and the cost of a value.

    python -m tests.benchmarks.detectors [--streams N] [--repetitions N] [--json FILE]

Seeded streams, each with a baseline of its own of 10,000 observations, A = 100,000, z = 1, folded as the daemon
folds them. Nothing is accepted: the oracle asks whether there is a change at all, so an alert must too.
False alarms are counted over streams without a change, the detector beginning anew after each. A delay counts
the observations from the change, which comes after 1,000 without one, to the alarm; at most 20,000 are waited for.

The oracle is Page's CUSUM of the log likelihood ratio: it knows both laws and the direction. Its
threshold is the one whose average run length is A, from the Markov chain of Brook and Evans
(Biometrika 1972) on a lattice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import erf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Severity
from monitor.domain.cohort import UNLABELLED
from monitor.domain.observation import ObservationBatch, PlacedEntry, Series, Source
from monitor.domain.signal import REWARD, Signal
from monitor.drift.baseline import Baseline
from monitor.drift.budget import Budget
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule, Window, build_baseline
from monitor.drift.stream import Decision
from monitor.drift.tolerance import Tolerance
from monitor.signals.length import RESPONSE_LENGTH
from monitor.signals.refusal import REFUSAL
from tests.benchmarks.report import machine, options, table, write_json

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

A = 100_000.0
BASELINE = 10_000
QUIET = 1_000  # observations before the change
LONGEST_WAIT = 20_000
STREAM = 100_000
BATCH = 1_000
MEDIAN_TOKENS, LOG_SPREAD = 200.0, 0.6
LATTICE = 1_200  # states of the oracle's Markov chain
TARGET_FALSE_ALARMS = 1.0  # per 100,000 observations
TARGET_FOUND = 0.98
TARGET_MICROSECONDS = 1.0
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Law:
    """How a signal is drawn."""

    name: str
    signal: Signal
    draw: Draw


@dataclass(frozen=True, slots=True)
class Shift:
    """A change from one law to another, and what is wanted of the delay."""

    name: str
    before: Law
    after: Law
    ratio: Callable[[Floats], Floats]  # of the log likelihoods, after to before
    steps: tuple[Floats, Floats]  # the ratio's values before the change, and their probabilities
    target: float | None  # times the oracle's median delay; None: found within the longest wait


@dataclass(frozen=True, slots=True)
class Quiet:
    """What happened on streams without a change."""

    signal: str
    observations: int
    false_alarms: int
    warnings: int
    microseconds: float  # a value, of this process's time

    @property
    def per_100k(self) -> float:
        return self.false_alarms / self.observations * 100_000


@dataclass(frozen=True, slots=True)
class Delay:
    """What happened after a change; delays are medians over the repetitions, in observations."""

    shift: str
    oracle: float
    detector: float
    found: float  # share of the repetitions
    false: int  # repetitions whose alarm came before the change; they count for nothing else
    target: float | None

    @property
    def ratio(self) -> float:
        return self.detector / self.oracle

    @property
    def met(self) -> bool:
        return self.found >= TARGET_FOUND if self.target is None else self.ratio <= self.target


def main() -> int:
    parser = options("False alarms, delays and cost of the drift detectors.")
    parser.add_argument("--streams", type=int, default=40, help="streams of 100,000 without a change, per signal")
    parser.add_argument("--repetitions", type=int, default=100, help="changes of each kind")
    arguments = parser.parse_args()
    started = time.monotonic()
    quiet = [watch_quiet(law, arguments.streams) for law in quiet_laws()]
    delays = [watch_change(shift, arguments.repetitions) for shift in shifts()]
    show(quiet, delays, seconds=time.monotonic() - started, repetitions=arguments.repetitions)
    rows = [asdict(row) | {"per_100k": row.per_100k} for row in quiet]
    report = {"quiet": rows, "delays": [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in delays]}
    write_json(arguments.json, report | {"machine": machine()})
    return 0


def quiet_laws() -> Iterator[Law]:
    yield bernoulli(0.03)
    yield bernoulli(0.5)
    yield lengths(1.0)
    yield normal(REWARD)


def shifts() -> Iterator[Shift]:
    yield binary_shift("refusal 3% -> 6%", 0.03, 0.06, target=1.7)
    yield binary_shift("refusal 3% -> 12%", 0.03, 0.12, target=1.5)
    yield binary_shift("refusal 3% -> 4.5%", 0.03, 0.045, target=None)
    yield binary_shift("win .50 -> .45", 0.50, 0.45, target=1.7)
    yield binary_shift("win .50 -> .40", 0.50, 0.40, target=1.5)
    yield binary_shift("win .50 -> .47", 0.50, 0.47, target=None)
    yield length_shift("length +10%", 1.10, target=1.7)
    yield length_shift("length +25%", 1.25, target=1.5)
    yield length_shift("length +5%", 1.05, target=None)


def bernoulli(rate: float) -> Law:
    return Law(f"binary {rate:g}", REFUSAL, lambda rng, n: (rng.random(n) < rate).astype(float))


def lengths(factor: float) -> Law:
    location = log(MEDIAN_TOKENS * factor)
    return Law("length", RESPONSE_LENGTH, lambda rng, n: np.rint(rng.lognormal(location, LOG_SPREAD, n)))


def normal(signal: Signal) -> Law:
    return Law(f"rank ({signal.name})", signal, lambda rng, n: rng.normal(0.0, 1.0, n))


def binary_shift(name: str, before: float, after: float, *, target: float | None) -> Shift:
    values = np.array([log((1.0 - after) / (1.0 - before)), log(after / before)])
    chances = np.array([1.0 - before, before])
    return Shift(
        name, bernoulli(before), bernoulli(after), lambda x: values[x.astype(np.int64)], (values, chances), target
    )


def length_shift(name: str, factor: float, *, target: float | None) -> Shift:
    """The ratio of two log-normal laws is normal under the first of them."""
    gap, middle = log(factor) / LOG_SPREAD, log(MEDIAN_TOKENS) + log(factor) / 2.0
    edges = np.linspace(-6.0, 6.0, 4001)
    chances = np.diff([0.5 * (1.0 + erf(edge / sqrt(2.0))) for edge in edges])
    values = gap * (edges[1:] + edges[:-1]) / 2.0 - gap**2 / 2.0
    return Shift(
        name,
        lengths(1.0),
        lengths(factor),
        lambda x: gap * (np.log(np.maximum(x, 1.0)) - middle) / LOG_SPREAD,
        (values, chances / chances.sum()),
        target,
    )


def watch_quiet(law: Law, streams: int) -> Quiet:
    alarms = warnings = 0
    spent = 0.0
    for seed in range(streams):
        rng = np.random.default_rng([1, seed])
        baseline, values = freeze(law, rng), law.draw(rng, STREAM)
        started, first = time.process_time(), 0
        while first < len(values):
            decisions, first = until_alert(baseline, law.signal, values, first)
            alarms += sum(decision.severity is Severity.ALERT for decision in decisions)
            warnings += sum(decision.severity is Severity.WARNING for decision in decisions)
        spent += time.process_time() - started
    observations = streams * STREAM
    return Quiet(law.name, observations, alarms, warnings, spent / observations * 1e6)


def watch_change(shift: Shift, repetitions: int) -> Delay:
    threshold = oracle_threshold(*shift.steps)
    oracle, detector = list[float](), list[float]()
    for seed in range(repetitions):
        rng = np.random.default_rng([2, seed])
        baseline = freeze(shift.before, rng)
        values = np.concatenate((shift.before.draw(rng, QUIET), shift.after.draw(rng, LONGEST_WAIT)))
        oracle.append(oracle_delay(shift.ratio(values), threshold))
        decisions, _ = until_alert(baseline, shift.before.signal, values, 0)
        alert = next((row.place for row in decisions if row.severity is Severity.ALERT), None)
        if alert is None or alert >= QUIET:  # one that comes before the change is false, not early
            detector.append(np.inf if alert is None else alert - QUIET + 1)
    return Delay(
        shift=shift.name,
        oracle=float(np.median(oracle)),
        detector=float(np.median(detector)),
        found=float(np.isfinite(detector).mean()),
        false=repetitions - len(detector),
        target=shift.target,
    )


def freeze(law: Law, rng: np.random.Generator) -> Baseline:
    names = [UNLABELLED] * BASELINE  # one stratum: the roll-up is the only stream
    places = np.arange(-BASELINE, 0)
    window = Window(law.signal.name, "1", names, ["model"] * BASELINE, law.draw(rng, BASELINE), places)
    asked_at_all = NullRule(tolerance={law.signal.name: Tolerance()})  # both tiers ask the same question
    return build_baseline([window], asked_at_all, first_place=0, stop_place=0)


def until_alert(baseline: Baseline, signal: Signal, values: Floats, first: int) -> tuple[list[Decision], int]:
    """Fold *values* from *first* on, batch by batch; return what was decided and where the next fold begins."""
    fold, decisions = Fold(baseline, FoldRules(Budget(average_run_length=A))), list[Decision]()
    for start in range(first, len(values), BATCH):
        part = values[start : start + BATCH]
        batch = ObservationBatch(
            series=Series(signal.name, "model", "1"),
            cohorts=(UNLABELLED,),
            cohort_codes=np.zeros(len(part), dtype=np.int32),
            places=np.arange(start, start + len(part)),
            values=part,
        )
        entry = PlacedEntry(Source.TRACES, 1, start, len(part), NOW, NOW, (batch,))
        decisions += [outcome for outcome in fold.add(entry) if isinstance(outcome, Decision)]
        if decisions and decisions[-1].severity is Severity.ALERT:
            return decisions, decisions[-1].place + 1
    return decisions, len(values)


def oracle_delay(steps: Floats, threshold: float) -> float:
    """Return the observations from the change to the CUSUM's first crossing after it."""
    before, after = np.split(steps, [QUIET])
    walk = np.concatenate(([0.0], np.cumsum(before)))
    walk = np.cumsum(np.concatenate(([walk[-1] - walk.min()], after)))  # what the CUSUM stood at when it changed
    height = walk - np.minimum.accumulate(np.minimum(walk, 0.0))
    crossed = np.flatnonzero(height[1:] >= threshold)
    return float(crossed[0] + 1) if len(crossed) else np.inf


def oracle_threshold(values: Floats, chances: Floats) -> float:
    """Return the threshold at which the CUSUM's average run length is A, by bisection."""
    low, high = 0.5, 2.0 * log(A)
    for _ in range(16):
        middle = (low + high) / 2.0
        low, high = (middle, high) if run_length(values, chances, middle) < A else (low, middle)
    return high


def run_length(values: Floats, chances: Floats, threshold: float) -> float:
    """Return the mean number of steps until max(0, C + step) reaches *threshold*, from 0 on."""
    width = threshold / LATTICE
    # Each step is split over the two lattice points around it, so that its mean is kept.
    low = np.floor(values / width).astype(np.int64)
    upper = values / width - low
    jumps: dict[int, float] = {}
    for jump, chance in zip((*low, *(low + 1)), (*(chances * (1.0 - upper)), *(chances * upper)), strict=True):
        jumps[int(jump)] = jumps.get(int(jump), 0.0) + float(chance)
    states = np.arange(LATTICE)
    matrix = np.eye(LATTICE)
    for jump, chance in jumps.items():
        target = np.maximum(states + jump, 0)
        inside = target < LATTICE
        np.subtract.at(matrix, (states[inside], target[inside]), chance)
    return float(np.linalg.solve(matrix, np.ones(LATTICE))[0])


def show(quiet: list[Quiet], delays: list[Delay], *, seconds: float, repetitions: int) -> None:
    headers = ("no change", "observations", "false alarms", "per 100k", "wanted", "warnings", "us a value", "wanted")
    print(table(headers, [_quiet_row(row) for row in quiet]))
    headers = ("change", "oracle", "detector", "ratio", "wanted", f"found in {LONGEST_WAIT:,}", "false", "met")
    print("\n" + table(headers, [_delay_row(row) for row in delays]))
    print(
        f"\nmedian delays over {repetitions} changes; A = {A:,.0f}, baselines of {BASELINE:,}, z = 1;"
        f" us: microseconds of this process's time\n{seconds:.0f} s on {machine()}"
    )


def _quiet_row(row: Quiet) -> list[Any]:
    rates = (row.per_100k, f"<= {TARGET_FALSE_ALARMS:g}", row.warnings, row.microseconds, f"<= {TARGET_MICROSECONDS:g}")
    return [row.signal, row.observations, row.false_alarms, *rates]


def _delay_row(row: Delay) -> list[Any]:
    wanted = f"found >= {TARGET_FOUND:.0%}" if row.target is None else f"<= {row.target:g}"
    return [
        row.shift,
        row.oracle,
        row.detector,
        f"{row.ratio:.2f}",
        wanted,
        f"{row.found:.0%}",
        row.false,
        "yes" if row.met else "NO",
    ]


if __name__ == "__main__":
    sys.exit(main())
