"""The tables of what each stream came to over time."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

# A stream's number, by which its page is found.
stream = Table(
    "stream",
    metadata,
    Column("stream_id", BigInteger, primary_key=True, autoincrement=True),
    Column("signal", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    UniqueConstraint("signal", "cohort", "policy_model", "scorer_version"),
)

# A stream's observations of five minutes or an hour of the traces' own time.
stream_rollup = Table(
    "stream_rollup",
    metadata,
    Column("stream_id", BigInteger, ForeignKey("stream.stream_id"), nullable=False),
    Column("width_seconds", Integer, nullable=False),
    _timestamp("start"),
    Column("observations", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    # Of `stats.quantile_sketch`: the bins (int16, little endian, rising), then as many counts (int32).
    Column("sketch", LargeBinary, nullable=False),
    PrimaryKeyConstraint("stream_id", "width_seconds", "start"),
    Index(None, "start", postgresql_using="brin"),  # forgotten in the order of time
)

# How far the log is rolled up; one row, moved in the transaction that adds to the roll-ups.
rollup_position = Table(
    "rollup_position",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_sequence", BigInteger, nullable=False),  # of the log's first entry that is not in them yet
)

# What fails of the own signals in each process; one that has ended tells it no more.
signal_trouble = Table(
    "signal_trouble",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("signal", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("failures", BigInteger, nullable=False),
    _timestamp("told_at", default_now=True),
)
