"""Real model swaps on the win rate: which are found, after how many traces and labels; the silent ones must be silent.

GPT-4's judgement of each answer stands for a person's, of which some are revealed. The opinion is a Bradley-Terry
model of words and length, fitted to the same judge's verdicts on other models and other prompts. Model A's answers to
the 805 prompts are the window, model B's follow, both in an order drawn by the seed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.domain.alarm import Severity
from monitor.drift.budget import Budget
from monitor.drift.fold import FoldRules
from monitor.signals.estimand import REWARD_WIN, WIN_RATE
from tests.benchmarks.refusal_rows import SHARED_DATA
from tests.benchmarks.report import table
from tests.benchmarks.winrate.people import SHARES, WORDS, Judged, alpaca
from tests.benchmarks.winrate.play import ALONE, World, alarms_of

AVERAGE_RUN_LENGTH = 10_000.0
RULES = FoldRules(Budget(average_run_length=AVERAGE_RUN_LENGTH))
BLOCK = 16
NEAR_NULL, SELF = "near-null control", "the same model"
LEGEND = f"""
before, after: the judge's win rate of each model. changed, page: runs in which the win rate alarmed, at A / 10 and at
A = {AVERAGE_RUN_LENGTH:,.0f}. traces, labels: of model B until the first of them, median of those that were found.
alone: the same for a detector of the labels alone. opinion: runs in which the ensemble alone paged.
"""


@dataclass(frozen=True, slots=True)
class Swap:
    kind: str
    judge: str
    before: Judged
    after: Judged

    @property
    def must_be_silent(self) -> bool:
        return self.kind in {NEAR_NULL, SELF}


def run(runs: int) -> list[dict[str, Any]]:
    """Play every swap *runs* times a share of revealed verdicts; print a table, and return its rows."""
    if not SHARED_DATA.is_dir():
        print(f"the data folder {SHARED_DATA} is missing; this part needs it")
        return []
    rows = [measure(swap, share, runs) for swap in swaps() for share in SHARES]
    headers = ("judge", "swap", "before", "after", "share", "runs", "changed", "page", "traces", "labels")
    print(table((*headers, "alone", "traces", "opinion"), [list(row.values())[1:] for row in rows]))
    print(LEGEND)
    return rows


def failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the swaps of like models that paged more often than one run in ten."""
    silent = [row for row in rows if row["kind"] in {NEAR_NULL, SELF}]
    paged, played = sum(row["page"] for row in silent), sum(row["runs"] for row in silent)
    return [f"{paged} of {played} swaps of like models paged"] if paged > 0.1 * played else []


def swaps() -> Iterator[Swap]:
    judged = {(row.set, row.name): row for row in alpaca() if row.opinion == WORDS}
    judges = list(dict.fromkeys(judge for judge, _ in judged))
    with (SHARED_DATA / "alpaca_eval" / "drift_pairs.csv").open(encoding="utf-8") as lines:
        pairs = [(row["kind"], row["model_a"], row["model_b"]) for row in csv.DictReader(lines)]
    for judge in judges:
        for kind, a, b in pairs:
            if (judge, a) in judged and (judge, b) in judged:
                yield Swap(kind, judge, judged[judge, a], judged[judge, b])
        for model in dict.fromkeys(a for _, a, _ in pairs):
            if (judge, model) in judged:
                yield Swap(SELF, judge, judged[judge, model], judged[judge, model])


def measure(swap: Swap, share: float, runs: int) -> dict[str, Any]:
    found, alone, labels, opinion = [], [], [], 0
    changed = page = 0
    for seed in range(runs):
        world, window = play(swap, share, np.random.default_rng([seed, round(1000 * share)]))
        told = alarms_of(world, RULES, window=window, block=BLOCK)
        own = told.get(WIN_RATE.name, {})
        changed, page = changed + bool(own), page + (Severity.ALERT in own)
        opinion += Severity.ALERT in told.get(REWARD_WIN.name, {})
        if own:
            at = min(own.values())
            found.append(at + 1 - window)
            labels.append(int(world.selected[window : at + 1].sum()))
        alone += [min(told[ALONE].values()) + 1 - window] if told.get(ALONE) else []
    return {
        "kind": swap.kind,
        "judge": swap.judge,
        "swap": f"{swap.before.name} -> {swap.after.name}",
        "before": float(swap.before.verdicts.mean()),
        "after": float(swap.after.verdicts.mean()),
        "share": share,
        "runs": runs,
        "changed": changed,
        "page": page,
        "traces": float(np.median(found)) if found else None,
        "labels": float(np.median(labels)) if labels else None,
        "alone": len(alone),
        "alone_traces": float(np.median(alone)) if alone else None,
        "opinion": opinion,
    }


def play(swap: Swap, share: float, rng: np.random.Generator) -> tuple[World, int]:
    """Return the swap's traces, and how many of them are the window: one half of a model that is its own."""
    if swap.kind == SELF:
        order = rng.permutation(len(swap.before.verdicts))
        cheap, verdict, window = swap.before.opinions[order], swap.before.verdicts[order], len(order) // 2
    else:
        sides = [(side, rng.permutation(len(side.verdicts))) for side in (swap.before, swap.after)]
        cheap = np.concatenate([side.opinions[order] for side, order in sides])
        verdict = np.concatenate([side.verdicts[order] for side, order in sides])
        window = len(swap.before.verdicts)
    selected = rng.random(len(cheap)) < share
    return World(cheap, verdict, np.full(len(cheap), share), share, selected), window
