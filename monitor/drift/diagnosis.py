"""From a decision to an alarm: dates, effect and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np

from monitor.domain.alarm import Alarm, Direction, Effect
from monitor.domain.signal import RESPONSE_LENGTH, SIGNALS, SignalKind
from monitor.domain.trace import TokenSource
from monitor.drift.baseline import Baseline, Floats, SignalBaseline, Stratum
from monitor.drift.fold import Decision
from monitor.drift.log import Excerpt, ObservationLog
from monitor.stats.confseq import mean_interval

EXAMPLES = 5
MAX_OBSERVATIONS = 4000  # an effect is measured on the latest of them at most
# Unit and size of a ranked signal's channels, as `SignalBaseline.channels` orders them.
RANKED_UNITS = (("percentiles", 100.0), ("share above q1", 1.0), ("share above q99", 1.0))
BASELINE_STANDARD_ERRORS = 2.0  # added to the effect's interval: the baseline's mean is an estimate too


def describe(decision: Decision, baseline: Baseline, log: ObservationLog) -> Alarm:
    """Complete *decision*: when it began, how large it is, which traces show it."""
    law = baseline.get(decision.stream.signal, decision.stream.scorer_version)
    assert law is not None
    since = log.excerpt(decision.stream, decision.onset_place, decision.place + 1)
    strata = law.for_policy(decision.stream.policy_model)
    watched = np.array([cohort in strata for cohort in since.cohorts], dtype=bool)
    order = np.argsort(-since.values[watched] if decision.direction is Direction.UP else since.values[watched])
    telling = [int(place) for place in since.places[watched][order[:EXAMPLES]]]
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
        effect=measure_effect(since, law, strata, channel=decision.channel),
        examples=tuple(subject.subject_id for subject in examples if subject.subject_id is not None),
        episode=decision.episode,
    )


def measure_effect(since: Excerpt, law: SignalBaseline, strata: dict[str, Stratum], *, channel: int) -> Effect:
    """Return the mean difference between each observation and its own stratum's baseline mean.

    A ranked signal, whose mean says little of its tails, is measured on the channel that decided.
    The interval is a 95% betting confidence sequence for the mean since the onset, widened by
    the baseline's own error. The onset was chosen by the same data, so the estimate leans
    away from zero; the alarm itself does not rest on it.
    """
    scale = _scale_of(law, channel)
    seen = [(strata[name], place) for place, name in enumerate(since.cohorts) if name in strata][-MAX_OBSERVATIONS:]
    rows = [row for row, _ in seen]
    means = np.array([scale.mean(row) for row in rows])
    shifts = scale.values(since.values[[place for _, place in seen]]) - means
    floor, ceiling = scale.low - means.max(), scale.high - means.min()
    width = ceiling - floor
    spread = np.mean([scale.error(row) * np.sqrt(row.observations) for row in rows])
    interval = mean_interval((shifts - floor) / width, sd=float(spread) / width)
    slack = BASELINE_STANDARD_ERRORS * _baseline_error(rows, scale)
    return Effect(
        estimate=float(shifts.mean()),
        lower=float(max(floor + interval.lower * width - slack, floor)),
        upper=float(min(floor + interval.upper * width + slack, ceiling)),
        unit=scale.unit,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """What an effect is measured in."""

    unit: str
    low: float
    high: float
    values: Callable[[Floats], Floats]
    mean: Callable[[Stratum], float]  # of a stratum's baseline
    error: Callable[[Stratum], float]  # of that mean: its standard error


def _scale_of(law: SignalBaseline, channel: int) -> _Scale:
    low, high = law.bounds
    if SIGNALS[law.signal].kind is not SignalKind.RANKED:
        unit = effect_unit(law)
        clipped = partial(np.clip, a_min=low, a_max=high)
        return _Scale(unit, low, high, clipped, attrgetter("mean"), attrgetter("standard_error"))
    unit, size = RANKED_UNITS[channel]
    return _Scale(
        unit,
        0.0,
        size,
        lambda values: law.channels(values)[:, channel] * size,
        lambda row: row.channel_mean[channel] * size,
        lambda row: row.channel_sd[channel] * size / row.observations**0.5,
    )


def effect_unit(law: SignalBaseline) -> str:
    if law.signal == RESPONSE_LENGTH.name and law.scorer_version == TokenSource.WORDS:
        return "words"
    return SIGNALS[law.signal].unit


def _baseline_error(rows: Sequence[Stratum], scale: _Scale) -> float:
    """Standard error of the baseline mean that the observations were compared with."""
    names, counts = np.unique([row.cohort for row in rows], return_counts=True)
    errors = {row.cohort: scale.error(row) for row in rows}
    weights = counts / len(rows)
    return float(np.sqrt(sum((w * errors[str(name)]) ** 2 for name, w in zip(names, weights, strict=True))))
