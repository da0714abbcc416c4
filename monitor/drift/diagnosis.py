"""From a decision to an alarm: dates, effect and examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.domain.alarm import Alarm, Direction, Effect
from monitor.domain.signal import RESPONSE_LENGTH, SIGNALS
from monitor.domain.trace import TokenSource
from monitor.drift.baseline import Baseline, SignalBaseline, Stratum
from monitor.drift.fold import Decision
from monitor.drift.log import Excerpt, ObservationLog
from monitor.stats.confseq import mean_interval

EXAMPLES = 5
MAX_OBSERVATIONS = 4000  # an effect is measured on the latest of them at most
BASELINE_STANDARD_ERRORS = 2.0  # added to the effect's interval: the baseline's mean is an estimate too


def describe(decision: Decision, baseline: Baseline, log: ObservationLog) -> Alarm:
    """Complete *decision*: when it began, how large it is, which traces show it."""
    law = baseline.get(decision.stream.signal, decision.stream.scorer_version)
    assert law is not None
    since = log.excerpt(decision.stream, decision.onset_index, decision.trace_index + 1)
    strata = law.for_policy(decision.stream.policy_model)
    watched = np.array([cohort in strata for cohort in since.cohorts], dtype=bool)
    order = np.argsort(-since.values[watched] if decision.direction is Direction.UP else since.values[watched])
    telling = [int(index) for index in since.indices[watched][order[:EXAMPLES]]]
    at, onset, *examples = log.locate([decision.trace_index, decision.onset_index, *telling])
    return Alarm(
        stream=decision.stream,
        direction=decision.direction,
        severity=decision.severity,
        trace_index=decision.trace_index,
        trace_id=at.trace_id,
        timestamp=at.timestamp,
        onset_index=decision.onset_index,
        onset_timestamp=onset.timestamp,
        observations=decision.observations,
        evidence_log=decision.evidence_log,
        effect=measure_effect(since, law, strata),
        examples=tuple(reference.trace_id for reference in examples),
    )


def measure_effect(since: Excerpt, law: SignalBaseline, strata: dict[str, Stratum]) -> Effect:
    """Return the mean difference between each observation and its own stratum's baseline mean.

    The interval is a 95% betting confidence sequence for the mean since the onset, widened by
    the baseline's own error. The onset was chosen by the same data, so the estimate leans
    away from zero; the alarm itself does not rest on it.
    """
    low, high = law.bounds
    seen = zip(since.cohorts, since.values, strict=True)
    rows = [(strata[cohort], value) for cohort, value in seen if cohort in strata][-MAX_OBSERVATIONS:]
    means = np.array([row.mean for row, _ in rows])
    shifts = np.clip([value for _, value in rows], low, high) - means
    floor, ceiling = low - means.max(), high - means.min()
    scale = ceiling - floor
    spread = np.mean([row.standard_error * np.sqrt(row.observations) for row, _ in rows])
    interval = mean_interval((shifts - floor) / scale, sd=float(spread) / scale)
    slack = BASELINE_STANDARD_ERRORS * _baseline_error([row for row, _ in rows])
    return Effect(
        estimate=float(shifts.mean()),
        lower=float(max(floor + interval.lower * scale - slack, floor)),
        upper=float(min(floor + interval.upper * scale + slack, ceiling)),
        unit=effect_unit(law),
    )


def effect_unit(law: SignalBaseline) -> str:
    if law.signal == RESPONSE_LENGTH.name and law.scorer_version == TokenSource.WORDS:
        return "words"
    return SIGNALS[law.signal].unit


def _baseline_error(rows: Sequence[Stratum]) -> float:
    """Standard error of the baseline mean that the observations were compared with."""
    names, counts = np.unique([row.cohort for row in rows], return_counts=True)
    errors = {row.cohort: row.standard_error for row in rows}
    weights = counts / len(rows)
    return float(np.sqrt(sum((w * errors[str(name)]) ** 2 for name, w in zip(names, weights, strict=True))))
