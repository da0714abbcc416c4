"""AlpacaEval's models in prompt order: each against itself, and swapped for another.

The 805 prompts stand in blocks, one a dataset, and the dataset is the cohort. So a later part of
them holds cohorts and kinds of prompts that an earlier part has few of, or none.

`self`: a model's answers, one half the baseline, the other current. *Scattered*: the halves are
drawn by a seed, and both are read in prompt order: 153 comparisons of 17 models and 9 seeds, which
are held to a target. Harder, shown without one, since the later half holds prompts of which the earlier
has none alike: *rotated*, the prompts begin at k/9 of the file, k = 0..8, and wrap round, with the datasets
as cohorts, and again without any label; *halved*, the first half of every dataset, then the second
half of every dataset, and the other way round. The near-null swap of drift_pairs.csv is played in
all these orders too.

`swaps`: the swaps of drift_pairs.csv, silent (the name of the model stays). *Scattered*: A on one half, then B
on the other, as above, the median of three. *Whole*: all of A, then
all of B, in prompt order. *Halved*: A on one half of every dataset, then B on the other. *Shuffled*:
all of A, then all of B, in the orders of `real_swaps`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, partial
from random import Random
from typing import Any

from monitor.domain.trace import Trace
from tests.benchmarks.report import table
from tests.benchmarks.traffic.replay import DATA, Finding, Play, Played, chat_traces, middle, read_rows, signals_of

FOLDER = DATA / "alpaca_eval"
ROTATIONS = 9
ONE_COHORT = "all"
NEAR_NULL = "near-null control"
LARGE_CHANGE = 25.0  # percent of the length
SEEDS = 7
TARGET_SELF = 2  # pages of the comparisons that are scattered
# Medians of SEEDS shuffled orders, summed over the nine swaps that are no near-null, before there were covariates.
TODAY_SUM = 1_640.0
TODAY_LARGE = 569.0  # the same over those of LARGE_CHANGE or more

Row = dict[str, Any]
SWAP_LEGEND = """

scattered, whole, halved, other way: traces of B until the first page on the length; shuffled: the median over
the orders; shown: the same until the first warning, which asks whether anything has changed at all.
shuffled, summed without the near-null: {shuffled_sum:,.0f} (target <= {today:,.0f}), where a swap that is not
found counts as all of B; over changes of {large:.0f}% or more: {shuffled_large_sum:,.0f} (before: {before:,.0f})"""


@cache
def prompts() -> list[Row]:
    return read_rows(FOLDER / "prompts.jsonl.gz")


@cache
def answers(model: str) -> dict[int, str]:
    """Return a model's answers by prompt; a blank one is a dead letter, not a trace."""
    rows = read_rows(FOLDER / "outputs" / f"{model}.jsonl.gz")
    return {row["i"]: row["output"] for row in rows if row["output"].strip()}


@cache
def models() -> list[str]:
    return sorted(path.name.removesuffix(".jsonl.gz") for path in (FOLDER / "outputs").glob("*.jsonl.gz"))


@cache
def swaps() -> list[Row]:
    with (FOLDER / "drift_pairs.csv").open(newline="", encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def rotated(turn: int) -> tuple[list[Row], list[Row]]:
    """Return the two halves of the prompts, begun at turn/ROTATIONS of the file."""
    rows = prompts()
    first = turn * len(rows) // ROTATIONS
    turned = rows[first:] + rows[:first]
    return turned[: len(rows) // 2], turned[len(rows) // 2 :]


def scattered(seed: int) -> tuple[list[Row], list[Row]]:
    """Return the two halves that *seed* draws, each in prompt order."""
    rows = prompts()
    first = set(Random(f"scattered:{seed}").sample(range(len(rows)), len(rows) // 2))
    return [row for at, row in enumerate(rows) if at in first], [row for at, row in enumerate(rows) if at not in first]


def halved(turn: int) -> tuple[list[Row], list[Row]]:
    """Return the first halves of all datasets and their second halves; swapped at turn 1."""
    blocks: dict[str, list[Row]] = defaultdict(list)
    for row in prompts():
        blocks[row["dataset"]].append(row)
    early = [row for block in blocks.values() for row in block[: len(block) // 2]]
    late = [row for block in blocks.values() for row in block[len(block) // 2 :]]
    return (late, early) if turn else (early, late)


def shuffled(model_a: str, model_b: str, seed: int) -> tuple[list[Row], list[Row]]:
    """Return all prompts in an order of each model's own, the one of `real_swaps`."""
    orders = []
    for model in (model_a, model_b):
        order = [row for row in prompts() if row["i"] in answers(model)]
        Random(f"{model}:{seed}").shuffle(order)
        orders.append(order)
    return orders[0], orders[1]


def conversation(parts: Sequence[tuple[str, Sequence[Row]]], *, labelled: bool = True) -> list[Trace]:
    """Return the traces of *parts*, a model and its prompts each, one after the other."""
    return chat_traces(
        (row["dataset"] if labelled else ONE_COHORT, row["instruction"], answers(model)[row["i"]])
        for model, rows in parts
        for row in rows
        if row["i"] in answers(model)
    )


def play_of(part: str, order: str, pair: Row, halves: tuple[list[Row], list[Row]], **facts: Any) -> Play:
    """Return model_a's answers to the first half, then model_b's to the second."""
    model_a, model_b = pair["model_a"], pair["model_b"]
    labelled = not order.endswith("unlabelled")
    told = {"order": order, "kind": pair["kind"], "model_a": model_a, "model_b": model_b, **facts}
    return Play(
        part=part,
        name=f"{model_a} -> {model_b}, {order} {' '.join(f'{key} {value}' for key, value in facts.items())}".strip(),
        baseline=sum(row["i"] in answers(model_a) for row in halves[0]),
        traces=partial(conversation, [(model_a, halves[0]), (model_b, halves[1])], labelled=labelled),
        facts=told | {"length_change": float(pair.get("length_change_%", 0.0))},
    )


def self_plays() -> list[Play]:
    same = [{"kind": "same model", "model_a": model, "model_b": model} for model in models()]
    alike = [*same, *(pair for pair in swaps() if pair["kind"] == NEAR_NULL)]
    drawn = [
        play_of("self", "scattered", pair, scattered(seed), seed=seed) for pair in alike for seed in range(ROTATIONS)
    ]
    turned = [
        play_of("self", order, pair, rotated(turn), turn=turn)
        for order in ("rotated", "rotated, unlabelled")
        for pair in alike
        for turn in range(ROTATIONS)
    ]
    return (
        drawn + turned + [play_of("self", "halved", pair, halved(turn), turn=turn) for pair in alike for turn in (0, 1)]
    )


def swap_plays() -> list[Play]:
    drawn = [play_of("swaps", "scattered", pair, scattered(seed), seed=seed) for pair in swaps() for seed in range(3)]
    whole = [play_of("swaps", "whole", pair, (prompts(), prompts())) for pair in swaps()]
    parted = [play_of("swaps", "halved", pair, halved(turn), turn=turn) for pair in swaps() for turn in (0, 1)]
    mixed = [
        play_of("swaps", "shuffled", pair, shuffled(pair["model_a"], pair["model_b"], seed), seed=seed)
        for pair in swaps()
        for seed in range(SEEDS)
    ]
    return [*drawn, *whole, *parted, *mixed]


def judge_self(played: Sequence[Played]) -> Finding:
    orders = list(dict.fromkeys(item.play.facts["order"] for item in played))
    rows, failures, facts = [], [], {}
    for order in orders:
        of_order = [item for item in played if item.play.facts["order"] == order]
        for near_null in (False, True):
            items = [item for item in of_order if (item.play.facts["kind"] == NEAR_NULL) is near_null]
            paged = [item for item in items if item.page is not None]
            name = "the near-null swap" if near_null else "models against themselves"
            allowed = None if order != "scattered" else 0 if near_null else TARGET_SELF
            pages = [alarm for item in paged for alarm in item.alarms if alarm.pages]
            warned = sum(any(not alarm.pages for alarm in item.alarms) for item in items)
            shifted = sum(item.noticed_input for item in items)
            wanted = "-" if allowed is None else f"<= {allowed}"
            rows.append([name, order, len(items), len(paged), wanted, warned, shifted, signals_of(pages)])
            facts[f"{name}, {order}"] = len(paged)
            if allowed is not None and len(paged) > allowed:
                failures.append(f"self: {name}, {order}: {len(paged)} of {len(items)} page; at most {allowed} may")
                failures += [f"self: {item.name}: {item.page}" for item in paged]
    headers = ("in prompt order", "order", "runs", "paged", "target", "warned", "input shift", "pages on")
    return Finding(table(headers, rows), tuple(failures), facts)


def judge_swaps(played: Sequence[Played]) -> Finding:
    of_swap: dict[tuple[str, str], list[Played]] = defaultdict(list)
    for item in played:
        of_swap[item.play.facts["model_a"], item.play.facts["model_b"]].append(item)
    rows = [swap_row(items) for items in of_swap.values()]
    changed = [items for items in of_swap.values() if items[0].play.facts["kind"] != NEAR_NULL]
    large = [items for items in changed if abs(items[0].play.facts["length_change"]) >= LARGE_CHANGE]
    sums = {"shuffled_sum": sum(map(delay_of, changed)), "shuffled_large_sum": sum(map(delay_of, large))}
    failures = [failure for items in of_swap.values() for failure in failed(items)]
    if sums["shuffled_sum"] > TODAY_SUM:
        failures.append(
            f"swaps: shuffled delays sum up to {sums['shuffled_sum']:,.0f}; wanted {TODAY_SUM:,.0f} or less"
        )
    headers = (
        "A -> B",
        "length",
        "scattered",
        "whole",
        "halved",
        "the other way",
        "shuffled",
        "worst",
        "not found",
        "shown",
        "also",
    )
    text = table(headers, rows) + SWAP_LEGEND.format(**sums, today=TODAY_SUM, large=LARGE_CHANGE, before=TODAY_LARGE)
    return Finding(text, tuple(failures), sums)


def swap_delay(item: Played, *, shown: bool = False) -> float:
    """Return the traces of B until the first page on the length in the direction it changed; *shown*: or warning."""
    found = item.length_page("up" if item.play.facts["length_change"] > 0 else "down", shown=shown)
    return float("inf") if found is None else float(found.after)


def in_order(played: Sequence[Played], order: str) -> list[Played]:
    return [item for item in played if item.play.facts["order"] == order]


def delay_of(played: Sequence[Played]) -> float:
    """Return the median delay of the shuffled orders; where it is endless, all of B."""
    mixed = in_order(played, "shuffled")
    median = middle(swap_delay(item) for item in mixed)
    return float(mixed[0].watched) if median is None else median


def failed(played: Sequence[Played]) -> Iterator[str]:
    facts = played[0].play.facts
    for item in played:
        if facts["kind"] == NEAR_NULL and item.page is not None:
            yield f"swaps: {item.name}: must be silent: {item.page}"
        if abs(facts["length_change"]) >= LARGE_CHANGE and swap_delay(item) == float("inf"):
            yield f"swaps: {item.name}: {facts['length_change']:+.1f}% of the length is not found"


def swap_row(played: Sequence[Played]) -> list[object]:
    facts = played[0].play.facts
    delays = [swap_delay(item) for item in in_order(played, "shuffled")]
    known = [delay for delay in delays if delay < float("inf")]
    others = [alarm for item in played for alarm in item.alarms if alarm.pages and alarm.signal != "response_length"]
    parted = in_order(played, "halved")
    return [
        f"{facts['model_a']} -> {facts['model_b']}",
        f"{facts['length_change']:+.1f}%",
        middle(swap_delay(item) for item in in_order(played, "scattered")),
        middle(swap_delay(item) for item in in_order(played, "whole")),
        middle([swap_delay(parted[0])]),
        middle([swap_delay(parted[1])]),
        middle(delays),
        max(known, default=None),
        len(delays) - len(known),
        middle(swap_delay(item, shown=True) for item in in_order(played, "shuffled")),
        ", ".join(dict.fromkeys(alarm.signal for alarm in others)) or "-",
    ]
