"""A stream's numbers beside its baseline's, as operators see them."""

from __future__ import annotations

from datetime import datetime

from monitor.domain.stream import StreamKey, StreamStatus
from monitor.drift.baseline import SignalBaseline


def status_of(
    key: StreamKey,
    law: SignalBaseline,
    *,
    observations: int,
    mean: float,
    last_timestamp: datetime,
    evidence_log: float,
) -> StreamStatus:
    """Put a stream's numbers beside its baseline's, in the signal's unit.

    The baseline's mean is that of the stream's strata, by their share of the window; its bounds lie
    two standard errors of that mean away.
    """
    strata = law.for_policy(key.policy_model)
    chosen = [strata[key.cohort]] if key.cohort in strata else list(strata.values())
    total = sum(row.observations for row in chosen)
    baseline_mean = sum(row.mean * row.observations for row in chosen) / total
    error = sum((row.standard_error * row.observations / total) ** 2 for row in chosen) ** 0.5
    low, high = law.bounds
    return StreamStatus(
        key=key,
        observations=observations,
        mean=mean,
        baseline_mean=baseline_mean,
        baseline_lower=max(baseline_mean - 2.0 * error, low),
        baseline_upper=min(baseline_mean + 2.0 * error, high),
        evidence_log=evidence_log,
        last_timestamp=last_timestamp,
        unit=law.unit,
    )
