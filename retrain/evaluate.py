"""Holding a candidate and a champion against the same held-out human pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidInput
from monitor.rewards.huggingface import HuggingFaceEnsemble
from monitor.runs.result import PairMetrics
from retrain.metrics import Floats, PairScores, longer_wins, measure_pairs
from retrain.preferences import PreferencePair, parse_messages, parse_text

_CHUNK_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class Evaluation:
    candidate: PairMetrics
    champion: PairMetrics | None
    longer_wins_accuracy: float
    unscored: int  # pairs left out for both, because one of them could not score a side


def compare_scorers(
    candidate: HuggingFaceEnsemble, champion: HuggingFaceEnsemble | None, pairs: Sequence[PreferencePair]
) -> Evaluation:
    """Measure both on the pairs that both can score; raise `InvalidInput` where there are none."""
    mine = _score_pairs(candidate, pairs)
    theirs = _score_pairs(champion, pairs) if champion is not None else None
    means = np.vstack([mine] if theirs is None else [mine, theirs])
    known: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(means), axis=0)
    if not known.any():
        raise InvalidInput(f"none of {len(pairs)} held-out pairs could be scored")
    chosen_length = np.array([len(pair.chosen) for pair in pairs], dtype=np.float64)[known]
    rejected_length = np.array([len(pair.rejected) for pair in pairs], dtype=np.float64)[known]
    cohorts = [pair.cohort for pair, kept in zip(pairs, known, strict=True) if kept]

    def measure(scores: Floats) -> PairMetrics:
        return measure_pairs(PairScores(scores[0, known], scores[1, known], chosen_length, rejected_length, cohorts))

    return Evaluation(
        candidate=measure(mine),
        champion=measure(theirs) if theirs is not None else None,
        longer_wins_accuracy=longer_wins(chosen_length, rejected_length),
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
    """Return means of shape (2, pairs): chosen, rejected; NaN where there is no score."""
    rows = [(pair.messages, pair.chosen) for pair in pairs] + [(pair.messages, pair.rejected) for pair in pairs]
    means = [np.nan if reward is None else reward.mean for reward in ensemble.score(rows)]
    return np.array(means, dtype=np.float64).reshape(2, len(pairs))
