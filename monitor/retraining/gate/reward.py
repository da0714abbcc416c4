"""Whether a refreshed reward ensemble may take the champion's place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from monitor.domain.job import Check, Span
from monitor.runs.result import PairMetrics, RewardResult
from monitor.settings.retrain import GateSettings

CHANCE = 0.5
_ROUNDING = 1e-9  # 0.58 against 0.60 with a margin of 0.02 passes
_Z = 1.959963984540054  # two-sided 95%


def judge(result: RewardResult, margins: GateSettings) -> tuple[Check, ...]:
    """Hold the candidate against the champion on the same held-out pairs.

    With a champion or without, the candidate must rank more pairs right than the rule "the longer response wins" and
    than a TF-IDF model of the same pairs. What only a champion could be compared on is not judged without one.

    Assumptions
        Both were measured on the same pairs, none of which either was trained on.

    Guarantee
        "Better than chance" errs for at most 2.5% of scorers that are not. The
        non-inferiority checks compare the paired estimates with their margins: a
        candidate that is truly worse by exactly the margin passes half the time,
        one that is equal fails the more seldom the more pairs are held out. A
        bound in place of the estimate would, at two points' margin, refuse every
        equal candidate below some 1,500 pairs; so the interval is stated beside
        each estimate, and `min_held_out_pairs` is the knob. The interval takes the
        two scorers for independent: being right on the same pairs narrows it.

    Any number that is missing or not finite fails.
    """
    candidate, champion = result.candidate_metrics, result.champion_metrics
    return (
        _finite(result),
        _same_pairs(candidate, champion),
        _enough_pairs(candidate, margins),
        _better_than_chance(candidate),
        _better_than("longer_wins", candidate.accuracy, result.longer_wins_accuracy, margins),
        _better_than("tfidf", candidate.accuracy, result.tfidf_accuracy, margins),
        _accuracy(candidate, champion, margins),
        _length_balanced(candidate, champion, margins),
        *_cohorts(candidate, champion, margins),
        *_dimensions(candidate, champion, margins),
        _anchor(result, margins),
        _calibration(candidate, champion, margins),
    )


def _finite(result: RewardResult) -> Check:
    broken = [f"candidate.{name}" for name in _not_finite(result.candidate_metrics)]
    if result.champion_metrics is not None:
        broken += [f"champion.{name}" for name in _not_finite(result.champion_metrics)]
    for name in ("longer_wins_accuracy", "tfidf_accuracy", "anchor_agreement"):
        value = getattr(result, name)
        if value is not None and not math.isfinite(value):
            broken.append(name)
    return Check(
        "finite_numbers",
        passed=not broken,
        candidate=float(len(broken)),
        champion=None,
        margin=0.0,
        reason=f"not a number: {', '.join(broken)}" if broken else "every reported number is finite",
    )


def _same_pairs(candidate: PairMetrics, champion: PairMetrics | None) -> Check:
    others = champion.pairs if champion is not None else candidate.pairs
    same = candidate.pairs == others
    return Check(
        "same_pairs",
        passed=same,
        candidate=float(candidate.pairs),
        champion=float(others) if champion is not None else None,
        margin=0.0,
        reason="both were measured on the same held-out pairs"
        if same
        else f"the candidate was measured on {candidate.pairs} pairs, the champion on {others}",
    )


def _enough_pairs(candidate: PairMetrics, margins: GateSettings) -> Check:
    return Check(
        "held_out_pairs",
        passed=candidate.pairs >= margins.min_held_out_pairs,
        candidate=float(candidate.pairs),
        champion=None,
        margin=float(margins.min_held_out_pairs),
        reason=f"{candidate.pairs} held-out pairs; at least {margins.min_held_out_pairs} are wanted",
    )


def _better_than_chance(candidate: PairMetrics) -> Check:
    return Check(
        "better_than_chance",
        passed=candidate.accuracy_lower > CHANCE,
        candidate=candidate.accuracy_lower,
        champion=None,
        margin=CHANCE,
        reason=f"accuracy {candidate.accuracy:.3f}, at least {candidate.accuracy_lower:.3f} with 97.5% confidence;"
        f" more than {CHANCE} is wanted",
    )


_BASELINES = {"longer_wins": "preferring the longer response", "tfidf": "TF-IDF on the same pairs"}


def _better_than(baseline: str, mine: float, theirs: float | None, margins: GateSettings) -> Check:
    """Compare with a scorer that needs no model at all; one that is always right can only be equalled."""
    name, what, margin = f"better_than_{baseline}", _BASELINES[baseline], margins.baseline_margin
    if theirs is None:
        return _unjudged(name, mine, margin, f"the run reports nothing of {what}")
    return Check(
        name,
        passed=mine > theirs + margin + _ROUNDING or mine >= 1.0 - _ROUNDING,
        candidate=mine,
        champion=theirs,
        margin=margin,
        reason=f"accuracy {mine:.3f}; more than {theirs + margin:.3f} is wanted, as {what} has {theirs:.3f}",
    )


def _accuracy(candidate: PairMetrics, champion: PairMetrics | None, margins: GateSettings) -> Check:
    name, margin = "held_out_accuracy", margins.accuracy_margin
    if champion is None:
        return _unjudged(name, candidate.accuracy, margin, "there is no champion")
    return _non_inferior(name, candidate.accuracy, champion.accuracy, margin, pairs=candidate.pairs)


def _length_balanced(candidate: PairMetrics, champion: PairMetrics | None, margins: GateSettings) -> Check:
    name, margin = "length_balanced_accuracy", margins.length_balanced_margin
    pairs = candidate.length_balanced_pairs
    if champion is None:
        return _unjudged(name, candidate.length_balanced_accuracy, margin, "there is no champion")
    if pairs < margins.min_cohort_pairs:
        why = f"{pairs} length-balanced pairs; {margins.min_cohort_pairs} are wanted for a judgement"
        return _unjudged(name, candidate.length_balanced_accuracy, margin, why)
    return _non_inferior(
        name, candidate.length_balanced_accuracy, champion.length_balanced_accuracy, margin, pairs=pairs
    )


def _cohorts(candidate: PairMetrics, champion: PairMetrics | None, margins: GateSettings) -> Iterator[Check]:
    """Yield a check for each cohort either side reports; the small ones are named and not judged."""
    sides = [(side.accuracy_by_cohort, side.pairs_by_cohort) for side in (candidate, champion) if side is not None]
    return _parts("cohort_accuracy", sides, margins.cohort_accuracy_margin, margins.min_cohort_pairs)


def _dimensions(candidate: PairMetrics, champion: PairMetrics | None, margins: GateSettings) -> Iterator[Check]:
    """Yield a check for each dimension that pairs were judged by, in the same way."""
    sides = [
        (side.accuracy_by_dimension, side.pairs_by_dimension) for side in (candidate, champion) if side is not None
    ]
    return _parts("dimension_accuracy", sides, margins.dimension_accuracy_margin, margins.min_cohort_pairs)


_Measured = tuple[Mapping[str, float], Mapping[str, int]]  # accuracy and pairs, by part


def _parts(kind: str, sides: Sequence[_Measured], margin: float, least: int) -> Iterator[Check]:
    """Yield a check for each part of the pairs that a side reports; the champion's comes second, if there is one."""
    for part in sorted({name for _, pairs_by in sides for name in pairs_by}):
        name = f"{kind}:{part}"
        pairs = max(pairs_by.get(part, 0) for _, pairs_by in sides)
        value = sides[0][0].get(part)
        if len(sides) == 1:
            yield _unjudged(name, value, margin, "there is no champion")
        elif pairs < least:
            yield _unjudged(name, value, margin, f"{pairs} held-out pairs; {least} are wanted for a judgement")
        else:
            yield _non_inferior(name, value, sides[1][0].get(part), margin, pairs=pairs)


def _anchor(result: RewardResult, margins: GateSettings) -> Check:
    """Compare how both rank answers of the baseline's window: what the streams' scores will still mean."""
    name, agreement, pairs = "anchor_agreement", result.anchor_agreement, result.anchor_pairs
    if agreement is None:
        return _unjudged(name, None, margins.anchor_agreement, "no answers of a baseline's window were ranked by both")
    if pairs < margins.min_cohort_pairs:
        why = f"{pairs} pairs of answers; {margins.min_cohort_pairs} are wanted for a judgement"
        return _unjudged(name, agreement, margins.anchor_agreement, why)
    return Check(
        name,
        passed=agreement >= margins.anchor_agreement - _ROUNDING,
        candidate=agreement,
        champion=None,
        margin=margins.anchor_agreement,
        reason=f"ranks {agreement:.3f} of {pairs} pairs of answers from the baseline's window as the champion does;"
        f" at least {margins.anchor_agreement:.3f} are wanted",
    )


def _calibration(candidate: PairMetrics, champion: PairMetrics | None, margins: GateSettings) -> Check:
    name, margin = "calibration", margins.calibration_margin
    mine = candidate.expected_calibration_error
    if champion is None:
        return _unjudged(name, mine, margin, "there is no champion")
    theirs = champion.expected_calibration_error
    if mine is None or theirs is None:
        return _missing(name, mine, theirs, margin)
    return Check(
        name,
        passed=mine <= theirs + margin + _ROUNDING,
        candidate=mine,
        champion=theirs,
        margin=margin,
        reason=f"expected calibration error {mine:.3f}, the champion's {theirs:.3f}; it may rise by {margin:.3f}",
    )


def _non_inferior(name: str, mine: float | None, theirs: float | None, margin: float, *, pairs: int) -> Check:
    if mine is None or theirs is None:
        return _missing(name, mine, theirs, margin)
    difference = mine - theirs
    half = _Z * math.sqrt(max(mine * (1 - mine) + theirs * (1 - theirs), 0.0) / pairs) if pairs > 0 else math.inf
    return Check(
        name,
        passed=mine >= theirs - margin - _ROUNDING,
        candidate=mine,
        champion=theirs,
        margin=margin,
        reason=f"{mine:.3f} on {pairs} pairs, the champion's {theirs:.3f}: {difference:+.3f}"
        f" (95% within {difference - half:+.3f} to {difference + half:+.3f}); it may lose {margin:.3f}",
        span=_span(difference, half, margin) if math.isfinite(difference) and math.isfinite(half) else None,
    )


def _span(difference: float, half: float, margin: float) -> Span:
    lower, middle, upper, least = (
        100.0 * value for value in (difference - half, difference, difference + half, -margin)
    )
    return Span(lower, middle, upper, least=least, most=None, unit="points")


def _unjudged(name: str, value: float | None, margin: float, why: str) -> Check:
    return Check(name, True, math.nan if value is None else value, None, margin=margin, reason=f"not judged: {why}")


def _missing(name: str, mine: float | None, theirs: float | None, margin: float) -> Check:
    absent = " and ".join(side for side, value in (("candidate", mine), ("champion", theirs)) if value is None)
    return Check(
        name,
        False,
        math.nan if mine is None else mine,
        theirs,
        margin=margin,
        reason=f"the {absent} has no such number",
    )


def _not_finite(metrics: PairMetrics) -> Iterator[str]:
    for name, value in asdict(metrics).items():
        for label, number in value.items() if isinstance(value, dict) else [("", value)]:
            if number is not None and not math.isfinite(number):
                yield f"{name}[{label}]" if label else name
