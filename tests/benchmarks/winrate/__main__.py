"""The win rate from opinions on every trace and labels on a few: is it right, how narrow, how soon does it tell?

    python -m tests.benchmarks.winrate [--only coverage,people,drift,swaps] [--runs N] [--json FILE]

- coverage: how often each interval holds the true rate, over simulated traces (coverage.py)
- people: labels saved on real judgements of people and of GPT-4 (people.py)
- drift: how soon a falling rate is found, and how often one is that has not fallen (drift.py)
- swaps: real model swaps: which of them the win rate finds (swaps.py)

Exit code 1, with the rows named, where a target is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.report import machine, options, write_json
from tests.benchmarks.winrate import coverage, drift, people, swaps

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Part:
    run: Callable[[int], Rows]  # given the repetitions; prints what it found
    runs: int
    failures: Callable[[Sequence[dict[str, Any]]], list[str]] | None = None


PARTS = {
    "coverage": Part(coverage.run, 1000, coverage.failures),
    "people": Part(people.run, 1000, people.failures),
    "drift": Part(drift.run, 20),
    "swaps": Part(swaps.run, 10, swaps.failures),
}


def main() -> int:
    parser = options("The win rate from opinions and labels.")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run, with commas between them")
    parser.add_argument("--runs", type=int, help="repetitions of each part, instead of its own number")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"--only: unknown part {unknown[0]!r}; there are {', '.join(PARTS)}")
    report: dict[str, Any] = {}
    failures: list[str] = []
    for name in chosen:
        started = time.monotonic()
        part = PARTS[name]
        print(f"== {name}\n", flush=True)
        report[name] = part.run(arguments.runs or part.runs)
        failures += [f"{name}: {failure}" for failure in part.failures(report[name])] if part.failures else []
        print(f"\n{time.monotonic() - started:.0f} s\n", flush=True)
    print(machine())
    print("\n".join(["", "NOT AS IT MUST BE:", *failures]) if failures else "\neverything as it must be")
    write_json(arguments.json, report | {"failures": failures, "machine": machine()})
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
