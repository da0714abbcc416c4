"""How far a candidate may differ from the champion, and what is said of one that does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

from monitor.domain.job import Check, Span
from monitor.runs.policy import Comparison

_ROUNDING = 1e-9  # what lies at the margin passes
_Z = 1.959963984540054  # two-sided 95%
_POINTS = 100.0
_USUAL_SHARE = 0.95  # of equal candidates that pass a check: where fewer would, a reason says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one side of a difference may reach: by its interval's end, and by its middle."""

    end: float  # infinite: no matter
    middle: float
    rising: bool  # the side that is bounded: True limits what is gained, False what is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a measure's numbers are told."""

    unit: str
    told: Callable[[float], str]  # a difference with its sign
    drawn: Callable[[float], float]  # the same as a number of that unit


def hold(
    name: str, found: Comparison, bounds: tuple[Bound, ...], scale: Scale, *, figures: str, not_below: float | None
) -> Check:
    """Hold a difference to its *bounds*; *figures* says both sides.

    Its interval must also reach *not_below*, where that is given: what is shown to lie lower fails, however near.
    """
    wanted = [_wanted(bound, scale) for bound in bounds]
    kept = all(_keeps(found, bound) for bound in bounds)
    if not_below is not None:
        wanted.append(f"not shown below {scale.told(not_below)}")
        kept = kept and found.upper >= not_below - _ROUNDING
    noun = "" if scale is RATIO else f" {scale.unit}"
    told = f"{scale.told(found.difference)}{noun} (95% {scale.told(found.lower)} to {scale.told(found.upper)})"
    reason = f"{figures}: {told}; wanted {', '.join(wanted)}"
    share = even_share(found, bounds, not_below)
    if not kept and share < _USUAL_SHARE:
        reason += f"; an equal candidate with as wide an interval passes {share:.0%} of the time"
    if found.detail:
        reason += f"; {found.detail}"
    ends = {bound.rising: bound.end if math.isfinite(bound.end) else bound.middle for bound in bounds}
    span = Span(
        lower=scale.drawn(found.lower),
        middle=scale.drawn(found.difference),
        upper=scale.drawn(found.upper),
        least=scale.drawn(-ends[False]) if False in ends else None,
        most=scale.drawn(ends[True]) if True in ends else None,
        unit=scale.unit,
    )
    margin = ends.get(True, ends.get(False, 0.0))
    return Check(name, kept, found.candidate, found.champion, margin, reason, span)


def even_share(found: Comparison, bounds: tuple[Bound, ...], not_below: float | None = None) -> float:
    """Return how often a truly equal candidate keeps the bounds, with an interval as wide, by the normal law.

    A low share says that the items are too few for the margin, whatever the candidate is.
    """
    half = (found.upper - found.lower) / 2
    error = half / _Z
    most = min((min(bound.end - half, bound.middle) for bound in bounds if bound.rising), default=math.inf)
    least = max((max(half - bound.end, -bound.middle) for bound in bounds if not bound.rising), default=-math.inf)
    if not_below is not None:
        least = max(least, not_below - half)
    if error <= 0:
        return float(least <= 0 <= most)
    law = NormalDist(0.0, error)
    return max(0.0, law.cdf(most) - law.cdf(least))


def _keeps(found: Comparison, bound: Bound) -> bool:
    middle, end = (found.difference, found.upper) if bound.rising else (-found.difference, -found.lower)
    return middle <= bound.middle + _ROUNDING and end <= bound.end + _ROUNDING


def _wanted(bound: Bound, scale: Scale) -> str:
    side, sign = ("at most", 1.0) if bound.rising else ("at least", -1.0)
    middle = f"{scale.told(sign * bound.middle)} by its middle"
    if not math.isfinite(bound.end):
        return f"{side} {middle}"
    end = f"{side} {scale.told(sign * bound.end)} by the interval's end"
    return end if bound.end == bound.middle else f"{end} and {middle}"


POINTS = Scale(unit="points", told=lambda value: f"{value * _POINTS:+.1f}", drawn=lambda value: value * _POINTS)
RATIO = Scale(
    unit="%",
    told=lambda value: f"{math.expm1(value) * _POINTS:+.1f}%",
    drawn=lambda value: math.expm1(value) * _POINTS,
)
NATS = Scale(unit="nats a token", told=lambda value: f"{value:+.3f}", drawn=lambda value: value)
