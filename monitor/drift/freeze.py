"""Freezing a window: from its observations and what was asked to the laws of a baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from monitor.domain.cohort import ALL
from monitor.domain.covariates import Covariates
from monitor.domain.observation import SubjectWindow
from monitor.domain.signal import Signal
from monitor.drift.baseline import ANY_POLICY, Baseline, CohortMix, Gauge, PromptLaw, SignalBaseline, Stratum
from monitor.drift.design import Columns, Encoder, span_of
from monitor.drift.detector import DEFAULT as DEFAULT_DETECTOR
from monitor.drift.expectation import MEAN, QUANTILES, Expected, fit_expectation
from monitor.drift.kinds import find_kinds, shares_of
from monitor.drift.scale.law import WindowLaw
from monitor.drift.scale.table import scale_of
from monitor.drift.tolerance import Tolerance, tolerance_of
from monitor.signals.set import DEFAULT, SignalSet
from monitor.stats.expectation import block_means, contiguous_blocks

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MIN_STRATUM = 20  # observations; a smaller cohort or policy model is not judged by itself
POOL_WEIGHT = 10.0  # observations' worth of the parent's variance in each stratum's variance
MOST_BLOCKS, ROWS_PER_BLOCK, FEWEST_BLOCKS = 16, 100, 4  # of a window, in time
OWN_BLOCKS, OWN_WANDER = 8, 96  # blocks of a cohort's own rows, and the rows from which its own wander is told
OWN_CERTAINTY = 0.97  # A window holds several cohorts, and each may wander by chance.
CERTAINTY = 0.9  # that what differs between blocks is more than chance
CELL = 5  # observations of a kind in a block that say something of its mean there
CLIP = 4.0  # spreads
LEAST_SHARE = 0.01  # the smallest change of a kind's share that is told


@dataclass(frozen=True, slots=True)
class Window:
    """One signal's observations under one scorer; parallel arrays in fold order."""

    signal: str
    scorer_version: str
    cohorts: Sequence[str]
    policy_models: Sequence[str]
    values: Floats
    places: Integers


@dataclass(frozen=True, slots=True)
class NullRule:
    """How wide a null interval is, and what is accepted.

    The statistical part is standard_errors * se, se over blocks of time. A cohort's own stream has a factor
    of its own: there are many of them, and a small window that erred by k standard errors looks like a
    drift after some 24 / (k - factor)^2 windows.
    """

    standard_errors: float = 1.0  # of the roll-up
    cohort_standard_errors: float = 2.0
    tolerance: Mapping[str, Tolerance] | None = None  # per signal; None takes its kind's
    detectors: Mapping[str, str] | None = None  # names in `drift.detector.DETECTORS`, per signal
    signals: SignalSet = DEFAULT  # those that are on: of others no law is made


@dataclass(frozen=True, slots=True)
class Prompts:
    """What was asked in the window, a row a subject."""

    law: PromptLaw
    places: Integers  # ascending
    columns: Columns
    kinds: Integers | None
    covariates: Covariates

    def holds(self, places: Integers) -> bool:
        return bool(np.isin(places, self.places).all())

    def rows(self, places: Integers) -> Integers:
        return np.searchsorted(self.places, places)


def build_baseline(
    windows: Iterable[Window],
    rule: NullRule,
    *,
    first_place: int,
    stop_place: int,
    subjects: SubjectWindow | None = None,
) -> Baseline:
    """Freeze every window that holds enough observations."""
    prompts = None if subjects is None else read_prompts(subjects)
    built = (build_signal_baseline(window, rule, prompts) for window in windows)
    signals = tuple(row for row in built if row is not None)
    days = 0.0 if subjects is None else span_of(_observed(subjects)) / timedelta(days=1)
    law = None if prompts is None else gauged(prompts, signals, rule.signals.of_traces)
    return Baseline(first_place, stop_place, signals, law, days)


def _observed(subjects: SubjectWindow) -> Integers:
    """Return the times of the traces of a window; labels of days ago that came meanwhile do not make it longer."""
    known = subjects.covariates
    return subjects.timestamps if known is None or not known.observed.any() else subjects.timestamps[known.observed]


def read_prompts(subjects: SubjectWindow, frozen: PromptLaw | None = None) -> Prompts | None:
    """Freeze how the window's prompts are read; None where the log holds no covariates of them.

    Where they were *frozen* before, they are read as they were then.
    """
    if subjects.covariates is None or not subjects.covariates.observed.any():
        return None
    observed = np.flatnonzero(subjects.covariates.observed)
    covariates, timestamps = subjects.covariates.take(observed), subjects.timestamps[observed]
    encoder = Encoder.of(covariates, timestamps) if frozen is None else frozen.encoder
    columns = encoder.columns(covariates, timestamps)
    if frozen is not None:
        codes = None if frozen.kinds is None else frozen.kinds.of(encoder, columns, covariates)
        return Prompts(frozen, subjects.places[observed], columns, codes, covariates)
    found = find_kinds(encoder, columns, covariates)
    if found is None:
        return Prompts(PromptLaw(encoder, None, ()), subjects.places[observed], columns, None, covariates)
    kinds, codes = found
    return Prompts(PromptLaw(encoder, kinds, ()), subjects.places[observed], columns, codes, covariates)


def gauged(prompts: Prompts, signals: Sequence[SignalBaseline], of_traces: Collection[str]) -> PromptLaw:
    """Return the prompts' law with what is followed of them: the kinds, how long they are, what they let expect.

    What they let expect of the signals *of_traces*, that is; others come later, or by a scorer that may be replaced.
    """
    law, codes = prompts.law, prompts.kinds
    if law.kinds is None or codes is None:
        return law
    told = [row for row in signals if row.signal in of_traces and row.expectation.uses != MEAN]
    gauges = [Gauge("the prompts' length", (), None)]
    gauges += [Gauge(f"what they let expect of {row.signal}", (), row.expectation) for row in told]
    known = prompts.covariates
    frozen = []
    for gauge in gauges:
        numbers = gauge.numbers(prompts.columns, known)
        seen = numbers[~np.isnan(numbers)]
        if len(seen) >= MIN_STRATUM:
            frozen.append(replace(gauge, quantiles=tuple(np.quantile(seen, QUANTILES).tolist())))
    ranks = [gauge.ranks(prompts.columns, known) for gauge in frozen]
    read = law.encoder.read(known)
    cohorts = np.asarray(known.cohorts, dtype=np.str_)[known.cohort_codes][read]
    blocks = blocks_of(len(codes))[read]
    seen = np.column_stack((np.eye(law.kinds.count)[codes], *ranks))[read]
    mixes = [_mix(ALL, seen, blocks, law.kinds.count)]
    for cohort in np.unique(cohorts):
        own = cohorts == cohort
        if own.sum() >= MIN_STRATUM:
            mixes.append(_mix(str(cohort), seen[own], blocks[own], law.kinds.count))
    return replace(law, mixes=tuple(mixes), gauges=tuple(frozen))


def _mix(cohort: str, seen: Floats, blocks: Integers, kinds: int) -> CohortMix:
    """Return the law of the channels *seen* (n, C), the first *kinds* of which are the kinds."""
    widths = []
    for channel in seen.T:
        means, chance = block_means(channel, np.ones(len(seen)), blocks)
        error = np.sqrt(max(float(means.var(ddof=1)) if len(means) > 1 else 0.0, float(chance.mean())) / len(means))
        widths.append(float(error + 0.5 / len(seen) + LEAST_SHARE + excess(means, chance)))
    shares = shares_of(np.argmax(seen[:, :kinds], axis=1), kinds)
    ranks = seen[:, kinds:].mean(axis=0)
    return CohortMix(cohort, len(seen), tuple(shares.tolist()), tuple(ranks.tolist()), tuple(widths))


def build_signal_baseline(window: Window, rule: NullRule, prompts: Prompts | None) -> SignalBaseline | None:
    """Freeze *window*; None where it holds fewer than MIN_STRATUM observations.

    Cohorts with fewer than MIN_STRATUM observations are left out: too little is known of
    them, and betting against somebody else's law would make a change of mix an alarm.
    """
    if len(window.values) < MIN_STRATUM:
        return None
    if prompts is not None and not prompts.holds(window.places):
        prompts = None  # observed on something else than a trace, of which it is not known what was asked
    signal = rule.signals.known[window.signal]
    scale = scale_of(signal.kind)
    grid = np.asarray(scale.grid(window.values))
    rows = None if prompts is None else prompts.rows(window.places)
    columns = None if prompts is None or rows is None else prompts.columns.rows(rows)
    located = scale.locate(window.values, grid)
    cohorts = np.asarray(window.cohorts, dtype=np.str_)
    encoder = None if prompts is None else prompts.law.encoder
    said = fit_expectation(columns, encoder, located - usual_of(located, cohorts), least_spread=scale.least_spread)
    sample = Sample(
        signal=signal,
        cohorts=cohorts,
        policies=np.asarray(window.policy_models, dtype=np.str_),
        values=np.clip(window.values, *scale.bounds(grid)),
        located=located,
        said=said,
        law=WindowLaw.of(grid, np.asarray(said.expectation.residuals)),
        blocks=blocks_of(len(window.values)),
    )
    models = [str(name) for name in np.unique(sample.policies)]
    policies = [ANY_POLICY, *models] if len(models) > 1 else [ANY_POLICY]
    codes = None if prompts is None or prompts.kinds is None or rows is None else prompts.kinds[rows]
    return SignalBaseline(
        signal=window.signal,
        scorer_version=window.scorer_version,
        kind=signal.kind,
        unit=scale.unit(signal, window.scorer_version),
        quantiles=tuple(grid.tolist()),
        expectation=said.expectation,
        kind_wander=0.0 if codes is None else sample.kind_wander(codes),
        strata=tuple(row for policy in policies for row in sample.strata(policy, rule)),
        detector=(rule.detectors or {}).get(window.signal, DEFAULT_DETECTOR),
    )


def usual_of(located: Floats, cohorts: NDArray[np.str_]) -> Floats:
    """Return for each row the mean of its cohort, or of all rows where its cohort is too small, (n,)."""
    usual = np.full(len(located), float(located.mean()))
    for name in np.unique(cohorts):
        own = cohorts == name
        if own.sum() >= MIN_STRATUM:
            usual[own] = located[own].mean()
    return usual


@dataclass(frozen=True, slots=True)
class Sample:
    """One signal's window beside what was expected of it; parallel arrays."""

    signal: Signal
    cohorts: NDArray[np.str_]
    policies: NDArray[np.str_]
    values: Floats  # in the signal's unit, within its bounds
    located: Floats
    said: Expected  # of what lies beyond a cohort's mean
    law: WindowLaw
    blocks: Integers

    def members(self, policy: str) -> dict[str, NDArray[np.bool_]]:
        """Return a mask per cohort that is large enough to stand by itself."""
        eligible = np.ones(len(self.values), dtype=bool) if policy == ANY_POLICY else self.policies == policy
        masks = {str(name): eligible & (self.cohorts == name) for name in np.unique(self.cohorts)}
        return {name: mask for name, mask in masks.items() if mask.sum() >= MIN_STRATUM}

    def strata(self, policy: str, rule: NullRule) -> Iterable[Stratum]:
        """Yield each cohort's law under *policy*."""
        masks = self.members(policy)
        if not masks:
            return
        scale, every = scale_of(self.signal.kind), list(masks.values())
        counts = np.array([mask.sum() for mask in every], dtype=float)[:, None]
        channels, errors_of, offsets = self.channel_errors(every)
        inside = np.any(every, axis=0)
        parent, inflation = errors_of[inside].var(axis=0), self.inflation(errors_of, inside)
        own = np.stack([errors_of[mask].var(axis=0) for mask in every])
        variances = (counts * own + POOL_WEIGHT * parent) / (counts + POOL_WEIGHT)
        errors = np.sqrt(variances / counts) * inflation + 0.5 / counts
        half = rule.cohort_standard_errors * errors
        means = np.array([float(self.values[mask].mean()) for mask in every])
        ups, downs = scale.shift(tolerance_of(self.signal, rule.tolerance), means, float(self.located.std()))
        of_channels = np.stack([channels[mask].mean(axis=0) for mask in every])
        sds = np.maximum(np.sqrt(variances), _indicator_sd(channels, of_channels, half))
        rollup = rule.standard_errors * _rollup_share(counts, errors) * errors
        told = scale.expected_value(self.located_in(every), self.said.spread, self.law)
        residuals = self.weighted()
        wander = _wander(residuals, inside, CERTAINTY)
        for number, (cohort, mask) in enumerate(masks.items()):
            size = int(counts[number, 0])
            yield Stratum(
                cohort=cohort,
                policy_model=policy,
                observations=size,
                mean=float(means[number]),
                standard_error=float(self.values[mask].std() / np.sqrt(size)) * float(inflation[0]),
                value_offset=float((self.values - told)[mask].mean()),
                location=float(self.located[mask].mean()),
                foretold=float(self.said.location[mask].mean()),
                foretold_sd=float(self.said.location[mask].std()),
                channel_offset=tuple(offsets[number].tolist()),
                channel_sd=tuple(sds[number].tolist()),
                half_width=tuple(half[number].tolist()),
                rollup_half_width=tuple(rollup[number].tolist()),
                tolerance_up=float(ups[number]),
                tolerance_down=float(downs[number]),
                wander=_wander(residuals, mask, OWN_CERTAINTY) if size >= OWN_WANDER else wander,
            )

    def channel_errors(self, masks: Sequence[NDArray[np.bool_]]) -> tuple[Floats, Floats, Floats]:
        """Return the channels, and what they are less what was expected of each row, centred in each mask.

        (n, C) both, and the centres, a row a mask: each bets against its own mask's mean.
        """
        scale, spread = scale_of(self.signal.kind), self.said.spread
        location = self.located_in(masks) - (0.0 if scale.given_prompt else self.said.location)
        channels = scale.channels(self.values, location, spread, self.law)
        errors = channels - scale.expected(location, spread, np.zeros(len(location)), self.law)
        offsets = np.stack([errors[mask].mean(axis=0) for mask in masks])
        for mask, offset in zip(masks, offsets, strict=True):
            errors[mask] -= offset
        return channels, errors, offsets

    def located_in(self, masks: Sequence[NDArray[np.bool_]]) -> Floats:
        """Return where each row is expected, given its prompt: its mask's mean, and what its prompt says."""
        centre = np.full(len(self.located), float(self.located.mean()))
        for mask in masks:
            centre[mask] = self.located[mask].mean()
        return centre + self.said.location

    def inflation(self, errors: Floats, inside: NDArray[np.bool_]) -> Floats:
        """Return per channel how much larger the standard error over blocks of time is than of independent rows."""
        found = []
        for channel in errors[inside].T:
            means, chance = block_means(channel, np.ones(len(channel)), self.blocks[inside])
            usual = float(chance.mean())
            found.append(np.sqrt(max(surely(means) / usual, 1.0)) if usual > 0.0 else 1.0)
        return np.array(found)

    def weighted(self) -> tuple[Floats, Floats]:
        """Return the residuals on the axis, clipped, and the weight that their spread gives each; (n,) both."""
        given = scale_of(self.signal.kind).given_prompt
        spread = self.said.spread if given else np.ones(len(self.located))
        residuals, weights = self.located - (self.said.location if given else 0.0), 1.0 / spread**2
        for name in np.unique(self.cohorts):
            own = self.cohorts == name
            residuals[own] -= (residuals[own] * weights[own]).sum() / weights[own].sum()
        return np.clip(residuals, -CLIP * spread, CLIP * spread), weights

    def kind_wander(self, kinds: Integers) -> float:
        """Return how much a kind of prompt's means differ between blocks of time beyond chance, on the axis.

        A random effect of kind and block, from the cells with CELL observations or more.
        """
        residuals, weights = self.weighted()
        cells = kinds * (int(self.blocks.max()) + 1) + self.blocks
        names, codes, counts = np.unique(cells, return_inverse=True, return_counts=True)
        means, _ = block_means(residuals, weights, cells)
        total = np.bincount(codes, weights, len(names))
        centre = float((residuals * weights).sum() / weights.sum())
        scatter, large = float(np.mean((residuals - centre) ** 2 * weights)), counts >= CELL
        if large.sum() < 2 or scatter == 0.0:
            return 0.0
        chance = scatter / total
        share = 1.0 / (chance[large] + float(np.median(chance[large])))
        return float(np.sqrt(max(((share * ((means - centre) ** 2 - chance)[large]).sum()) / share.sum(), 0.0)))


def blocks_of(rows: int) -> Integers:
    """Return each row's block of time."""
    return contiguous_blocks(rows, min(MOST_BLOCKS, max(rows // ROWS_PER_BLOCK, FEWEST_BLOCKS)))


def _wander(weighted: tuple[Floats, Floats], chosen: NDArray[np.bool_], certainty: float) -> float:
    """Return how much the means of blocks of the *chosen* rows differ beyond chance, on the axis.

    *weighted* are all rows' residuals and weights, (n,) both.
    """
    residuals, weights = (column[chosen] for column in weighted)
    rows = len(residuals)
    blocks = contiguous_blocks(rows, min(MOST_BLOCKS, max(rows // ROWS_PER_BLOCK, OWN_BLOCKS)))
    return excess(*block_means(residuals, weights, blocks), certainty)


def excess(means: Floats, chance: Floats, certainty: float = CERTAINTY) -> float:
    """Return the standard deviation of blocks' *means* that *chance*, their variances, does not explain.

    It is told with *certainty*: at .9 independent rows come to 0 nine times of ten.
    """
    return float(np.sqrt(max(surely(means, certainty) - float(chance.mean()), 0.0)))


def surely(means: Floats, certainty: float = CERTAINTY) -> float:
    """Return the variance that blocks' *means* have with *certainty* at least: 0 for one block."""
    free = len(means) - 1
    return float(means.var(ddof=1)) * free / float(2.0 * gammaincinv(free / 2.0, certainty)) if free else 0.0


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
