"""From a decision to an alarm: dates, effect, what the prompts explain of it, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain.alarm import Alarm, AlarmKind, Decomposition, Direction, Effect
from monitor.domain.cohort import ALL
from monitor.drift.asked import shift_key
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum
from monitor.drift.log import ObservationLog
from monitor.drift.stream import Decision
from monitor.stats.confseq import mean_interval

Floats = NDArray[np.float64]
EXAMPLES = 5
ROUNDING = 1e-9  # of a sum: less is nothing
MAX_OBSERVATIONS = 4000  # an effect is measured on the latest of them at most
BASELINE_STANDARD_ERRORS = 2.0  # added to the effect's interval: the baseline's mean is an estimate too


@dataclass(frozen=True, slots=True)
class Since:
    """A stream's observations since an alarm's onset, beside what was expected of each; parallel arrays."""

    law: SignalBaseline
    strata: tuple[Stratum, ...]  # a row each
    places: NDArray[np.int64]
    values: Floats  # in the signal's unit, within its bounds
    told: Floats  # the expected value, given the prompt
    location: Floats
    spread: Floats

    def __len__(self) -> int:
        return len(self.places)

    def telling(self, direction: Direction) -> NDArray[np.int64]:
        """Return the rows, those that lie furthest in *direction* from what was expected first."""
        residuals = (self.law.scale.locate(self.values, np.asarray(self.law.quantiles)) - self.location) / self.spread
        return np.argsort(-residuals if direction is Direction.UP else residuals, kind="stable")

    def decomposition(self) -> Decomposition:
        """Split how far the mean lies from the window's into what the prompts explain and what they do not."""
        counts = {row.cohort: row for row in self.law.for_policy(self.strata[-1].policy_model).values()}
        usual = [counts[name] for name in {row.cohort for row in self.strata} if name in counts] or [self.strata[-1]]
        rows = list(counts.values()) if len({row.cohort for row in self.strata}) > 1 else usual
        mean = sum(row.mean * row.observations for row in rows) / sum(row.observations for row in rows)
        raw, model = float(self.values.mean()) - mean, float((self.values - self.told).mean())
        prompts = raw - model if abs(raw - model) > ROUNDING * max(abs(raw), abs(mean)) else 0.0
        return Decomposition(raw=raw, prompts=prompts, model=raw - prompts, unit=self.law.unit)

    def effect(self, channel: int) -> Effect:
        """Return the mean difference between each observation and what was expected of it.

        The signal's scale says what is compared: its values, or the channel that decided.
        The interval is a 95% betting confidence sequence for the mean since the onset, widened by
        the baseline's own error. The onset was chosen by the same data, so the estimate leans
        away from zero; the alarm itself does not rest on it.
        """
        scale = self.law.scale
        measure = scale.measure(self.law.unit, channel)
        if measure.channel is None:
            low, high = self.law.bounds
            seen, told = self.values, self.told
            errors = np.array([row.standard_error for row in self.strata])
        else:
            at, low, high, law = measure.channel, 0.0, measure.size, self.law.law()
            offsets = np.array([row.channel_offset[at] for row in self.strata])
            nowhere = np.zeros(len(self))
            seen = scale.channels(self.values, self.location, self.spread, law)[:, at] * measure.size
            told = (scale.expected(self.location, self.spread, nowhere, law)[:, at] + offsets) * measure.size
            errors = np.array([row.channel_sd[at] * measure.size / row.observations**0.5 for row in self.strata])
        shifts, floor, ceiling = seen - told, low - float(told.max()), high - float(told.min())
        width = ceiling - floor
        spread = float(np.mean(errors * np.sqrt([row.observations for row in self.strata])))
        interval = mean_interval(np.clip((shifts - floor) / width, 0.0, 1.0), sd=spread / width)
        slack = BASELINE_STANDARD_ERRORS * self._baseline_error(errors)
        return Effect(
            estimate=float(shifts.mean()),
            lower=float(max(floor + interval.lower * width - slack, floor)),
            upper=float(min(floor + interval.upper * width + slack, ceiling)),
            unit=measure.unit,
        )

    def _baseline_error(self, errors: Floats) -> float:
        """Standard error of the baseline mean that the observations were compared with."""
        names, counts = np.unique([row.cohort for row in self.strata], return_counts=True)
        by_cohort = {row.cohort: error for row, error in zip(self.strata, errors, strict=True)}
        weights = counts / len(self)
        return float(np.sqrt(sum((w * by_cohort[str(name)]) ** 2 for name, w in zip(names, weights, strict=True))))


def read_since(decision: Decision, baseline: Baseline, log: ObservationLog) -> Since:
    """Read the stream's observations from the decision's onset to its place."""
    law = baseline.get(decision.stream.signal, decision.stream.scorer_version)
    assert law is not None
    start, stop = decision.onset_place, decision.place + 1
    found = log.excerpt(decision.stream, start, stop)
    strata: Mapping[str, Stratum] = law.for_policy(decision.stream.policy_model)
    kept = np.flatnonzero([cohort in strata for cohort in found.cohorts])[-MAX_OBSERVATIONS:]
    own = tuple(strata[found.cohorts[row]] for row in kept)
    subjects = log.subjects(start, stop)
    known, prompts = subjects.covariates, baseline.prompts
    if known is None or prompts is None:
        location = np.full(len(kept), law.expectation.location_intercept)
        constant = max(float(np.exp(law.expectation.log_spread_intercept)), law.expectation.least_spread)
        spread = np.full(len(kept), constant)
    else:
        at = np.searchsorted(subjects.places, found.places[kept])
        columns = prompts.encoder.columns(known.take(at), subjects.timestamps[at])
        location, spread = law.expectation(columns)
    location = location + np.array([row.location for row in own])
    told = law.scale.expected_value(location, spread, law.law()) + np.array([row.value_offset for row in own])
    return Since(
        law=law,
        strata=own,
        places=found.places[kept],
        values=np.clip(found.values[kept], *law.bounds),
        told=told,
        location=location,
        spread=spread,
    )


def describe(decision: Decision, baseline: Baseline, log: ObservationLog) -> Alarm:
    """Complete *decision*: when it began, how large it is, what the prompts explain of it, which traces show it."""
    if decision.stream == shift_key(decision.stream.cohort):
        return describe_shift(decision, baseline, log)
    since = read_since(decision, baseline, log)
    telling = since.telling(decision.direction)
    return _alarm(
        decision,
        log,
        [int(place) for place in since.places[telling[:EXAMPLES]]],
        effect=since.effect(decision.channel),
        decomposition=since.decomposition(),
    )


def describe_shift(decision: Decision, baseline: Baseline, log: ObservationLog) -> Alarm:
    """Complete a decision on the mix of prompts: which kind is asked more or less, and examples of it."""
    law = baseline.prompts
    assert law is not None
    assert law.kinds is not None
    mix = law.mix(decision.stream.cohort)
    assert mix is not None
    subjects = log.subjects(decision.onset_place, decision.place + 1)
    known, kind = subjects.covariates, AlarmKind.INPUT_SHIFT
    if known is None:  # a worker of an earlier release logged some of them, and what they asked is not known
        return _alarm(decision, log, [], effect=None, kind=kind, detail="what is asked has changed")
    columns = law.encoder.columns(known, subjects.timestamps)
    own = known.observed & law.encoder.read(known)
    if decision.stream.cohort != ALL:
        own &= np.asarray(known.cohorts, dtype=np.str_)[known.cohort_codes] == decision.stream.cohort
    gauge = decision.channel - len(mix.shares)
    if gauge < 0:
        name, unit = f"prompts {law.kinds.names[decision.channel]}", "share of prompts"
        usual = mix.shares[decision.channel]
        asked = (law.kinds.of(law.encoder, columns, known) == decision.channel).astype(np.float64)
    else:
        name, unit, usual = law.gauges[gauge].name, "rank in the baseline", mix.gauges[gauge]
        asked = law.gauges[gauge].ranks(columns, known)
    places, asked = subjects.places[own][-MAX_OBSERVATIONS:], asked[own][-MAX_OBSERVATIONS:]
    since = float(asked.mean())
    interval = mean_interval(asked, sd=float(np.sqrt(max(usual * (1.0 - usual), 1e-4))))
    order = np.argsort(-asked if decision.direction is Direction.UP else asked, kind="stable")
    return _alarm(
        decision,
        log,
        [int(place) for place in places[order[:EXAMPLES]]],
        effect=Effect(since - usual, interval.lower - usual, interval.upper - usual, unit),
        kind=kind,
        detail=f"{name}: {since:.1%} since the onset, {usual:.1%} in the baseline ({unit})",
    )


def _alarm(
    decision: Decision,
    log: ObservationLog,
    telling: list[int],
    *,
    effect: Effect | None,
    decomposition: Decomposition | None = None,
    kind: AlarmKind = AlarmKind.DRIFT,
    detail: str = "",
) -> Alarm:
    at, onset, *examples = log.locate([decision.place, decision.onset_place, *telling])
    return Alarm(
        stream=decision.stream,
        direction=decision.direction,
        severity=decision.severity,
        place=decision.place,
        trace_id=at.subject_id,
        timestamp=at.timestamp,
        onset_place=decision.onset_place,
        onset_timestamp=onset.timestamp,
        observations=decision.observations,
        evidence_log=decision.evidence_log,
        effect=effect,
        examples=tuple(subject.subject_id for subject in examples if subject.subject_id is not None),
        episode=decision.episode,
        kind=kind,
        detail=detail,
        decomposition=decomposition,
    )
