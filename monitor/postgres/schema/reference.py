"""The tables of asking the released policy again: what was asked for which alarm, and what it has cost."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

reask = Table(
    "reask",
    metadata,
    Column("alarm_id", BigInteger, ForeignKey("alarm.alarm_id"), primary_key=True),
    Column("asking", Boolean, nullable=False),
    Column("rounds", Integer, nullable=False, server_default="1"),  # times `max_prompts` may be asked for it
    Column("requested_by", Text),  # null: the alarm was about to page
    _timestamp("started_at", default_now=True),
    Index("ix_reask_asking", "alarm_id", postgresql_where=text("asking")),
)

# A prompt a row, in the order in which they were chosen. No text is kept here, so nothing of it outlives the trace's.
reasked = Table(
    "reasked",
    metadata,
    Column("alarm_id", BigInteger, ForeignKey("alarm.alarm_id"), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("trace_id", Text),
    Column("chosen", Boolean, nullable=False),  # it lies in the window that raised the alarm
    Column("reference", Text, nullable=False),  # which policy is asked, and how
    Column("outcome", Text),  # `domain.reference.AnswerOutcome`; null: not answered yet
    Column("old", JSONB),  # `domain.reference.Measured` of production's answer
    Column("new", JSONB),  # the same of the reference's
    _timestamp("answered_at", nullable=True),
    PrimaryKeyConstraint("alarm_id", "rank"),
    Index(None, "trace_id"),
)

reference_budget = Table(
    "reference_budget",
    metadata,
    Column("day", Date, primary_key=True),  # in UTC, by the database's clock
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

# How far the control stream has looked at the log; one row.
reference_control = Table(
    "reference_control",
    metadata,
    Column("role", Text, primary_key=True),
    Column("next_place", BigInteger, nullable=False),
)
