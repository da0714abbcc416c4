"""What a baseline holds, in the operator's units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from monitor.domain.cohort import ALL
from monitor.drift.baseline import ANY_POLICY, Baseline, SignalBaseline, Stratum, may_page
from monitor.drift.scale.law import WindowLaw


@dataclass(frozen=True, slots=True)
class SignalSummary:
    """One signal's frozen law; numbers are in `unit`, over the whole window."""

    signal: str
    scorer_version: str
    unit: str
    observations: int
    mean: float
    standard_error: float  # of `mean`, over blocks of time
    uses: str  # the richest covariates that explain anything of it; "mean": none does
    r2: float  # of what lies beyond a cohort's mean, held out
    tolerance_up: float
    tolerance_down: float
    wander: float  # tau_t: how much the means of blocks of time differed beyond chance
    kind_wander: float  # tau_g: the same of one kind of prompts
    unsteady: tuple[str, ...]  # cohorts whose streams raise no alert: they wandered too much, or too little is known
    detector: str
    made_from: str = "window"  # "window", "kept answers" of it, or "first values": its own, which came later
    since: int = 0  # the place from which it is followed, where it came later; 0: with all others


@dataclass(frozen=True, slots=True)
class KindShare:
    """A kind of prompts that the window was found to hold."""

    name: str  # for people
    share: float


@dataclass(frozen=True, slots=True)
class BaselineLaws:
    """The laws of one baseline."""

    baseline_id: int
    revision: int
    signals: tuple[SignalSummary, ...]
    kinds: tuple[KindShare, ...]  # the most frequent first; none where the log holds too few prompts


def summarise(baseline: Baseline) -> tuple[SignalSummary, ...]:
    """Return each signal's law, whatever policy model the window held."""
    return tuple(summary_of(law) for law in baseline.signals if law.for_policy(ANY_POLICY))


def summary_of(law: SignalBaseline) -> SignalSummary:
    rows = law.for_policy(ANY_POLICY)
    window, total = law.law(), sum(row.observations for row in rows.values())

    def over_all(numbers: Iterable[float]) -> float:
        return sum(row.observations * number for row, number in zip(rows.values(), numbers, strict=True)) / total

    streams = (ALL, *sorted(rows))
    return SignalSummary(
        signal=law.signal,
        scorer_version=law.scorer_version,
        unit=law.unit,
        observations=total,
        mean=over_all(row.mean for row in rows.values()),
        standard_error=sum((row.standard_error * row.observations / total) ** 2 for row in rows.values()) ** 0.5,
        uses=law.expectation.uses,
        r2=law.expectation.r2,
        tolerance_up=over_all(in_unit(law, window, row, row.tolerance_up) for row in rows.values()),
        tolerance_down=over_all(-in_unit(law, window, row, -row.tolerance_down) for row in rows.values()),
        wander=over_all(in_unit(law, window, row, row.wander) for row in rows.values()),
        kind_wander=over_all(in_unit(law, window, row, law.kind_wander) for row in rows.values()),
        unsteady=tuple(cohort for cohort in streams if not may_page(law.followed(cohort, ANY_POLICY))),
        detector=law.detector,
        made_from=_origin(law),
        since=law.since,
    )


def _origin(law: SignalBaseline) -> str:
    if law.days is not None:
        return "first values"
    return "kept answers" if law.since else "window"


def kinds_of(baseline: Baseline) -> tuple[KindShare, ...]:
    """Return the kinds of prompts in the window, the most frequent first."""
    law = baseline.prompts
    mix = None if law is None else law.mix(ALL)
    if law is None or law.kinds is None or mix is None:
        return ()
    named = zip(law.kinds.names, mix.shares, strict=True)
    return tuple(sorted((KindShare(name, share) for name, share in named), key=lambda kind: -kind.share))


def in_unit(law: SignalBaseline, window: WindowLaw, row: Stratum, shift: float) -> float:
    """Return how far *shift*, on the scale's axis, moves the mean of *row*, in the signal's unit.

    *window* is `law.law()`.
    """
    at, one_point = law.scale.locate(np.array([row.mean]), window.grid), np.zeros(1)
    moved, usual = (law.scale.expected_value(place, one_point, window) for place in (at + shift, at))
    return float((moved - usual)[0])
