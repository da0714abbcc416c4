"""Whether a refreshed reward ensemble may take the champion's place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace

from monitor.domain.job import Check
from monitor.runs.result import PairMetrics, RewardResult
from monitor.settings.retrain import GateSettings

CHANCE = 0.5
_ROUNDING = 1e-9  # 0.58 against 0.60 with a margin of 0.02 passes
_Z = 1.959963984540054  # two-sided 95%


def judge(result: RewardResult, margins: GateSettings) -> tuple[Check, ...]:
    """Hold the candidate against the champion on the same held-out pairs.

    Without a champion the candidate is held against the rule "the longer response
    wins", and what only a champion could be compared on is not judged.

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
        _finite(candidate, champion),
        _same_pairs(candidate, champion),
        _enough_pairs(candidate, margins),
        _better_than_chance(candidate),
        _accuracy(candidate, champion, margins=margins, longer_wins=result.longer_wins_accuracy),
        _length_balanced(candidate, champion, margins),
        *_cohorts(candidate, champion, margins),
        _calibration(candidate, champion, margins),
    )


def _finite(candidate: PairMetrics, champion: PairMetrics | None) -> Check:
    broken = [f"candidate.{name}" for name in _not_finite(candidate)]
    if champion is not None:
        broken += [f"champion.{name}" for name in _not_finite(champion)]
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


def _accuracy(
    candidate: PairMetrics, champion: PairMetrics | None, *, margins: GateSettings, longer_wins: float | None
) -> Check:
    if champion is not None:
        beside = "" if longer_wins is None else f"; the longer response wins {longer_wins:.3f}"
        check = _non_inferior(
            "held_out_accuracy", candidate.accuracy, champion.accuracy, margins.accuracy_margin, pairs=candidate.pairs
        )
        return replace(check, reason=check.reason + beside)
    if longer_wins is None:
        return _unjudged("held_out_accuracy", candidate.accuracy, margins.accuracy_margin, "there is no champion")
    passed = candidate.accuracy > longer_wins
    return Check(
        "held_out_accuracy",
        passed=passed,
        candidate=candidate.accuracy,
        champion=None,
        margin=0.0,
        reason=f"no champion: accuracy {candidate.accuracy:.3f}; more than the {longer_wins:.3f} of"
        " preferring the longer response is wanted",
    )


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
    sides = [candidate] if champion is None else [candidate, champion]
    for cohort in sorted({name for side in sides for name in side.pairs_by_cohort}):
        name, margin = f"cohort_accuracy:{cohort}", margins.cohort_accuracy_margin
        pairs = max(side.pairs_by_cohort.get(cohort, 0) for side in sides)
        value = candidate.accuracy_by_cohort.get(cohort)
        if champion is None:
            yield _unjudged(name, value, margin, "there is no champion")
        elif pairs < margins.min_cohort_pairs:
            why = f"{pairs} held-out pairs; {margins.min_cohort_pairs} are wanted for a judgement"
            yield _unjudged(name, value, margin, why)
        else:
            yield _non_inferior(name, value, champion.accuracy_by_cohort.get(cohort), margin, pairs=pairs)


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
    )


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
