"""How well a scorer agrees with human pairs; arrays in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from monitor.runs.result import PairMetrics
from monitor.stats.auroc import Auroc, auroc

Floats = NDArray[np.float64]
_Z95 = 1.959963984540054
_CALIBRATION_BINS = 10
_MAX_SHARPNESS = 1e6  # 1/T beyond which a scorer that is never wrong is not followed
_BISECTIONS = 200


@dataclass(frozen=True, slots=True)
class PairScores:
    """A scorer's rewards of held-out pairs, all finite; lengths in characters of the response."""

    chosen: Floats
    rejected: Floats
    chosen_length: Floats
    rejected_length: Floats
    cohorts: Sequence[str]
    members: Floats | None = None  # (members, pairs): how far each member puts chosen above rejected
    dimensions: Sequence[Mapping[str, float]] = ()  # of each pair, as `PreferencePair.dimensions`


def measure_pairs(scores: PairScores) -> PairMetrics:
    """Summarise a scorer's agreement with at least one pair.

    Equal rewards count as half an agreement. `length_balanced_accuracy` weighs the
    pairs whose chosen response is the longer one and those where it is the shorter
    one alike; it is None where one kind is absent, and its number of pairs is twice
    the rarer kind's. The calibration error is that of sigmoid(margin / temperature)
    with the fitted temperature, so it tells shape, not scale. The correlation is
    Pearson's, of reward and log length over all responses.
    """
    agreement = _agreement(scores.chosen - scores.rejected)
    lower, upper = wilson_interval(float(agreement.sum()), len(agreement))
    cohorts = np.asarray(scores.cohorts)
    names = sorted(set(scores.cohorts))
    balanced, balanced_pairs = _length_balanced(agreement, scores.chosen_length - scores.rejected_length)
    margins = scores.chosen - scores.rejected
    sharpness = fit_sharpness(margins)
    by_dimension = _by_dimension(margins, scores.dimensions)
    told = _disagreement_auroc(margins, scores.members, sharpness)
    return PairMetrics(
        pairs=len(agreement),
        accuracy=float(agreement.mean()),
        accuracy_lower=lower,
        accuracy_upper=upper,
        accuracy_by_cohort={name: float(agreement[cohorts == name].mean()) for name in names},
        pairs_by_cohort={name: int((cohorts == name).sum()) for name in names},
        length_balanced_accuracy=balanced,
        length_balanced_pairs=balanced_pairs,
        expected_calibration_error=calibration_error(belief(margins[None], sharpness), margins),
        temperature=1 / sharpness if sharpness > 0 else None,
        length_reward_correlation=_length_correlation(scores),
        accuracy_by_dimension={name: float(found.mean()) for name, found in by_dimension.items()},
        pairs_by_dimension={name: len(found) for name, found in by_dimension.items()},
        disagreement_auroc=told.value if told is not None else None,
        disagreement_auroc_lower=told.lower if told is not None else None,
        disagreement_auroc_upper=told.upper if told is not None else None,
    )


def longer_wins(chosen_length: Floats, rejected_length: Floats) -> float:
    """Return the accuracy of the rule "the longer response is better"; equal lengths count half."""
    return float(_agreement(chosen_length - rejected_length).mean())


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return Wilson's 95% interval for a proportion; the proportion itself always lies in it, rounding or not."""
    share = successes / trials
    spread = _Z95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def fit_sharpness(margins: Floats) -> float:
    """Return 1/T of the sigmoid(margin / T) under which the verdicts are most likely.

    0 where the margins say nothing or the contrary of the verdicts. The likelihood
    is concave in 1/T, so its slope is bisected. A scorer that is never wrong has no
    maximum; it is cut off at a mean probability of its verdicts near one.
    """
    scale = float(np.abs(margins).max(initial=0.0))
    if scale == 0 or margins.mean() <= 0:
        return 0.0
    units = margins / scale

    def slope(sharpness: float) -> float:
        return float(np.mean(units * _sigmoid(-sharpness * units)))

    low, high = 0.0, 1.0
    while slope(high) > 0 and high < _MAX_SHARPNESS and np.mean(_sigmoid(high * units)) < 1 - 1 / len(units):
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2 / scale


def belief(margins: Floats, sharpness: float = 1.0) -> Floats:
    """Return how sure members are of the chosen responses: the mean over them of sigmoid(margin * sharpness).

    *margins* are (members, pairs).
    """
    means: Floats = _sigmoid(margins * sharpness).mean(axis=0)
    return means


def calibration_error(beliefs: Floats, margins: Floats) -> float:
    """Return the expected calibration error of a scorer's belief in the response it prefers.

    *beliefs* are those in the chosen responses; the sign of a margin tells whether the scorer agreed with the human.
    The bins are ten of equal width, from 0.5 to 1.
    """
    confidence = np.maximum(beliefs, 1 - beliefs)
    agreement = _agreement(margins)
    edges = np.linspace(0.5, 1.0, _CALIBRATION_BINS + 1)
    bins = np.clip(np.digitize(confidence, edges) - 1, 0, _CALIBRATION_BINS - 1)
    gaps = [abs(float((agreement - confidence)[bins == number].sum())) for number in range(_CALIBRATION_BINS)]
    return sum(gaps) / len(beliefs)


def _agreement(margins: Floats) -> Floats:
    return np.where(margins > 0, 1.0, np.where(margins < 0, 0.0, 0.5))


def _by_dimension(margins: Floats, dimensions: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    """Return, of each dimension, the agreement with its verdicts that are no ties."""
    found: dict[str, list[float]] = {}
    for margin, judged in zip(margins.tolist(), dimensions, strict=False):
        for name, value in judged.items():
            if value != 0.5:
                found.setdefault(name, []).append(margin if value > 0.5 else -margin)
    return {name: _agreement(np.array(own)) for name, own in sorted(found.items())}


def _disagreement_auroc(margins: Floats, members: Floats | None, sharpness: float) -> Auroc | None:
    """Return how well the members' disagreement tells wrong pairs from right ones.

    Disagreement is H(mean p) - mean H(p) of their beliefs: the part of the doubt that more members' agreement would
    take away. The spread of margins is no such measure, as it grows with the margins, and so where the scorer is right.
    """
    if members is None or len(members) < 2:
        return None
    beliefs = _sigmoid(members * (sharpness or 1.0))
    disagreement = _entropy(beliefs.mean(axis=0)) - _entropy(beliefs).mean(axis=0)
    return auroc(disagreement[margins < 0], disagreement[margins > 0])


def _entropy(beliefs: Floats) -> Floats:
    found: Floats = entr(beliefs) + entr(1 - beliefs)
    return found


def _length_balanced(agreement: Floats, length_margins: Floats) -> tuple[float | None, int]:
    longer, shorter = agreement[length_margins > 0], agreement[length_margins < 0]
    if not len(longer) or not len(shorter):
        return None, 0
    return float((longer.mean() + shorter.mean()) / 2), 2 * min(len(longer), len(shorter))


def _length_correlation(scores: PairScores) -> float | None:
    rewards = np.concatenate([scores.chosen, scores.rejected])
    lengths = np.log1p(np.concatenate([scores.chosen_length, scores.rejected_length]))
    if rewards.std() == 0 or lengths.std() == 0:
        return None
    return float(np.corrcoef(rewards, lengths)[0, 1])


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(0.5 * values))
    return result
