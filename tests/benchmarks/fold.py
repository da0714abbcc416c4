"""How fast the fold is with covariates, and how long a baseline takes to freeze: in one process, from memory.

    python -m tests.benchmarks.fold [--traces N] [--json FILE]

Made-up traffic over the prompts of the demo's texts: five cohorts, four signals, a thousand traces an entry. The
log is observed first, which is not timed. An observation is one value of one signal on one trace; it is folded into
its cohort's stream and into the roll-up, in both tiers, beside the prompts' own streams.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from monitor.domain.cohort import CohortRule
from monitor.domain.trace import Message, Trace
from monitor.drift.budget import Budget
from monitor.drift.controller import freeze_window
from monitor.drift.fold import Fold, FoldRules
from monitor.drift.freeze import NullRule
from monitor.observe.cohorts import InMemoryCohortNames
from monitor.observe.repeat import InMemoryRepeats
from monitor.observe.step import Observer, ObserveRules
from monitor.offline.log import InMemoryLog
from tests.benchmarks.report import machine, options, table, write_json

START = datetime(2026, 3, 1, tzinfo=UTC)
WANTED = 200_000  # observations a second, on one core
WINDOWS = (2_000, 5_000, 20_000)
BASELINE = 5_000
ENTRY = 1_000
COHORTS = 5
TOPICS = (
    "a refund",
    "a recipe",
    "a python script",
    "the weather",
    "a birthday card",
    "my tax return",
    "a train",
    "a poem",
)
ASKS = (
    "please explain {} to me",
    "write {} in {} words",
    "why does {} not work",
    "compare {} with {}",
    "fix {} for me",
)


def traces(count: int) -> Iterator[Trace]:
    """Yield *count* answers whose length depends on what was asked."""
    random = Random("fold")
    for number in range(count):
        ask = random.choice(ASKS)
        topics = [random.choice(TOPICS) for _ in range(2)]
        prompt = f"{ask.format(*topics)} number {random.randrange(10**6)} " + " ".join(random.choices(TOPICS, k=8))
        length = max(round(random.lognormvariate(4.0 + 0.3 * ASKS.index(ask), 0.6)), 1)
        yield Trace(
            trace_id=f"t{number}",
            timestamp=START + timedelta(seconds=10 * number),
            policy_model="assistant-1",
            response="I cannot help with that." if random.random() < 0.03 else "Here it is.",
            messages=(Message("user", prompt),),
            cohort={"product": f"p{random.randrange(COHORTS)}"},
            finish_reason="length" if random.random() < 0.01 else "stop",
            input_tokens=len(prompt) // 4,
            output_tokens=length,
        )


def observed(count: int) -> InMemoryLog:
    """Return the log of *count* traces."""
    log, memory = InMemoryLog(), InMemoryRepeats(timedelta(hours=1))
    observer = Observer(ObserveRules(CohortRule(("product",))), names=InMemoryCohortNames(50), repeats=memory)
    block: list[Trace] = []
    for trace in traces(count):
        block.append(trace)
        if len(block) == ENTRY:
            log.append(observer.observe(block).entry)
            block = []
    return log


def main() -> int:
    parser = options("Speed of the fold with covariates, and of freezing a baseline.")
    parser.add_argument("--traces", type=int, default=60_000)
    arguments = parser.parse_args()
    log = observed(arguments.traces)
    frozen = []
    for window in WINDOWS:
        started = time.process_time()
        freeze_window(log, NullRule(), first_place=0, stop_place=window)
        frozen.append({"window": window, "seconds": time.process_time() - started})
    baseline = freeze_window(log, NullRule(), first_place=0, stop_place=BASELINE)
    fold = Fold(baseline, FoldRules(Budget()))
    entries = [entry for entry in log.records if entry.first_place >= BASELINE]
    values = sum(len(batch.values) for entry in entries for batch in entry.observations)
    started = time.process_time()
    for entry in entries:
        fold.add(entry)
    seconds = time.process_time() - started
    rows: list[list[Any]] = [[values, len(fold.streams), seconds, values / seconds, seconds / values * 1e6, WANTED]]
    print(table(("observations", "streams", "seconds", "a second", "us each", "wanted a second"), rows))
    print("\n" + table(("window, traces", "seconds to freeze"), [list(row.values()) for row in frozen]))
    print(f"\nthis process's own time on {machine()}")
    report = {"observations": values, "seconds": seconds, "per_second": values / seconds, "frozen": frozen}
    write_json(arguments.json, report | {"machine": machine()})
    return 0 if values / seconds >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
