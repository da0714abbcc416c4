"""What labels of one policy are worth to the refusal model: begun from weights that never saw it, and from nothing.

    python -m tests.benchmarks.refusal_refresh

Each model of XSTest takes a turn as the policy that is served. The former weights are trained on everything else; then
so many of its answers are labelled, and the others judge. Figures are means over draws of the labels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.signals.refusal.weights import RefusalWeights
from retrain.refusal_anchor import holding
from retrain.refusal_fit import Chosen, Read, calibration, fit, weights_of
from retrain.refusal_refresh import Former, choose
from retrain.refusal_rows import LabelledAnswer, groups_of
from tests.benchmarks.refusal_rows import SHARED_DATA, authored, direction_answers, ordinary_pairs, xstest_answers

LABELS = (60, 120, 240)
DRAWS = 8
STRENGTH = 0.1  # of the fits that begin from nothing
Floats = NDArray[np.float64]


def main() -> int:
    if not SHARED_DATA.is_dir():
        print(f"refusal_refresh: the data folder {SHARED_DATA} is missing; this benchmark needs it", file=sys.stderr)
        return 1
    rows = [*xstest_answers(), *direction_answers(), *ordinary_pairs(), *authored()]
    print(f"{'policy':<16} {'labels':>6}   {'former':>12} {'begun from it':>14} {'from nothing':>13}   (F1, log loss)")
    for policy in sorted({row.model for row in rows if row.source == "xstest"}):
        own = [row for row in rows if row.source == "xstest" and row.model == policy]
        weights = trained_on([row for row in rows if row.source != "xstest" or row.model != policy])
        for labels in LABELS:
            drawn = list(draws(weights, own, labels))
            told = [f"{f1:.3f} {loss:.3f}" for f1, loss in np.mean(drawn, axis=0)]
            print(f"{policy:<16} {labels:>6}   {told[0]:>12} {told[1]:>14} {told[2]:>13}", flush=True)
    return 0


def trained_on(rows: list[LabelledAnswer]) -> RefusalWeights:
    read, everything = Read.of(rows), np.arange(len(rows))
    fitted = fit(read, everything, STRENGTH)
    calibrated = calibration(fitted.scores(read, everything)[0], read.refuses)
    return weights_of(fitted, read, rows, calibrated=calibrated, card={})


def draws(weights: RefusalWeights, rows: list[LabelledAnswer], labels: int) -> Iterator[list[tuple[float, float]]]:
    """Yield F1 and log loss of the three, on the answers that were not drawn as labels."""
    read, anchor, rng = Read.of(rows), Read.of(holding()), np.random.default_rng(0)
    for _ in range(DRAWS):
        order = rng.permutation(len(rows))
        taken, rest = order[:labels], order[labels:]
        former, wanted = Former(weights, read, anchor), read.refuses[rest]
        given = Former(weights, Read.of([rows[place] for place in taken]), anchor)
        groups = np.array(groups_of([rows[place] for place in taken]))
        chosen = choose(given, groups, lambda scores, own=given: log_loss(scores, own.read.refuses))  # type: ignore[misc]
        begun = former.refusing(former.move(taken, chosen.strength), rest)
        yield [judged(scores, wanted) for scores in (former.scores[rest, 0], begun, alone(read, taken, rest))]


def alone(read: Read, taken: Chosen, rest: Chosen) -> Floats:
    return fit(read, taken, STRENGTH).scores(read, rest)[0]


def judged(scores: Floats, wanted: Floats) -> tuple[float, float]:
    found, refuses = scores > 0.0, wanted > 0.5
    both = float((found & refuses).sum())
    return 2.0 * both / max(float(found.sum() + refuses.sum()), 1.0), log_loss(scores, wanted)


def log_loss(scores: Floats, wanted: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, scores) - wanted * scores))


if __name__ == "__main__":
    sys.exit(main())
