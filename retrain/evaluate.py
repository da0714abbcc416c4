"""Holding a candidate and a champion against the same held-out human pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import HuggingFaceEnsemble
from monitor.runs.result import DimensionHead, PairMetrics
from retrain.metrics import Floats, PairScores, longer_wins, measure_pairs, wilson_interval
from retrain.preferences import PreferencePair, parse_messages, parse_text

ANCHOR_PAIRS = 256  # drawn from the baseline to see whether candidate and champion rank alike
_CHUNK_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Evaluation:
    candidate: PairMetrics
    champion: PairMetrics | None
    longer_wins_accuracy: float
    pairs: tuple[PreferencePair, ...]  # that both could score
    margins: Floats  # (the candidate's members, those pairs): how far each puts chosen above rejected
    unscored: int  # pairs left out for both, because one of them could not score a side


def compare_scorers(
    candidate: HuggingFaceEnsemble, champion: HuggingFaceEnsemble | None, pairs: Sequence[PreferencePair]
) -> Evaluation:
    """Measure both on the pairs that both can score; raise `InvalidInput` where there are none."""
    scored = [_score_pairs(scorer, pairs) for scorer in (candidate, champion) if scorer is not None]
    known: NDArray[np.bool_] = np.logical_and.reduce(
        np.isfinite(np.vstack([scores.sum(axis=1) for scores in scored])), axis=0
    )
    kept = tuple(pair for pair, both in zip(pairs, known, strict=True) if both)
    if not kept:
        raise InvalidInput(f"none of {len(pairs)} held-out pairs could be scored")
    chosen_length = np.array([len(pair.chosen) for pair in kept], dtype=np.float64)
    rejected_length = np.array([len(pair.rejected) for pair in kept], dtype=np.float64)
    cohorts, dimensions = [pair.cohort for pair in kept], [pair.dimensions for pair in kept]
    margins = [scores[:, 0, known] - scores[:, 1, known] for scores in scored]

    def measure(scores: Floats, members: Floats) -> PairMetrics:
        chosen, rejected = scores[:, :, known].mean(axis=0)
        return measure_pairs(PairScores(chosen, rejected, chosen_length, rejected_length, cohorts, members, dimensions))

    measured = [measure(*one) for one in zip(scored, margins, strict=True)]
    return Evaluation(
        candidate=measured[0],
        champion=measured[1] if champion is not None else None,
        longer_wins_accuracy=longer_wins(chosen_length, rejected_length),
        pairs=kept,
        margins=margins[0],
        unscored=int((~known).sum()),
    )


def rescore(
    ensemble: HuggingFaceEnsemble, rows: Iterable[tuple[str, dict[str, object]]]
) -> Iterator[Mapping[str, object]]:
    """Yield index, mean and disagreement of each row that can be scored, in order; where it has a reference response
    that can be scored too, also each member's margin over it.
    """
    waiting = iter(rows)
    while chunk := list(islice(waiting, _CHUNK_ROWS)):
        texts = [(parse_messages(row, where), parse_text(row, "response", where)) for where, row in chunk]
        paired = [number for number, (_, row) in enumerate(chunk) if row.get("reference_response") is not None]
        others = [
            (texts[number][0], parse_text(chunk[number][1], "reference_response", chunk[number][0]))
            for number in paired
        ]
        rewards = ensemble.score([*texts, *others])
        references = dict(zip(paired, rewards[len(texts) :], strict=True))
        for number, ((where, row), reward) in enumerate(zip(chunk, rewards, strict=False)):
            if not isinstance(row.get("index"), int):
                raise InvalidInput(f"{where}: index = {row.get('index')!r}; wanted a whole number")
            if reward is None:
                continue
            found = {"index": row["index"], "mean": reward.mean, "disagreement": reward.disagreement}
            reference = references.get(number)
            yield found if reference is None else found | {"margins": reward.margins(reference)}


def _score_pairs(ensemble: HuggingFaceEnsemble, pairs: Sequence[PreferencePair]) -> Floats:
    """Return the members' scores, (members, 2, pairs): of chosen and rejected; NaN where there is no score."""
    rows = [(pair.messages, pair.chosen) for pair in pairs] + [(pair.messages, pair.rejected) for pair in pairs]
    missing = (np.nan,) * len(ensemble.members)
    scores = [missing if reward is None else reward.members for reward in ensemble.score(rows)]
    return np.array(scores, dtype=np.float64).T.reshape(len(missing), 2, len(pairs))


def measure_dimensions(
    ensemble: HuggingFaceEnsemble, trained: Mapping[str, int], pairs: Sequence[PreferencePair]
) -> dict[str, DimensionHead]:
    """Measure the heads of single dimensions on the held-out pairs that were judged by them; *trained* by how many."""
    rows = [(pair.messages, pair.chosen) for pair in pairs] + [(pair.messages, pair.rejected) for pair in pairs]
    scores = ensemble.score_dimensions(rows) if trained else {}
    found = {}
    for name, of_rows in scores.items():
        margins = of_rows[: len(pairs)] - of_rows[len(pairs) :]
        judged = np.array([pair.dimensions.get(name, 0.5) - 0.5 for pair in pairs])
        known = np.isfinite(margins) & (judged != 0)
        right = np.where(margins == 0, 0.5, margins * judged > 0)[known]
        lower, upper = wilson_interval(float(right.sum()), len(right)) if len(right) else (None, None)
        found[name] = DimensionHead(
            train_pairs=trained[name],
            pairs=len(right),
            accuracy=float(right.mean()) if len(right) else None,
            accuracy_lower=lower,
            accuracy_upper=upper,
        )
    return found


def anchor_agreement(
    candidate: HuggingFaceEnsemble, champion: HuggingFaceEnsemble, rows: Sequence[tuple[str, dict[str, object]]]
) -> tuple[float | None, int]:
    """Return the share of pairs of the baseline's answers that both rank alike, and of how many pairs.

    A pair is a trace's answer and its reference response. Where fewer than `ANCHOR_PAIRS` / 4 traces have both, it is
    the answers to two different traces, drawn at random: answers of the policy alone, over all its prompts. A tie of
    one scorer counts half.
    """
    texts = [(parse_messages(row, where), parse_text(row, "response", where)) for where, row in rows]
    paired = [number for number, (_, row) in enumerate(rows) if row.get("reference_response") is not None]
    random = np.random.default_rng(0)
    if 4 * len(paired) >= ANCHOR_PAIRS:
        drawn = sorted(random.permutation(paired)[:ANCHOR_PAIRS].tolist())
        others = [(texts[n][0], parse_text(rows[n][1], "reference_response", rows[n][0])) for n in drawn]
        chosen = [texts[number] for number in drawn] + others
    else:
        drawn = random.permutation(len(texts))[: 2 * min(ANCHOR_PAIRS, len(texts) // 2)].tolist()
        chosen = [texts[number] for number in drawn]
    half = len(chosen) // 2
    margins = []
    for scorer in (candidate, champion):
        means = np.array([np.nan if reward is None else reward.mean for reward in scorer.score(chosen)])
        margins.append(means[:half] - means[half:])
    product = np.sign(margins[0]) * np.sign(margins[1])
    known = product[np.isfinite(product)]
    return (float((known + 1).mean() / 2), len(known)) if len(known) else (None, 0)
