"""One run over an hour of production calls, step by step: the worked example of docs/drift.md.

    python -m tests.benchmarks.one_hour [--start N] [--baseline N] [--factor X]

Freezes the first calls from START on and watches the others, as `rlhf-monitor backtest` does with A = 10,000; from
1,000 calls after the baseline on the answers are FACTOR times as long. It tells what was frozen of the length, what
the width of its null interval is made of, and each alarm.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice

import numpy as np

from monitor.cli.table import decomposition_text, effect_text
from monitor.domain.cohort import ALL, UNLABELLED
from monitor.domain.observation import PlacedEntry
from monitor.domain.stream import StreamKey
from monitor.domain.trace import Trace
from monitor.drift.asked import read_asked
from monitor.drift.baseline import ANY_POLICY, Baseline, SignalBaseline
from monitor.drift.controller import freeze_window
from monitor.drift.diagnosis import describe
from monitor.drift.fold import Fold, in_fold_order
from monitor.drift.kinds import MEMORY
from monitor.drift.null import DISTANCES, LEAN_ERRORS, Floats, Null
from monitor.drift.scale.law import REACH
from monitor.drift.stream import Decision
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer
from monitor.offline.backtest import BLOCK, BacktestPlan
from monitor.offline.log import InMemoryLog
from monitor.signals.length import RESPONSE_LENGTH
from tests.benchmarks.report import options, table
from tests.benchmarks.traffic.azure import calls
from tests.benchmarks.traffic.replay import DATA

STEP = 500  # calls told in a row
TOLD = ("mean", "expected", "D", "z se", "least", "tau_t / 2", "2 tau_g D", "leaning", "tolerance", "up to")


def main() -> int:
    parser = options("One run over an hour of production calls.")
    parser.add_argument("--start", type=int, default=0, help="first call of the baseline")
    parser.add_argument("--baseline", type=int, default=5_000, help="calls that are frozen")
    parser.add_argument("--factor", type=float, default=1.25, help="what the lengths are multiplied by")
    chosen = parser.parse_args()
    if not DATA.is_dir():
        print(f"one_hour: the data folder {DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    frozen, plan = chosen.baseline, BacktestPlan(baseline_traces=chosen.baseline)
    log = logged(calls("forward", chosen.start, frozen, chosen.factor), plan)
    baseline = freeze_window(log, plan.null_rule, first_place=0, stop_place=frozen)
    tell_baseline(baseline)
    fold, found, outcomes = Fold(baseline, plan.fold), [], []
    for entry in log.records:
        found.append(widths(entry, fold))
        outcomes += fold.add(entry)
    seen = np.concatenate(found)[frozen:]
    rows = [(f"{at + 1:,}", *seen[at : at + STEP].mean(axis=0)) for at in range(0, len(seen), STEP)]
    print(
        f"\n{STEP} calls a row: mean tokens, and what the prompts let expect; the mix's distance D; and what the width"
    )
    print("of the roll-up's null interval upward is made of, in log length, with the tolerance of a page\n")
    print(table(("from call", *TOLD), rows))
    for decision in in_fold_order(outcome for outcome in outcomes if isinstance(outcome, Decision)):
        alarm = describe(decision, baseline, log)
        parts = "" if alarm.decomposition is None else decomposition_text(alarm.decomposition)
        print(f"\n{alarm.severity}: {alarm.stream.signal} {alarm.stream.cohort} {alarm.direction}", end=" ")
        print(f"after {alarm.place - frozen + 1:,} calls, begun at {alarm.onset_place - frozen + 1:,}")
        print(f"  {alarm.detail or effect_text(alarm.effect)}" + (f"\n  of it {parts}" if parts else ""))
    return 0


def logged(traces: Iterable[Trace], plan: BacktestPlan) -> InMemoryLog:
    """Return the log of *traces*, of which none is a repeat, since none has a text."""
    log, source = InMemoryLog(), iter(traces)
    observer = Observer(
        plan.observe, names=InMemoryCohortNames(plan.max_cohorts), repeats=InMemoryRepeats(plan.observe.repeat_window)
    )
    while block := list(islice(source, BLOCK)):
        log.append(observer.observe(block).entry)
    return log


def tell_baseline(baseline: Baseline) -> None:
    law = length_law(baseline)
    row, known = law.for_policy(ANY_POLICY)[UNLABELLED], law.expectation
    print(f"frozen: {row.observations:,} lengths, mean {row.mean:.1f} {law.unit}")
    print(f"expected of a length: by {known.uses}, R2 {known.r2:.3f} held out")
    print(f"tau_t {row.wander:.3f} and tau_g {law.kind_wander:.3f} log length")
    assert baseline.prompts is not None
    assert baseline.prompts.kinds is not None
    mix = baseline.prompts.mix(ALL)
    assert mix is not None
    print("kinds of prompts:")
    for share, name in sorted(zip(mix.shares, baseline.prompts.kinds.names, strict=True), reverse=True):
        print(f"  {share:.1%} {name}")


def widths(entry: PlacedEntry, fold: Fold) -> Floats:
    """Return what is TOLD of each length in *entry*, which *fold* has not read yet, a row each."""
    law = length_law(fold.baseline)
    batch = next(batch for batch in entry.observations if batch.series.signal == RESPONSE_LENGTH.name)
    series, at = batch.series, batch.places - entry.first_place
    key = StreamKey(series.signal, ALL, series.policy_model, series.scorer_version)
    null = Null.of(law, law.followed(ALL, series.policy_model), ALL, window=law.law())
    asked, stratum = read_asked(entry, fold.baseline, fold.mixes), np.zeros(len(at), np.int64)
    said, spread = (column[at] for column in asked.expected(law, entry.places))
    lean, _ = null.leaning(stratum, said, fold.leans.get(key, 0.0))
    distance, _ = asked.of_rows(at, law)
    offset = law.for_policy(series.policy_model)[UNLABELLED].value_offset
    parts = (
        null.half_width[stratum, 0] * 2.0 * REACH * spread,
        np.full(len(at), null.scale.least(null.law.grid)),
        0.5 * null.wander[stratum],
        DISTANCES * null.kind_wander * distance,
        null.attenuation * np.maximum(lean - LEAN_ERRORS * null.foretold_sd[stratum] / MEMORY**0.5, 0.0),
        null.tolerance_up[stratum],
    )
    width = parts[0] + parts[1] + np.hypot(parts[2], parts[3]) + parts[4] + parts[5]
    expected = null.scale.expected_value(null.located(stratum, said), spread, null.law) + offset
    return np.column_stack((np.clip(batch.values, *law.bounds), expected, distance, *parts, width))


def length_law(baseline: Baseline) -> SignalBaseline:
    return next(law for law in baseline.signals if law.signal == RESPONSE_LENGTH.name)


if __name__ == "__main__":
    sys.exit(main())
