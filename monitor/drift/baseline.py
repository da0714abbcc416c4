"""Baselines: what a signal looked like in an explicit window, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.drift.detector import DEFAULT as DEFAULT_DETECTOR
from monitor.drift.scale.quantile import Floats
from monitor.drift.scale.table import scale_of
from monitor.signals.table import SIGNALS

ANY_POLICY = "*"
MIN_STRATUM = 20  # observations; a smaller cohort or policy model is not judged by itself
POOL_WEIGHT = 10.0  # observations' worth of the parent's variance in each stratum's variance


@dataclass(frozen=True, slots=True)
class Window:
    """One signal's observations under one scorer; parallel arrays in fold order."""

    signal: str
    scorer_version: str
    cohorts: Sequence[str]
    policy_models: Sequence[str]
    values: Floats


@dataclass(frozen=True, slots=True)
class NullRule:
    """How wide a null interval is: mean -/+ (standard_errors * se + tolerance).

    A cohort's own stream has a factor of its own: there are many of them, and a small window
    that erred by k standard errors looks like a drift after some 24 / (k - factor)^2 windows.
    """

    standard_errors: float = 1.0  # of the roll-up
    cohort_standard_errors: float = 2.0
    tolerance: Mapping[str, float] | None = None  # per signal; None takes its scale's
    detectors: Mapping[str, str] | None = None  # names in `drift.detector.DETECTORS`, per signal

    def tolerances(self, signal: str) -> Floats:
        default = scale_of(signal).tolerance
        chosen = (self.tolerance or {}).get(signal)
        return np.array(default if chosen is None else (chosen,) * len(default))


@dataclass(frozen=True, slots=True)
class Stratum:
    """One cohort's law under one policy model, channel by channel."""

    cohort: str
    policy_model: str  # ANY_POLICY: all of the window's, for models the window never saw
    observations: int
    mean: float  # in the signal's unit, clipped to the channels' range
    standard_error: float  # of `mean`
    channel_mean: tuple[float, ...]
    channel_sd: tuple[float, ...]
    half_width: tuple[float, ...]  # of the cohort's own null interval
    rollup_half_width: tuple[float, ...]  # of the interval its traces bet against in the roll-up


@dataclass(frozen=True, slots=True)
class SignalBaseline:
    """A signal's frozen law: what its scale keeps of the window, and its strata."""

    signal: str
    scorer_version: str
    quantiles: tuple[float, ...]  # the scale's grid; empty for a binary signal
    strata: tuple[Stratum, ...]
    detector: str = DEFAULT_DETECTOR  # the name in `drift.detector.DETECTORS` of what follows its streams

    @property
    def key(self) -> tuple[str, str]:
        return self.signal, self.scorer_version

    def channels(self, values: Floats) -> Floats:
        """Map (n,) values to (n, C) channels in [0, 1]."""
        return scale_of(self.signal).channels(values, np.asarray(self.quantiles))

    @property
    def bounds(self) -> tuple[float, float]:
        """The range in which effects are measured; values outside count as its ends."""
        return scale_of(self.signal).bounds(self.quantiles)

    @property
    def unit(self) -> str:
        return scale_of(self.signal).unit(SIGNALS[self.signal], self.scorer_version)

    def stratum(self, cohort: str, policy_model: str) -> Stratum | None:
        """Return the law *policy_model* had in the window, or the window's own for a model it never saw."""
        found = {row.policy_model: row for row in self.strata if row.cohort == cohort}
        return found.get(policy_model) or found.get(ANY_POLICY)

    def for_policy(self, policy_model: str) -> dict[str, Stratum]:
        chosen = ((cohort, self.stratum(cohort, policy_model)) for cohort in {row.cohort for row in self.strata})
        return {cohort: row for cohort, row in sorted(chosen, key=lambda item: item[0]) if row is not None}


def build_signal_baseline(window: Window, rule: NullRule) -> SignalBaseline | None:
    """Freeze *window*; None where it holds fewer than MIN_STRATUM observations.

    Cohorts with fewer than MIN_STRATUM observations are left out: too little is known of
    them, and betting against somebody else's law would make a change of mix an alarm.
    """
    if len(window.values) < MIN_STRATUM:
        return None
    grid = scale_of(window.signal).grid(window.values)
    shell = SignalBaseline(window.signal, window.scorer_version, grid, ())
    sample = _Sample(
        cohorts=np.asarray(window.cohorts, dtype=np.str_),
        policies=np.asarray(window.policy_models, dtype=np.str_),
        clipped=np.clip(window.values, *shell.bounds),
        channels=shell.channels(window.values),
    )
    models = [str(name) for name in np.unique(sample.policies)]
    policies = [ANY_POLICY, *models] if len(models) > 1 else [ANY_POLICY]
    strata = tuple(row for policy in policies for row in _strata(sample, policy, rule, window.signal))
    detector = (rule.detectors or {}).get(window.signal, DEFAULT_DETECTOR)
    return SignalBaseline(window.signal, window.scorer_version, grid, strata, detector)


@dataclass(frozen=True, slots=True)
class _Sample:
    cohorts: NDArray[np.str_]
    policies: NDArray[np.str_]
    clipped: Floats
    channels: Floats

    def members(self, policy: str) -> dict[str, NDArray[np.bool_]]:
        """Return a mask per cohort that is large enough to stand by itself."""
        eligible = np.ones(len(self.clipped), dtype=bool) if policy == ANY_POLICY else self.policies == policy
        masks = {str(name): eligible & (self.cohorts == name) for name in np.unique(self.cohorts)}
        return {name: mask for name, mask in masks.items() if mask.sum() >= MIN_STRATUM}


def _strata(sample: _Sample, policy: str, rule: NullRule, signal: str) -> Iterable[Stratum]:
    masks = sample.members(policy)
    if not masks:
        return
    parent_variance = sample.channels.var(axis=0)
    counts = np.array([mask.sum() for mask in masks.values()], dtype=float)[:, None]
    means = np.stack([sample.channels[mask].mean(axis=0) for mask in masks.values()])
    own = np.stack([sample.channels[mask].var(axis=0) for mask in masks.values()])
    variances = (counts * own + POOL_WEIGHT * parent_variance) / (counts + POOL_WEIGHT)
    errors = np.sqrt(variances / counts) + 0.5 / counts
    tolerance = rule.tolerances(signal)
    half_widths = rule.cohort_standard_errors * errors + tolerance
    sds = np.maximum(np.sqrt(variances), _indicator_sd(sample.channels, means, half_widths))
    rollup = rule.standard_errors * _rollup_share(counts, errors) * errors + tolerance
    for number, (cohort, mask) in enumerate(masks.items()):
        yield Stratum(
            cohort=cohort,
            policy_model=policy,
            observations=int(counts[number, 0]),
            mean=float(sample.clipped[mask].mean()),
            standard_error=float(sample.clipped[mask].std() / np.sqrt(counts[number, 0])),
            channel_mean=tuple(means[number].tolist()),
            channel_sd=tuple(sds[number].tolist()),
            half_width=tuple(half_widths[number].tolist()),
            rollup_half_width=tuple(rollup[number].tolist()),
        )


def _indicator_sd(channels: Floats, means: Floats, half_widths: Floats) -> Floats:
    """Return for channels of zeros and ones the widest spread their null interval allows, 0 for the others.

    A window that saw no refusal would otherwise stake everything on the first two it meets.
    """
    ends = np.clip(np.stack((means - half_widths, means + half_widths)), 0.0, 1.0)
    widest = np.sqrt((ends * (1.0 - ends)).max(axis=0))
    return np.asarray(np.where(np.isin(channels, (0.0, 1.0)).all(axis=0), widest, 0.0))


def _rollup_share(counts: Floats, errors: Floats) -> Floats:
    """Return per channel the share of each stratum's standard error that the roll-up needs.

    The strata's means err independently, so under the window's own mix the roll-up's mean
    errs by sqrt(sum w^2 se^2), which is less than the mix of the strata's errors. Their half
    widths are shrunk until, weighted by that mix, they add up to just this.
    """
    weights = counts / counts.sum()
    return np.asarray(np.sqrt((weights**2 * errors**2).sum(axis=0)) / (weights * errors).sum(axis=0))


@dataclass(frozen=True, slots=True)
class Baseline:
    """Every signal's frozen law over one window of traces.

    `first_place` and `stop_place` (exclusive) are places in the log, from 0.
    """

    first_place: int
    stop_place: int
    signals: tuple[SignalBaseline, ...]

    def get(self, signal: str, scorer_version: str) -> SignalBaseline | None:
        return next((row for row in self.signals if row.key == (signal, scorer_version)), None)

    def extended(self, added: Iterable[SignalBaseline]) -> Baseline:
        """Return the same window with the laws of a further scorer; known ones stay as they are."""
        known = {row.key for row in self.signals}
        return Baseline(
            self.first_place, self.stop_place, (*self.signals, *(row for row in added if row.key not in known))
        )

    def to_json(self) -> Any:
        return msgspec.to_builtins(self.signals)

    @classmethod
    def from_json(cls, first_place: int, stop_place: int, content: Any) -> Baseline:
        return cls(first_place, stop_place, msgspec.convert(content, tuple[SignalBaseline, ...]))


def build_baseline(windows: Iterable[Window], rule: NullRule, *, first_place: int, stop_place: int) -> Baseline:
    """Freeze every window that holds enough observations."""
    built = (build_signal_baseline(window, rule) for window in windows)
    return Baseline(first_place, stop_place, tuple(row for row in built if row is not None))
