"""Every table, declared once; Alembic's migrations must produce exactly this."""

from __future__ import annotations

from monitor.postgres.schema.drift import (
    alarm,
    baseline,
    baseline_trace,
    daily_evidence,
    detector,
    fold_position,
    incident,
    leader_lease,
    watch_state,
)
from monitor.postgres.schema.log import (
    checkpoint,
    cohort,
    consumer_offset,
    log_entry,
    log_subject,
    observation_batch,
    repeat_key,
    running_total,
    score,
    stored_trace,
    trace,
)
from monitor.postgres.schema.metadata import metadata
from monitor.postgres.schema.reference import reask, reasked, reference_budget, reference_control
from monitor.postgres.schema.retraining import audit, job, job_event, preference, registry, reward_model

__all__ = [
    "alarm",
    "audit",
    "baseline",
    "baseline_trace",
    "checkpoint",
    "cohort",
    "consumer_offset",
    "daily_evidence",
    "detector",
    "fold_position",
    "incident",
    "job",
    "job_event",
    "leader_lease",
    "log_entry",
    "log_subject",
    "metadata",
    "observation_batch",
    "preference",
    "reask",
    "reasked",
    "reference_budget",
    "reference_control",
    "registry",
    "repeat_key",
    "reward_model",
    "running_total",
    "score",
    "stored_trace",
    "trace",
    "watch_state",
]
