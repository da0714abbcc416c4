"""From a decision to an alarm: dates, effect and examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.domain.alarm import Alarm, Direction, Effect
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum
from monitor.drift.fold import Decision
from monitor.drift.log import Excerpt, ObservationLog
from monitor.drift.scale.quantile import Floats
from monitor.drift.scale.table import scale_of
from monitor.stats.confseq import mean_interval

EXAMPLES = 5
MAX_OBSERVATIONS = 4000  # an effect is measured on the latest of them at most
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

    The signal's scale says what is compared: its values, or the channel that decided.
    The interval is a 95% betting confidence sequence for the mean since the onset, widened by
    the baseline's own error. The onset was chosen by the same data, so the estimate leans
    away from zero; the alarm itself does not rest on it.
    """
    measure = scale_of(law.signal).measure(law.unit, channel)
    seen = [(strata[name], place) for place, name in enumerate(since.cohorts) if name in strata][-MAX_OBSERVATIONS:]
    rows = [row for row, _ in seen]
    values = since.values[[place for _, place in seen]]
    if measure.channel is None:
        low, high = law.bounds
        values = np.clip(values, low, high)
        means = np.array([row.mean for row in rows])
        errors = np.array([row.standard_error for row in rows])
    else:
        at, low, high = measure.channel, 0.0, measure.size
        values = law.channels(values)[:, at] * measure.size
        means = np.array([row.channel_mean[at] * measure.size for row in rows])
        errors = np.array([row.channel_sd[at] * measure.size / row.observations**0.5 for row in rows])
    shifts = values - means
    floor, ceiling = low - means.max(), high - means.min()
    width = ceiling - floor
    spread = np.mean(errors * np.sqrt([row.observations for row in rows]))
    interval = mean_interval((shifts - floor) / width, sd=float(spread) / width)
    slack = BASELINE_STANDARD_ERRORS * _baseline_error(rows, errors)
    return Effect(
        estimate=float(shifts.mean()),
        lower=float(max(floor + interval.lower * width - slack, floor)),
        upper=float(min(floor + interval.upper * width + slack, ceiling)),
        unit=measure.unit,
    )


def _baseline_error(rows: Sequence[Stratum], errors: Floats) -> float:
    """Standard error of the baseline mean that the observations were compared with."""
    names, counts = np.unique([row.cohort for row in rows], return_counts=True)
    by_cohort = {row.cohort: error for row, error in zip(rows, errors, strict=True)}
    weights = counts / len(rows)
    return float(np.sqrt(sum((w * by_cohort[str(name)]) ** 2 for name, w in zip(names, weights, strict=True))))
