"""Baselines: what a signal looked like in an explicit window, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from monitor.domain.cohort import ALL
from monitor.domain.covariates import Covariates
from monitor.domain.signal import SignalKind
from monitor.drift.design import Columns, Encoder
from monitor.drift.detector import DEFAULT as DEFAULT_DETECTOR
from monitor.drift.expectation import Expectation
from monitor.drift.kinds import Kinds
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.quantile import Floats
from monitor.drift.scale.table import Scale, scale_of
from monitor.signals.table import SIGNALS

ANY_POLICY = "*"
LEAST_JUDGED = 96  # observations in the window; of fewer nobody can say how steady the stream is
STEADY = 3.0  # tolerances that a stream's own blocks of time may differ by, and it still be judged


@dataclass(frozen=True, slots=True)
class Stratum:
    """One cohort's law under one policy model, channel by channel."""

    cohort: str
    policy_model: str  # ANY_POLICY: all of the window's, for models the window never saw
    observations: int
    mean: float  # in the signal's unit, clipped to the channels' range
    standard_error: float  # of `mean`
    value_offset: float  # of the values' mean from what was expected, held out, in the signal's unit
    location: float  # mean on the scale's axis: what is expected of a signal that is judged without its prompt
    foretold: float  # mean on the axis of what the prompts let expect, held out
    foretold_sd: float
    channel_offset: tuple[float, ...]  # of the channels' means from what was expected, held out
    channel_sd: tuple[float, ...]
    half_width: tuple[float, ...]  # statistical part of the cohort's own null interval
    rollup_half_width: tuple[float, ...]  # of the interval its traces bet against in the roll-up
    tolerance_up: float  # on the axis
    tolerance_down: float
    wander: float  # tau_t, on the axis: how much the means of blocks of time differed beyond chance

    @property
    def steady(self) -> bool:
        """Say whether the window's own blocks kept near what is accepted; else no page can be trusted.

        Where no change at all is accepted, the question does not arise.
        """
        accepted = max(self.tolerance_up, self.tolerance_down)
        return accepted == 0.0 or self.wander <= STEADY * accepted


def may_page(followed: Sequence[Stratum]) -> bool:
    """Say whether the window tells enough of a stream to page on it; else it raises warnings alone."""
    return all(row.steady for row in followed) and sum(row.observations for row in followed) >= LEAST_JUDGED


def followed_among(strata: Mapping[str, Stratum], cohort: str) -> list[Stratum]:
    """Return those of a policy model's *strata*, by cohort, that *cohort*'s stream bets against."""
    if cohort != ALL:
        return [strata[cohort]] if cohort in strata else []
    return [row for row in strata.values() if row.steady] or list(strata.values())


@dataclass(frozen=True, slots=True)
class SignalBaseline:
    """A signal's frozen law: what its scale keeps of the window, what it is expected to be, and its strata.

    It says itself how its values are read, so that whoever folds needs no settings that know the signal.
    """

    signal: str
    scorer_version: str
    kind: SignalKind
    unit: str
    quantiles: tuple[float, ...]  # the scale's grid; empty for a binary signal
    expectation: Expectation
    kind_wander: float  # tau_g, on the axis: how much a kind of prompt's means over time differed beyond chance
    strata: tuple[Stratum, ...]
    detector: str = DEFAULT_DETECTOR  # the name in `drift.detector.DETECTORS` of what follows its streams
    since: int = 0  # the place from which it is followed, where its own window ends after the baseline's
    days: float | None = None  # that its own window takes; None: it is the baseline's

    @property
    def key(self) -> tuple[str, str]:
        return self.signal, self.scorer_version

    @property
    def scale(self) -> Scale:
        return scale_of(self.kind)

    def law(self) -> WindowLaw:
        """Return what the scale asks for; made anew at each call."""
        return WindowLaw.of(np.asarray(self.quantiles), np.asarray(self.expectation.residuals))

    @property
    def bounds(self) -> tuple[float, float]:
        """The range in which effects are measured; values outside count as its ends."""
        return self.scale.bounds(np.asarray(self.quantiles))

    def followed(self, cohort: str, policy_model: str) -> list[Stratum]:
        """Return the strata that a stream bets against: its own cohort's, or every cohort's in the roll-up.

        A cohort whose own blocks moved by more than can be judged is left out of the roll-up, where others are steady.
        """
        return followed_among(self.for_policy(policy_model), cohort)

    def for_policy(self, policy_model: str) -> dict[str, Stratum]:
        """Return by cohort the law *policy_model* had in the window, or the window's own for a model it never saw."""
        chosen: dict[str, Stratum] = {}
        for name in (ANY_POLICY, policy_model):
            chosen |= {row.cohort: row for row in self.strata if row.policy_model == name}
        return dict(sorted(chosen.items()))


@dataclass(frozen=True, slots=True)
class CohortMix:
    """What was asked in one cohort of the window; ALL: in all of it.

    The channels are the shares of the kinds, then the mean ranks of the gauges.
    """

    cohort: str
    observations: int
    shares: tuple[float, ...]
    gauges: tuple[float, ...]  # mean rank of each
    half_width: tuple[float, ...]  # of the channels' null intervals

    @property
    def usual(self) -> Floats:
        return np.asarray(self.shares)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that each prompt has before its answer, whose rank in the window is followed."""

    name: str  # for people
    quantiles: tuple[float, ...]  # of the window
    expectation: Expectation | None  # what it lets expect of a signal; None: how long it is

    def numbers(self, columns: Columns, covariates: Covariates) -> Floats:
        """Return each prompt's number, (n,): words, tokens or the signal's axis; NaN where nothing is known of it."""
        if self.expectation is not None:
            return self.expectation(columns)[0]
        return np.where(np.isnan(covariates.prompt_words), covariates.input_tokens, covariates.prompt_words)

    def ranks(self, columns: Columns, covariates: Covariates) -> Floats:
        """Return each prompt's rank, (n,): 0 to 1, one half where nothing is known of it."""
        numbers = self.numbers(columns, covariates)
        below = np.searchsorted(self.quantiles, numbers, side="left")
        upto = np.searchsorted(self.quantiles, numbers, side="right")
        ranks = (below + upto) / (2.0 * len(self.quantiles))
        return np.asarray(np.where(np.isnan(numbers), 0.5, ranks))


@dataclass(frozen=True, slots=True)
class PromptLaw:
    """What was asked in the window: how prompts are read, their kinds, and the kinds' shares."""

    encoder: Encoder
    kinds: Kinds | None  # None: the window held too few prompts to tell kinds apart
    mixes: tuple[CohortMix, ...]
    gauges: tuple[Gauge, ...] = ()

    def mix(self, cohort: str) -> CohortMix | None:
        return next((mix for mix in self.mixes if mix.cohort == cohort), None)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Every signal's frozen law over one window of traces.

    `first_place` and `stop_place` (exclusive) are places in the log, from 0.
    """

    first_place: int
    stop_place: int
    signals: tuple[SignalBaseline, ...]
    prompts: PromptLaw | None = None  # None: the log holds no covariates there
    window_days: float = 1.0  # from the window's first subject to its last
    outdated: bool = False  # written by an earlier release: its laws cannot be read, only made again

    def get(self, signal: str, scorer_version: str) -> SignalBaseline | None:
        return next((row for row in self.signals if row.key == (signal, scorer_version)), None)

    def extended(self, added: Iterable[SignalBaseline]) -> Baseline:
        """Return the same window with the laws of a further scorer; known ones stay as they are."""
        known = {row.key for row in self.signals}
        signals = (*self.signals, *(row for row in added if row.key not in known))
        return replace(self, signals=signals)

    def to_json(self) -> Any:
        return {
            "signals": msgspec.to_builtins(self.signals),
            "prompts": msgspec.to_builtins(self.prompts),
            "window_days": self.window_days,
        }

    @classmethod
    def from_json(cls, first_place: int, stop_place: int, content: Any) -> Baseline:
        if isinstance(content, list):
            return cls(first_place, stop_place, (), outdated=True)
        signals = msgspec.convert([_with_kind(law) for law in content["signals"]], tuple[SignalBaseline, ...])
        prompts = msgspec.convert(content["prompts"], PromptLaw | None)
        return cls(first_place, stop_place, signals, prompts, content["window_days"])


def _with_kind(law: dict[str, Any]) -> dict[str, Any]:
    """Return *law* as it is kept now: earlier ones were all of signals that come with the program, and said no kind."""
    if "kind" in law:
        return law
    signal = SIGNALS[law["signal"]]
    return law | {"kind": signal.kind, "unit": scale_of(signal.kind).unit(signal, law["scorer_version"])}
