"""`python -m retrain refusal --labels FILE... --out FOLDER`: the learned refusal model, from labelled answers.

Every choice is made on answers whose source the fit did not see: the penalty, the calibration and the figures of the
card. The folder then holds `refusal.json.gz`, which `signals.refusal.model` may name, and `card.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from monitor.errors import InvalidInput
from monitor.runs.result import ExitCode
from monitor.signals.refusal import features
from monitor.signals.refusal.weights import SHIPPED, WEIGHTS_FILE, RefusalWeights, read_weights, write_weights
from retrain.refusal_anchor import holding
from retrain.refusal_fit import Floats, Read, calibration, fit, weights_of
from retrain.refusal_refresh import ANCHOR_WEIGHT, Former, refreshed
from retrain.refusal_refresh import choose as moved_by
from retrain.refusal_rows import LabelledAnswer, LabelledFile, counts_of, groups_of, read_labelled

STRENGTHS = (0.01, 0.03, 0.1)
SHIPPED_NAME = "shipped"
CARD_FILE = "card.json"
THRESHOLD = 0.5
LIMITS = (
    "English alone; other languages are judged by patterns",
    "what refuses is drawn as XSTest's annotators drew it: refuting the premise of a hostile question refuses",
    "not being able to (no live data, no opinions) is no refusal",
)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the model says of answers whose group was left out of its training."""

    scores: Floats  # log odds of refusing, before calibration
    full: Floats  # log odds of refusing in full, where it refuses
    strength: float  # of the penalty whose scores these are


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m retrain refusal", description="Train the learned refusal model.")
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="JSONL of labelled answers")
    parser.add_argument(
        "--begin", help="weights that the labels correct: a file, or `shipped`; without it the labels are all it knows"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights and their card")
    given = parser.parse_args(arguments)
    try:
        labelled = read_labelled(given.labels)
        if given.begin is None:
            card, digest = train(labelled, given.out)
        else:
            begin = SHIPPED if given.begin == SHIPPED_NAME else Path(given.begin)
            card, digest = refresh(labelled, begin, given.out)
    except InvalidInput as refusal:
        print(f"retrain: {refusal}", file=sys.stderr)  # noqa: T201 - the program's own last word
        return ExitCode.BAD_SPEC
    before = [f"{group}, before: {measure}" for group, measure in card.get("before", {}).items()]
    lines = [*before, *(f"{group}: {measure}" for group, measure in card["left_out"].items())]
    print("\n".join([*lines, f"{given.out / WEIGHTS_FILE}: {digest}"]))  # noqa: T201
    return ExitCode.GOOD


def train(labelled: LabelledFile, out: Path) -> tuple[Mapping[str, Any], str]:
    """Train on the English rows; write the weights and their card to *out*; return the card and the weights' hash."""
    rows = _read_rows(labelled)
    read, groups = Read.of(rows), np.array(groups_of(rows))
    left_out = choose(read, groups)
    judged = groups != ""
    offset, slope = calibration(left_out.scores[judged], read.refuses[judged])
    card = card_of(rows, labelled.hashes, left_out, groups=groups, calibrated=(offset, slope))
    final = fit(read, np.arange(len(rows)), left_out.strength)
    return card, _write(out, weights_of(final, read, rows, calibrated=(offset, slope), card=card))


def refresh(
    labelled: LabelledFile, begin: Path, out: Path, *, anchor_weight: float = ANCHOR_WEIGHT
) -> tuple[Mapping[str, Any], str]:
    """Let the English rows correct the weights in *begin*; write what comes of it as `train` does.

    They are held by shipped answers of which they should say what they said; *anchor_weight* is that of each of these.

    The card has the former weights' measures beside the new ones', on the same answers, which neither was fitted to;
    unless the former ones were trained on some of them, which flatters those. Raises `InvalidInput` for no weights.
    """
    weights, sha256 = read_weights(begin)
    rows = _read_rows(labelled)
    groups = np.array(groups_of(rows))
    anchor = holding()
    former, judged = Former(weights, Read.of(rows), Read.of(anchor), anchor_weight), groups != ""
    refuses = former.read.refuses[judged]
    choice = moved_by(former, groups, lambda scores: float(np.mean(_loss(scores[judged], refuses))))
    left_out = LeftOut(choice.scores, former.scores[:, 1], choice.strength)
    before = LeftOut(former.scores[:, 0], former.scores[:, 1], choice.strength)
    plain, hashes = (0.0, 1.0), labelled.hashes
    card = card_of(rows, hashes, left_out, groups=groups, calibrated=plain)
    told = card_of(rows, hashes, before, groups=groups, calibrated=plain)
    card |= {"begun_from": sha256, "before": told["left_out"], "brier_before": told["brier"]}
    card["anchor"] = {"answers": len(anchor), "weight": anchor_weight}
    moved = former.move(np.arange(len(rows)), choice.strength)
    return card, _write(out, refreshed(former, moved, rows, card))


def _read_rows(labelled: LabelledFile) -> list[LabelledAnswer]:
    return [row for row in labelled.rows if row.language == "en" and row.answer.strip()]


def _write(out: Path, weights: RefusalWeights) -> str:
    out.mkdir(parents=True, exist_ok=True)
    digest = write_weights(out / WEIGHTS_FILE, weights)
    card = json.dumps({**weights.card, "sha256": digest}, indent=2)
    (out / CARD_FILE).write_text(f"{card}\n", encoding="utf-8")
    return digest


def choose(read: Read, groups: NDArray[Any]) -> LeftOut:
    """Return the left-out scores under the penalty that loses least on them, each group weighing alike."""
    found = [_leave_out(read, groups, strength) for strength in STRENGTHS]
    each = [[np.mean(_loss(one.scores, read.refuses)[groups == group]) for group in _named(groups)] for one in found]
    return found[int(np.argmin(np.mean(each, axis=1)))]


def _named(groups: NDArray[Any]) -> list[str]:
    return sorted(set(groups.tolist()) - {""})


def _loss(scores: Floats, wanted: Floats) -> Floats:
    return np.asarray(np.logaddexp(0.0, scores) - wanted * scores)


def _leave_out(read: Read, groups: NDArray[Any], strength: float) -> LeftOut:
    scores, full = np.zeros(len(groups)), np.zeros(len(groups))
    for group in _named(groups):
        inside, outside = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        scores[inside], full[inside] = fit(read, outside, strength).scores(read, inside)
    return LeftOut(scores, full, strength)


def card_of(
    rows: Sequence[LabelledAnswer],
    hashes: Mapping[str, str],
    left_out: LeftOut,
    *,
    groups: NDArray[Any],
    calibrated: tuple[float, float],
) -> dict[str, Any]:
    """Return what a reader must know of the weights: from what, how well on what was left out, and where not."""
    offset, slope = calibrated
    refuses = np.array([row.refuses for row in rows])
    probability = 1.0 / (1.0 + np.exp(-(offset + slope * left_out.scores)))
    measures = {
        str(group): measures_of(refuses[groups == group], probability[groups == group] >= THRESHOLD)
        for group in _named(groups)
    }
    return {
        "features": features.VERSION,
        "files": dict(hashes),
        "answers": counts_of(rows),
        "models": len({(row.source, row.model) for row in rows}),
        "penalty": 1.0 / left_out.strength,
        "threshold": THRESHOLD,
        "left_out": measures,
        "brier": round(float(np.mean((probability - refuses)[groups != ""] ** 2)), 4),
        "libraries": {name: version(name) for name in ("numpy", "scipy")},
        "limits": list(LIMITS),
    }


def measures_of(wanted: NDArray[np.bool_], found: NDArray[np.bool_]) -> dict[str, Any]:
    """Return precision, recall and the share of false ones among what does not refuse, each with its 95% interval."""
    both, ordinary = int((wanted & found).sum()), ~wanted
    return {
        "answers": len(wanted),
        "precision": share_of(both, int(found.sum())),
        "recall": share_of(both, int(wanted.sum())),
        "false": share_of(int((ordinary & found).sum()), int(ordinary.sum())),
    }


def share_of(hits: int, total: int) -> tuple[float, float, float] | None:
    """Return a share and its exact interval (Clopper and Pearson); None of nothing."""
    if not total:
        return None
    low = float(beta.ppf(0.025, hits, total - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, total - hits)) if hits < total else 1.0
    return round(hits / total, 4), round(low, 4), round(high, 4)
