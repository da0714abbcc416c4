"""What the optional signals of how answers are written come to on real answers, and what they cost.

    python -m tests.benchmarks.signals_habits [--json FILE]

alpaca_eval: 17 models' answers to the same 805 prompts. A line has each signal's mean by model, over the answers on
which it was observed. `swaps`: pairs of models of which it is known how the second one writes beside the first, and
how far the means lie apart, in standard errors of the difference over the same prompts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from msgspec import structs

from monitor.domain.trace import Message, Trace
from monitor.signals.habits import HABITS

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ENOUGH = 30  # observations: a mean of fewer is left out
PASSES = 5
BATCH = 1_000
# Known of the source: what was asked of a model, or how it was trained.
SWAPS = (
    ("gpt4_0613", "gpt4_0613_verbose", "told to be verbose", {"list_share": 1}),
    ("gpt4_0613", "gpt4_0613_concise", "told to be concise", {"list_share": -1}),
    ("phi-2-sft", "phi-2", "the base model, which does not end", {"repetition": 1, "loop": 1}),
    ("gpt4_0613", "gpt4_1106_preview", "GPT-4 Turbo writes Markdown", {"heading": 1, "bold": 1}),
    ("text_davinci_003", "gpt-3.5-turbo-0301", "chat tuning: speaks of itself", {"self_reference": 1}),
    (
        "Mistral-7B-Instruct-v0.2",
        "Snorkel-Mistral-PairRM-DPO",
        "DPO against a reward model",
        {"bold": 1, "list_share": 1, "disclaimer": 1},
    ),
    ("alpaca-7b", "Mistral-7B-Instruct-v0.2", "chat tuning: hedges", {"hedging": 1}),
)

Values = dict[str, dict[str, float | None]]  # by signal, then by prompt


def read_traces(folder: Path) -> dict[str, list[Trace]]:
    prompts = {row["i"]: row["instruction"] for row in read(folder / "prompts.jsonl.gz")}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        file.name.removesuffix(".jsonl.gz"): [
            Trace(f"{row['i']}", at, "m", row["output"] or None, (Message("user", prompts[row["i"]]),))
            for row in read(file)
        ]
        for file in sorted((folder / "outputs").glob("*.jsonl.gz"))
    }


def read(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def observed(traces: Sequence[Trace]) -> Values:
    return {
        signal.name: {trace.trace_id: None if (seen := read(trace)) is None else seen.value for trace in traces}
        for signal, read in HABITS.items()
    }


def mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) >= ENOUGH else None


def compare(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> tuple[float, float]:
    """Return the mean difference on the prompts that both were observed on, and its standard errors from zero."""
    pairs = [(before[prompt], after[prompt]) for prompt in before.keys() & after.keys()]
    apart = [b - a for a, b in pairs if a is not None and b is not None]
    if len(apart) < ENOUGH:
        return 0.0, 0.0
    error = stdev(apart) / len(apart) ** 0.5
    return fmean(apart), fmean(apart) / error if error else 0.0


def swaps(values: Mapping[str, Values]) -> list[dict[str, Any]]:
    rows = []
    for before, after, why, expected in SWAPS:
        for signal, sign in expected.items():
            moved, errors = compare(values[before][signal], values[after][signal])
            held = errors * sign > 3
            rows.append({"before": before, "after": after, "why": why, "signal": signal, "expected": sign,
                         "moved": moved, "errors": errors, "held": held})  # fmt: skip
    return rows


def microseconds(traces: Sequence[Trace]) -> dict[str, float]:
    """Return what each signal costs on an answer, in batches as the worker reads them, the least of some passes.

    Processor time: other work on the machine counts little. What several signals need is paid by the first of them.
    """
    least: dict[str, float] = {}
    for number in range(PASSES):
        told = [structs.replace(trace, response=f"{trace.response or '-'} {number}") for trace in traces]
        spent = dict.fromkeys((signal.name for signal in HABITS), 0.0)
        for start in range(0, len(told), BATCH):
            for signal, observe in HABITS.items():
                started = time.process_time()
                for trace in told[start : start + BATCH]:
                    observe(trace)
                spent[signal.name] += time.process_time() - started
        least = {name: min(seconds, least.get(name, seconds)) for name, seconds in spent.items()}
    return {name: seconds / len(traces) * 1e6 for name, seconds in least.items()}


def shown(mean: float | None) -> str:
    return "-" if mean is None else f"{mean:.4f}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    traces = read_traces(SHARED_DATA / "alpaca_eval")
    values = {model: observed(rows) for model, rows in traces.items()}
    means = {model: {name: mean_of(found.values()) for name, found in rows.items()} for model, rows in values.items()}
    cost = microseconds([trace for rows in traces.values() for trace in rows][::7])
    compared = swaps(values)
    names = [signal.name for signal in HABITS]
    print(f"{'':26}" + "".join(f"{name[:10]:>11}" for name in names))
    for model, row in means.items():
        print(f"{model:26}" + "".join(f"{shown(row[name]):>11}" for name in names))
    print(f"{'microseconds a trace':26}" + "".join(f"{cost[name]:11.1f}" for name in names))
    print(f"all together: {sum(cost.values()):.1f} microseconds a trace")
    for row in compared:
        moved = f"{row['signal']} {row['moved']:+.4f}, {row['errors']:+.1f} errors"
        print(f"{row['before']} -> {row['after']} ({row['why']}): {moved}")
    if chosen.json:
        report = {"means": means, "microseconds": cost, "microseconds_in_all": sum(cost.values()), "swaps": compared}
        chosen.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
