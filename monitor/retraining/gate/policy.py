"""Whether a trained policy may take the champion's place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from monitor.domain.job import Check
from monitor.retraining.gate.limit import hold
from monitor.retraining.gate.measure import RULES, Rule
from monitor.runs.policy import Comparison, PolicyResult, TrainingReport
from monitor.settings.policy import PolicyGateSettings
from monitor.settings.retrain import GateSettings

_ROUNDING = 1e-9


def judge(result: PolicyResult, margins: GateSettings) -> tuple[Check, ...]:
    """Hold the candidate against the champion on what both answered.

    Assumptions
        Both answered the same prompts, and neither was trained on them. Each interval holds its difference with 95%
        confidence: items of one cluster are taken together.

    Guarantee
        A measure's 95% interval must end within its margin. So a candidate that is truly worse by the margin passes
        that check in 2.5% of cases at most, whatever the number of items. Its middle must lie within half the margin,
        so that more items do not let more through. What that costs a candidate that is equal depends on the items:
        each failed check says it (`limit.even_share`), and `tests.benchmarks.gate` measures the whole gate.

    Any number that is missing, not finite or out of its range fails, and so does a measure that nobody knows or that is
    reported twice. Cohorts are held to wider margins; those with few items are named and not judged.
    """
    wanted = margins.policy
    return (
        _known(result.comparisons),
        *_whole(result.comparisons, wanted),
        *_cohorts(result.comparisons, wanted),
        *_training(result.training, wanted),
    )


def _known(comparisons: tuple[Comparison, ...]) -> Check:
    times = Counter((found.name, found.cohort) for found in comparisons)
    broken = [f"{_named(*key)} {count} times" for key, count in times.items() if count > 1]
    broken += [f"unknown {name}" for name, _ in times if name not in RULES]
    return Check(
        "measures",
        not broken,
        float(len(comparisons)),
        None,
        0.0,
        f"reported: {', '.join(broken)}" if broken else f"{len(comparisons)} comparisons, each known and reported once",
    )


def _whole(comparisons: tuple[Comparison, ...], wanted: PolicyGateSettings) -> Iterator[Check]:
    """Yield a check for each measure over all items."""
    reported = {found.name: found for found in comparisons if found.cohort is None}
    for name, rule in RULES.items():
        found = reported.get(name)
        if found is None and rule.required:
            yield _failed(name, None, "the run reports no such comparison")
        elif found is None:
            yield _unjudged(name, None, "there are no labels of people on the replayed prompts")
        elif found.items >= wanted.min_items:
            yield _held(found, rule, wanted)
        else:
            few = f"{found.items} items; {wanted.min_items} are wanted" + (f"; {found.detail}" if found.detail else "")
            yield _failed(name, found, few) if rule.required else _unjudged(name, found, few)


def _cohorts(comparisons: tuple[Comparison, ...], wanted: PolicyGateSettings) -> Iterator[Check]:
    """Yield a check for each measure of a cohort; the small ones are named and not judged."""
    for found in sorted(comparisons, key=lambda found: (found.cohort or "", found.name)):
        rule = RULES.get(found.name)
        if found.cohort is None or rule is None:
            continue
        if found.items >= wanted.min_items:
            yield _held(found, rule, wanted)
        else:
            few = f"{found.items} items; {wanted.min_items} are wanted for a judgement"
            yield _unjudged(_named(found.name, found.cohort), found, few)


def _held(found: Comparison, rule: Rule, wanted: PolicyGateSettings) -> Check:
    broken = rule.broken(found)
    name = _named(found.name, found.cohort)
    if broken is not None:
        return _failed(name, found, broken)
    bounds = rule.bounds(wanted, 1.0 if found.cohort is None else wanted.cohort_factor)
    not_below = 0.0 if rule.never_shown_worse and found.cohort is None else None
    return hold(name, found, bounds, rule.scale, figures=rule.figures(found), not_below=not_below)


def _training(training: TrainingReport, wanted: PolicyGateSettings) -> Iterator[Check]:
    """Yield what held-out preferences say: the trained model must not be shown to prefer what people did not."""
    name, least = "implicit_accuracy", wanted.min_implicit_accuracy
    value, lower, upper = training.implicit_accuracy, training.implicit_lower, training.implicit_upper
    if value is None and training.method == "kto":
        yield Check(name, True, math.nan, None, least, "not judged: no pair was held out, since thumbs are no pairs")
        return
    if value is None or lower is None or upper is None:
        yield Check(name, False, math.nan, None, least, "the run reports none with an interval")
        return
    before = "" if training.accuracy_before is None else f"; by the model before it {training.accuracy_before:.3f}"
    finite = math.isfinite(value) and lower - _ROUNDING <= value <= upper + _ROUNDING
    yield Check(
        name,
        finite and upper >= least - _ROUNDING,
        value,
        training.accuracy_before,
        least,
        f"{value:.3f} of {training.held_out} held-out pairs (95% {lower:.3f} to {upper:.3f}){before};"
        f" wanted not shown below {least:g}",
    )


def _named(name: str, cohort: str | None) -> str:
    return name if cohort is None else f"{name}:{cohort}"


def _failed(name: str, found: Comparison | None, reason: str) -> Check:
    if found is None:
        return Check(name, False, math.nan, None, 0.0, reason)
    return Check(name, False, found.candidate, found.champion, 0.0, reason)


def _unjudged(name: str, found: Comparison | None, why: str) -> Check:
    return replace(_failed(name, found, f"not judged: {why}"), passed=True)
