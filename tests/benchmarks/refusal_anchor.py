"""What lopsided labels do to the shipped refusal weights, with the anchor and without it.

    python -m tests.benchmarks.refusal_anchor

Labels are answers of do_not_answer, which no shipped weights ever saw: mostly refusals, mostly none, even, and turned
into their opposite. Ordinary answers and plain refusals that hold no fit say what moved. Means over draws, but for the
largest rise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.signals.refusal.weights import SHIPPED, RefusalWeights, read_weights
from retrain.refusal_anchor import authored, holding, judging, ordinary
from retrain.refusal_fit import Read
from retrain.refusal_refresh import Former, choose
from retrain.refusal_rows import LabelledAnswer, groups_of
from tests.benchmarks.refusal_refresh import judged, log_loss
from tests.benchmarks.refusal_rows import SHARED_DATA, do_not_answer

REFUSES, ANSWERS = (0, 1), (2, 3, 5)
KINDS = {"100 refuse, 20 do not": (100, 20), "60 and 60": (60, 60), "20 refuse, 100 do not": (20, 100)}
WEIGHTS = (0.0, 1.0, 3.0)  # of an anchor's answer; 0: no anchor
DRAWS = 2
Floats = NDArray[np.float64]


def main() -> int:
    if not SHARED_DATA.is_dir():
        print(f"refusal_anchor: the data folder {SHARED_DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    weights, _ = read_weights(SHIPPED)
    rows = [
        LabelledAnswer(row["question"], row["response"], label, "dna", row["model"])  # type: ignore[arg-type]
        for row in do_not_answer()
        for label, actions in (("full", REFUSES), ("none", ANSWERS))
        if row["human_action"] in actions
    ]
    print("ordinary answers found, their mean, largest rise; plain refusals found; F1 and log loss of others")
    for name, counts in KINDS.items():
        for turned in (False, True) if counts == (60, 60) else (False,):
            for line in told(weights, rows, counts, turned=turned):
                print(f"{name}{', turned' if turned else '':<10} {line}", flush=True)
    return 0


def told(
    weights: RefusalWeights, rows: Sequence[LabelledAnswer], counts: tuple[int, int], *, turned: bool
) -> list[str]:
    refuses = np.array([row.refuses for row in rows])
    lines = []
    for weight in WEIGHTS:
        found = []
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            order = [rng.permutation(np.flatnonzero(refuses == kind)) for kind in (True, False)]
            taken = np.concatenate([own[:count] for own, count in zip(order, counts, strict=True)])
            rest = np.concatenate([own[count : count + 400] for own, count in zip(order, counts, strict=True)])
            labels = [_turned(rows[place]) if turned else rows[place] for place in taken]
            found.append(measures(weights, labels, [rows[place] for place in rest], weight))
        one = np.mean(found, axis=0)
        rise = max(row[2] for row in found)
        lines.append(f"{weight:.1f}: {one[0]:.2%} {one[1]:.4f} {rise:+.3f}, {one[3]:.1%}, {one[4]:.3f} {one[5]:.3f}")
        if weight == WEIGHTS[0]:
            before = measures(weights, [], [rows[place] for place in rest], weight)
            lines.insert(
                0, f"before: {before[0]:.2%} {before[1]:.4f}, {before[3]:.1%}, {before[4]:.3f} {before[5]:.3f}"
            )
    return lines


def measures(
    weights: RefusalWeights, labels: Sequence[LabelledAnswer], rest: Sequence[LabelledAnswer], weight: float
) -> list[float]:
    """Return what of ordinary answers is found, their mean, the largest rise, refusals found, and F1 and log loss."""
    plain, refusing = judging(ordinary()), [row for row in judging(authored()) if row.refuses]
    others = [*plain, *refusing, *rest]
    before = Former(weights, Read.of(others)).scores[:, 0]
    after = before if not labels else refreshed_scores(weights, labels, others, weight)
    first, second = len(plain), len(plain) + len(refusing)
    was, now = (1.0 / (1.0 + np.exp(-scores)) for scores in (before, after))
    wanted = np.array([float(row.refuses) for row in rest])
    ordinary_now = now[:first]
    return [
        float(np.mean(ordinary_now >= 0.5)),
        float(ordinary_now.mean()),
        float((ordinary_now - was[:first]).max()),
        float(np.mean(now[first:second] >= 0.5)),
        *judged(after[second:], wanted),
    ]


def refreshed_scores(
    weights: RefusalWeights, labels: Sequence[LabelledAnswer], others: Sequence[LabelledAnswer], weight: float
) -> Floats:
    """Return the log odds of *others* by weights that *labels* have corrected; their own columns are the labels'."""
    anchor = Read.of(holding()) if weight else None
    former = Former(weights, Read.of(list(labels)), anchor, weight)
    groups = np.array(groups_of(list(labels)))
    strength = choose(former, groups, lambda scores: log_loss(scores, former.read.refuses)).strength
    moved = former.move(np.arange(len(labels)), strength)
    matrix = Read.of(others).matrix(np.arange(len(others)), former.vocabulary)
    both = former.known[:, 0] + moved.refuses
    return np.asarray(matrix @ both[:-1] + both[-1])


def _turned(row: LabelledAnswer) -> LabelledAnswer:
    label = "none" if row.refuses else "full"
    return LabelledAnswer(row.prompt, row.answer, label, row.source, row.model)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
