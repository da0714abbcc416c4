"""The tables of what answers an alarm: preferences, reward models, jobs and the audit."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

preference = Table(
    "preference",
    metadata,
    Column("preference_id", Text, primary_key=True),
    _timestamp("timestamp"),
    Column("messages", JSONB, nullable=False),
    Column("chosen", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("tie", Boolean, nullable=False),
    Column("annotator_id", Text),
    Column("criteria_version", Text),
    Column("cohort", Text, nullable=False),
    Column("dimensions", JSONB, nullable=False),
    Column("trace_id", Text),  # whose answer is one of the two, where it is known
    _timestamp("received_at", default_now=True),
    # 48 bytes that tell which prompt and which two answers were judged, the chosen one first; null until it is read.
    Column("content", LargeBinary),
    Index(None, "received_at"),
    Index(None, "content"),
    Index("ix_preference_unread", "preference_id", postgresql_where=text("content is null")),
)

reward_model = Table(
    "reward_model",
    metadata,
    Column("version", Text, primary_key=True),
    Column("path", Text, nullable=False),  # absolute folder with member-0, member-1, ...
    Column("sha256", Text, nullable=False),
    Column("job_id", BigInteger, ForeignKey("job.job_id")),
    Column("metrics", JSONB, nullable=False),
    _timestamp("created_at", default_now=True),
    Column("role", Text, nullable=False, server_default="reward"),  # or "policy": the table is older than policies
    Column("lineage", JSONB),  # `runs.lineage.Lineage`; null for one that the settings named
    Column("card", Text),  # the model card, in Markdown
    Column("calibration", JSONB),  # of a reward ensemble, fitted on held-out pairs
    Column("served_as", Text),  # a policy's policy_model in traces, from its promotion on
)

# One row a role; moving `version` is the promotion.
registry = Table(
    "registry",
    metadata,
    Column("role", Text, primary_key=True),  # "reward" or "policy"
    Column("version", Text, ForeignKey("reward_model.version"), nullable=False),
    Column("previous_version", Text, ForeignKey("reward_model.version")),
    _timestamp("promoted_at", default_now=True),
    Column("promoted_by", Text, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("job_id", BigInteger, primary_key=True, autoincrement=True),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("alarm_id", BigInteger, ForeignKey("alarm.alarm_id")),
    Column("attempt", Integer, nullable=False, server_default="0"),
    _timestamp("created_at", default_now=True),
    _timestamp("updated_at", default_now=True),
    Column("lease_owner", Text),
    _timestamp("lease_expires_at", nullable=True),
    Column("progress", Text),
    Column("progress_detail", JSONB),  # `domain.job.RunProgress`
    Column("spec", JSONB),
    Column("result", JSONB),
    Column("verdict", JSONB),
    Column("error", Text),
    Column("candidate_version", Text),
    Column("handle", JSONB),  # of a run that may be alive: `retraining.records.RunHandle`
    Column("lost", Integer, nullable=False, server_default="0"),  # runs gone at a takeover; they are no attempts
    Index(None, "state"),
    Index(
        "uq_job_live_action",
        "action",
        unique=True,
        postgresql_where=text("state in ('awaiting_approval', 'queued', 'leased', 'running', 'evaluating', 'passed')"),
    ),
)

job_event = Table(
    "job_event",
    metadata,
    Column("job_event_id", BigInteger, primary_key=True, autoincrement=True),
    Column("job_id", BigInteger, ForeignKey("job.job_id"), nullable=False),
    _timestamp("at", default_now=True),
    Column("state", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("note", Text, nullable=False),
    Index(None, "job_id"),
)

# Since when a line of the calendar is followed: its fire times count from there, whoever leads.
calendar = Table(
    "calendar",
    metadata,
    Column("action", Text, nullable=False),
    Column("cron", Text, nullable=False),
    _timestamp("since", default_now=True),
    PrimaryKeyConstraint("action", "cron"),
)

# What a gate's verdict rests on, readable by itself: one page of HTML.
job_report = Table(
    "job_report",
    metadata,
    Column("job_id", BigInteger, ForeignKey("job.job_id"), primary_key=True),
    Column("sha256", Text, nullable=False),  # of the page
    Column("page", LargeBinary, nullable=False),  # gzip
    _timestamp("created_at", default_now=True),
)

# What is told about policies, written in the transaction that did it.
announcement = Table(
    "announcement",
    metadata,
    Column("announcement_id", BigInteger, primary_key=True, autoincrement=True),
    Column("job_id", BigInteger, ForeignKey("job.job_id"), nullable=False),
    Column("event", Text, nullable=False),  # "policy.promoted" or "policy.rolled_back"
    Column("version", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    _timestamp("created_at", default_now=True),
    Index(None, "job_id"),
)

# How far telling has come, by `domain.release.Channel`; no row before the first attempt.
announcement_delivery = Table(
    "announcement_delivery",
    metadata,
    Column("announcement_id", BigInteger, ForeignKey("announcement.announcement_id"), nullable=False),
    Column("channel", Text, nullable=False),
    _timestamp("delivered_at", nullable=True),
    Column("attempts", Integer, nullable=False),
    _timestamp("retry_at", nullable=True),
    Column("error", Text),
    PrimaryKeyConstraint("announcement_id", "channel"),
)

# The time after a promotion in which an alarm takes it back.
bake = Table(
    "bake",
    metadata,
    Column("job_id", BigInteger, ForeignKey("job.job_id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("observed_as", Text, nullable=False),  # the streams' policy model or scorer version
    Column("former", Text),  # the same of the one whose place it took; null for the first
    Column("state", Text, nullable=False),
    _timestamp("started_at", default_now=True),
    Column("start_place", BigInteger, nullable=False),  # of the log; alarms that were decided before do not count
    Column("next_sequence", BigInteger, nullable=False),  # of the log's first entry that is not counted yet
    Column("traces_wanted", BigInteger, nullable=False),
    Column("traces_seen", BigInteger, nullable=False, server_default="0"),
    Column("alarm_id", BigInteger, ForeignKey("alarm.alarm_id")),
    Column("reason", Text),
    _timestamp("ended_at", nullable=True),
    Index(None, "state"),
)

# A candidate ensemble's scores beside the champion's, before it takes over.
shadow_score = Table(
    "shadow_score",
    metadata,
    Column("job_id", BigInteger, ForeignKey("job.job_id"), nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("champion_version", Text, nullable=False),
    Column("champion_mean", Float, nullable=False),
    Column("candidate_mean", Float, nullable=False),
    Column("champion_disagreement", Float, nullable=False),
    Column("candidate_disagreement", Float, nullable=False),
    _timestamp("at", default_now=True),
    PrimaryKeyConstraint("job_id", "trace_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("audit_id", BigInteger, primary_key=True, autoincrement=True),
    _timestamp("at", default_now=True),
    Column("actor", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Index(None, "subject"),
)
