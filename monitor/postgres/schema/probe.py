"""The tables of probes: what the live model was asked on a schedule, and what its answers were judged."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

probe_run = Table(
    "probe_run",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=True),
    Column("suite", Text, nullable=False),
    Column("suite_sha256", Text, nullable=False),  # "" for one that has no file
    Column("signal", Text, nullable=False),
    Column("scorer_version", Text, nullable=False, server_default=""),  # of its outcomes
    Column("policy_model", Text, nullable=False, server_default=""),  # that was asked; known at its end
    Column("state", Text, nullable=False),  # of `probes.run.RunState`
    _timestamp("started_at", default_now=True),
    _timestamp("ended_at", nullable=True),
    Column("asked", Integer, nullable=False, server_default="0"),
    Column("judged", Integer, nullable=False, server_default="0"),
    Column("outcomes", Integer, nullable=False, server_default="0"),  # observations it gave
    Column("rate", Float),  # their mean
    Column("entry_id", BigInteger),  # of the log, in which they stand
    Column("detail", Text, nullable=False, server_default=""),
    Index("ix_probe_run_suite", "suite", "run_id"),
    Index("ix_probe_run_running", "run_id", postgresql_where=text("state = 'running'")),
)

probe_answer = Table(
    "probe_answer",
    metadata,
    Column("run_id", BigInteger, ForeignKey("probe_run.run_id"), nullable=False),
    Column("item_id", Text, nullable=False),
    Column("outcome", Float),  # null: nothing can be told from the answer
    Column("answer", Text),
    _timestamp("answered_at"),
    PrimaryKeyConstraint("run_id", "item_id"),
)
