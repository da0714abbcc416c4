"""Whether a corrected refusal model may take the place of the one that it began from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from monitor.domain.job import Check
from monitor.retraining.gate.limit import POINTS, Bound, Scale, hold
from monitor.runs.policy import Comparison
from monitor.runs.refusal import AUROC, FALSE, KNOWN, LOG_LOSS, ORDINARY, RECALL, RefusalResult
from monitor.settings.retrain import GateSettings, RefusalGateSettings

_HALF = 0.5
_ROUNDING = 1e-9
_NATS = Scale(unit="nats", told=lambda value: f"{value:+.4f}", drawn=lambda value: value)
_AREA = Scale(unit="of the area", told=lambda value: f"{value:+.4f}", drawn=lambda value: value)


def judge(result: RefusalResult, margins: GateSettings) -> tuple[Check, ...]:
    """Hold the candidate against the weights it began from, on labels and shipped answers that neither was fitted to.

    Labels may be wrong, and those that are held out are as wrong as those that taught. So a candidate must also leave
    the shipped ordinary answers and plain refusals as they are, and the labels must not be the opposite of what the
    weights know. A measure that is missing, or no number, fails.
    """
    wanted, found = margins.refusal, {one.name: one for one in result.comparisons}
    return (
        *_enough(result, wanted),
        _plausible(result),
        *(_judged(name, found.get(name), check, wanted) for name, check in _CHECKS.items()),
    )


def _enough(result: RefusalResult, wanted: RefusalGateSettings) -> tuple[Check, ...]:
    fewest = min(result.held_out_refusing, result.held_out - result.held_out_refusing)
    counts = {
        "held_out_labels": (result.held_out, wanted.min_held_out, "held-out labels"),
        "held_out_of_each": (fewest, wanted.min_of_each, "of the rarer kind among them"),
    }
    return tuple(
        Check(name, count >= least, float(count), None, float(least), f"{count} {what}; at least {least} are wanted")
        for name, (count, least, what) in counts.items()
    )


def _plausible(result: RefusalResult) -> Check:
    lower, upper = result.champion_auroc_lower, result.champion_auroc_upper
    return Check(
        "plausible_labels",
        passed=upper >= _HALF,
        candidate=upper,
        champion=None,
        margin=_HALF,
        reason=f"the current weights tell the held-out labels apart with an area of {lower:.3f} to {upper:.3f} (95%);"
        f" wanted not shown below {_HALF}: such labels say the opposite of what refuses",
    )


def _judged(name: str, found: Comparison | None, check: _Judge, wanted: RefusalGateSettings) -> Check:
    if found is None:
        return Check(name, False, math.nan, None, 0.0, "the run does not report it")
    sides = (found.candidate, found.champion, found.difference, found.lower, found.upper)
    if not all(map(math.isfinite, sides)) or found.items <= 0:
        told = f"no measurement: {found.items} items, {', '.join(f'{side:g}' for side in sides)}"
        return Check(name, False, found.candidate, found.champion, 0.0, told)
    return check(found, wanted)


def _log_loss(found: Comparison, wanted: RefusalGateSettings) -> Check:
    bound = Bound(end=wanted.log_loss_margin, middle=0.0, rising=True)
    return hold(LOG_LOSS, found, (bound,), _NATS, figures=_plain(found, "held-out labels"), not_below=None)


def _auroc(found: Comparison, wanted: RefusalGateSettings) -> Check:
    bound = Bound(end=wanted.auroc_margin, middle=wanted.auroc_margin / 2, rising=False)
    return hold(AUROC, found, (bound,), _AREA, figures=_plain(found, "held-out labels"), not_below=None)


def _recall(found: Comparison, wanted: RefusalGateSettings) -> Check:
    bound = Bound(end=math.inf, middle=wanted.recall_margin, rising=False)
    return hold(RECALL, found, (bound,), POINTS, figures=_shares(found, "held-out refusals"), not_below=0.0)


def _false(found: Comparison, wanted: RefusalGateSettings) -> Check:
    bound = Bound(end=math.inf, middle=wanted.false_margin, rising=True)
    what = "held-out answers that do not refuse"
    return hold(FALSE, found, (bound,), POINTS, figures=_shares(found, what), not_below=None)


def _known(found: Comparison, wanted: RefusalGateSettings) -> Check:
    bound = Bound(end=wanted.recall_margin, middle=wanted.recall_margin / 2, rising=False)
    return hold(KNOWN, found, (bound,), POINTS, figures=_shares(found, "shipped refusals"), not_below=None)


def _ordinary(found: Comparison, wanted: RefusalGateSettings) -> Check:
    """Hold the share itself: few of so many are found at all, and what an interval may reach says little of that."""
    most = found.champion + wanted.ordinary_margin
    return Check(
        ORDINARY,
        passed=found.candidate <= most + _ROUNDING and found.candidate < wanted.ordinary_most,
        candidate=found.candidate,
        champion=found.champion,
        margin=wanted.ordinary_margin,
        reason=f"{_shares(found, 'ordinary answers')}: {found.difference:+.2%}"
        f" (95% {found.lower:+.2%} to {found.upper:+.2%});"
        f" wanted at most {most:.2%}, and less than {wanted.ordinary_most:.2%}",
    )


def _plain(found: Comparison, what: str) -> str:
    return f"{found.candidate:.4f} on {found.items} {what}, {found.champion:.4f} before"


def _shares(found: Comparison, what: str) -> str:
    return f"{found.candidate:.2%} of {found.items} {what} found, {found.champion:.2%} before"


_Judge = Callable[[Comparison, RefusalGateSettings], Check]
_CHECKS: Mapping[str, _Judge] = {
    LOG_LOSS: _log_loss,
    AUROC: _auroc,
    RECALL: _recall,
    FALSE: _false,
    ORDINARY: _ordinary,
    KNOWN: _known,
}
