"""Labels saved on real judgements: of people, and of GPT-4 in their place, of whose verdicts a few are revealed.

A set's full rate, of all its verdicts, is what is estimated from a twentieth, a tenth or a fifth of them, drawn anew in
each repetition. No opinion has seen the verdict it is about.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.stats.ppi import Floats, Labelled, Population, estimate_mean
from tests.benchmarks.refusal_rows import SHARED_DATA
from tests.benchmarks.report import table
from tests.benchmarks.winrate.text_opinion import Pairs, opinions

SHARES = (0.05, 0.1, 0.2)
SHOWN = 0.1  # of models, one by one; the summary has every share
PEOPLE = "people"
FOLDS = 5
LEAST_LABELS = 30
WANTED = 0.94
LENGTH, WORDS, OTHERS = "longer wins", "words and length", "other models here"
JUDGES = {
    "GPT-4, against davinci-003": ("judge_v1_gpt4_vs_davinci003.csv.gz", "text_davinci_003"),
    "GPT-4 turbo, against itself": ("judge_v2_weightedgpt4turbo_vs_gpt4_1106.csv.gz", "gpt4_1106_preview"),
}
HUMAN_SETS = ("pandalm_test", "oasst_en100_ranked", "finegrained_qa_dev", "mtbench_human_llmbar")
OTHER_JUDGES = {"gpt35_label": "GPT-3.5's verdict", "pandalm7b_label": "PandaLM-7B's verdict"}
LEGEND = """
rate: of all verdicts of the set, which is what is estimated. agrees: how often opinion and verdict lie on the same side
of one half, ties left out. Widths and saved are means over the repetitions: saved is the share of labels that the
opinions replace at the same width. holds: share of the repetitions whose interval held the rate of the full set.
"longer wins" and "words and length" are fitted on other rows: of other models, where there are any, and of other
prompts. "other models here" is the mean of the same judge's verdicts on the other models' answers to the same prompt.
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """A set of verdicts, with one opinion on each."""

    set: str
    name: str  # of what is judged
    opinion: str
    opinions: Floats
    verdicts: Floats

    @property
    def agrees(self) -> float:
        told = (self.verdicts != 0.5) & (self.opinions != 0.5)
        return float(((self.opinions > 0.5) == (self.verdicts > 0.5))[told].mean())


def run(runs: int) -> list[dict[str, Any]]:
    """Estimate every set's rate *runs* times a share; print tables, and return the rows. Without the data, none."""
    if not SHARED_DATA.is_dir():
        print(f"the data folder {SHARED_DATA} is missing; this part needs it")
        return []
    sets = [*alpaca(), *people()]
    rows = [row for judged in sets for share in SHARES if (row := measure(judged, share, runs)) is not None]
    headers = (
        "judged",
        "opinion",
        "rate",
        "agrees",
        "share",
        "labels",
        "both",
        "alone",
        "saved",
        "holds",
        "alone holds",
    )
    for name in dict.fromkeys(judged.set for judged in sets):
        print(f"{name}\n")
        own = [row for row in rows if row["set"] == name and (name == PEOPLE or row["share"] == SHOWN)]
        print(table(headers, [list(row.values())[1:] for row in own]), end="\n\n")
    print(table(("set", "opinion", "share", "median saved", "least", "most"), list(summary(rows))))
    print(LEGEND)
    return rows


def failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the sets in which an interval covers less than it must."""
    return [
        f"{row['judged']}, {row['opinion']}, {row['share']:.0%} revealed: {row['holds']:.1%}"
        for row in rows
        if row["holds"] < WANTED or row["alone_holds"] < WANTED
    ]


def measure(judged: Judged, share: float, runs: int) -> dict[str, Any] | None:
    size = len(judged.verdicts)
    if share * size < LEAST_LABELS:
        return None
    rate = float(judged.verdicts.mean())
    sums = Population(size, size, float(judged.opinions.sum()), float((judged.opinions**2).sum()))
    rng = np.random.default_rng(round(1000 * share))
    told = []
    for _ in range(runs):
        drawn = rng.random(size) < share
        labelled = Labelled(judged.opinions[drawn], judged.verdicts[drawn], np.full(int(drawn.sum()), share))
        found = estimate_mean(labelled, sums, min_labels=10)
        assert found is not None
        widths = found.upper - found.lower, found.classical_upper - found.classical_lower
        holds = found.lower <= rate <= found.upper, found.classical_lower <= rate <= found.classical_upper
        told.append((found.labels, *widths, found.labels_gained / (found.labels + found.labels_gained), *holds))
    names = ("labels", "both", "alone", "saved", "holds", "alone_holds")
    facts = {"set": judged.set, "judged": judged.name, "opinion": judged.opinion, "rate": rate, "agrees": judged.agrees}
    return facts | {"share": share} | dict(zip(names, np.mean(told, axis=0).tolist(), strict=True))


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[object, ...]]:
    for key in dict.fromkeys((row["set"], row["opinion"], row["share"]) for row in rows):
        saved = [row["saved"] for row in rows if (row["set"], row["opinion"], row["share"]) == key]
        yield *key, float(np.median(saved)), min(saved), max(saved)


def alpaca() -> Iterator[Judged]:
    folder = SHARED_DATA / "alpaca_eval"
    answers = {path.name.removesuffix(".jsonl.gz"): _rows(path) for path in sorted((folder / "outputs").iterdir())}
    texts = {name: {row["i"]: row["output"] for row in rows} for name, rows in answers.items()}
    for set_name, (file, reference) in JUDGES.items():
        with gzip.open(folder / file, "rt", encoding="utf-8") as lines:
            judgements = list(csv.DictReader(lines))
        models = [name for name in judgements[0] if name not in {"i", reference}]
        cells = [(name, int(row["i"]), row[name]) for name in models for row in judgements if row[name] != ""]
        cells = [cell for cell in cells if cell[1] in texts[cell[0]] and cell[1] in texts[reference]]
        verdicts = np.array([0.5 if float(cell) < 0.0 else float(cell) for _, _, cell in cells])
        prompts = np.array([prompt for _, prompt, _ in cells])
        names = np.array([name for name, _, _ in cells])
        pairs = Pairs.of([texts[name][i] for name, i, _ in cells], [texts[reference][i] for _, i, _ in cells])
        asked = [
            np.flatnonzero((names == name) & (prompts % FOLDS == fold)) for name in models for fold in range(FOLDS)
        ]
        others = [
            np.flatnonzero((names != name) & (prompts % FOLDS != fold)) for name in models for fold in range(FOLDS)
        ]
        for opinion, words in ((LENGTH, False), (WORDS, True)):
            said = opinions(pairs.columns(words), verdicts, fit_on=others, asked=asked)
            for name in models:
                own = names == name
                yield Judged(set_name, name, opinion, said[own], verdicts[own])
        count, total = np.bincount(prompts), np.bincount(prompts, verdicts)
        alike = (total[prompts] - verdicts) / np.maximum(count[prompts] - 1, 1)
        for name in models:
            own = names == name
            yield Judged(set_name, name, OTHERS, alike[own], verdicts[own])


def people() -> Iterator[Judged]:
    for name in HUMAN_SETS:
        rows = [row for row in _rows(SHARED_DATA / "human_pairs" / f"{name}.jsonl.gz") if row["label"] is not None]
        # Which of two stands first means nothing, and in one set it is always the better one.
        turned = np.random.default_rng(0).random(len(rows)) < 0.5
        values = np.array([{1: 1.0, 2: 0.0, 0: 0.5}[row["label"]] for row in rows])
        verdicts = np.where(turned, 1.0 - values, values)
        texts = [(row["response_1"], row["response_2"]) for row in rows]
        sides = [(b, a) if turn else (a, b) for (a, b), turn in zip(texts, turned, strict=True)]
        pairs = Pairs.of([first for first, _ in sides], [second for _, second in sides])
        _, prompts = np.unique([row.get("tree") or row["prompt"] for row in rows], return_inverse=True)
        asked = [np.flatnonzero(prompts % FOLDS == fold) for fold in range(FOLDS)]
        others = [np.flatnonzero(prompts % FOLDS != fold) for fold in range(FOLDS)]
        for opinion, words in ((LENGTH, False), (WORDS, True)):
            said = opinions(pairs.columns(words), verdicts, fit_on=others, asked=asked)
            yield Judged(PEOPLE, name, opinion, said, verdicts)
        for field, judge in OTHER_JUDGES.items():
            if field in rows[0]:
                told = np.array([{"1": 1.0, "2": 0.0}.get(str(row[field]), 0.5) for row in rows])
                yield Judged(PEOPLE, name, judge, np.where(turned, 1.0 - told, told), verdicts)


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
