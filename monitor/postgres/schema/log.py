"""The tables that workers write: offsets, the observation log, traces and what is remembered of them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from monitor.postgres.column import TransactionId
from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

consumer_offset = Table(
    "consumer_offset",
    metadata,
    Column("group_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("topic_id", Text),  # of the log the offset counts in; null where the broker does not tell
    Column("leader_epoch", Integer),  # of the last record before the offset
    Column("bad_run", Integer, nullable=False, server_default=text("0")),  # invalid records in a row before it
    PrimaryKeyConstraint("group_id", "topic", "partition"),
)

# The observation log's spine: one row a commit of one source. Its order is the order of commits: (xact, entry_id)
# over rows whose transaction is older than every one still running, so no late commit can slip in behind the fold.
log_entry = Table(
    "log_entry",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=True),
    Column("xact", TransactionId(), nullable=False, server_default=text("pg_current_xact_id()")),
    Column("source", Text, nullable=False),  # "traces", later "labels", "probes", "review", "clock"
    _timestamp("created_at", default_now=True),
    Column("places", Integer, nullable=False),  # subjects it holds; 0 where it only tells that time has passed
    _timestamp("last_timestamp", nullable=True),  # the latest of its subjects'
    # Given once, by the leader: 1, 2, 3, ... over all entries, and the sum of the places before it, from 0.
    Column("sequence", BigInteger),
    Column("first_place", BigInteger),
    UniqueConstraint("sequence"),
    Index("ix_log_entry_unplaced", "xact", "entry_id", postgresql_where=text("sequence is null")),
    Index(None, "first_place"),
    Index(None, "source", "sequence"),
)

# What an entry's observations are about, in the order of their places; none for an entry without places.
# Its arrays are stored without compression, as a migration set it.
log_subject = Table(
    "log_subject",
    metadata,
    Column("entry_id", BigInteger, ForeignKey("log_entry.entry_id"), primary_key=True),
    Column("subject_ids", ARRAY(Text)),  # null, or a null element, where a subject has no name
    Column("timestamps", LargeBinary, nullable=False),  # int64, little endian: microseconds since 1970, UTC
    Column("covariates", LargeBinary),
    Column("covariates_version", Text),  # says how to read them
)

observation_batch = Table(
    "observation_batch",
    metadata,
    Column("entry_id", BigInteger, ForeignKey("log_entry.entry_id"), nullable=False),
    Column("signal", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("cohorts", ARRAY(Text), nullable=False),  # the names that `cohort_codes` index
    Column("cohort_codes", LargeBinary, nullable=False),  # int32, little endian, one per observation
    Column("ordinals", LargeBinary, nullable=False),  # int32: place within the entry, ascending
    Column("values", LargeBinary, nullable=False),  # float64, one per observation
    Column("inclusion", LargeBinary),  # float64: probability of having been selected; null: every one was
    PrimaryKeyConstraint("entry_id", "signal", "policy_model", "scorer_version"),
)

# What a worker alone counts: one row an entry of the source "traces".
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("entry_id", BigInteger, ForeignKey("log_entry.entry_id"), primary_key=True),
    Column("repeats", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("skipped", JSONB, nullable=False),  # {reason: count}
    Column("preferences", Integer, nullable=False),  # stored; those known before are not counted again
    Column("dead_letters", JSONB, nullable=False),  # {reason: count}
    Column("labels", Integer, nullable=False, server_default=text("0")),  # as preferences
)

# Sums over all placed entries, raised by the leader in the transaction that places them: nobody sums history.
running_total = Table(
    "running_total",
    metadata,
    Column("name", Text, nullable=False),  # traces, repeats, duplicates, preferences, dead_letters, skipped, ...
    Column("label", Text, nullable=False),  # the reason of dead letters and skipped records; else empty
    Column("value", BigInteger, nullable=False),  # of last_timestamp: microseconds since 1970, UTC
    PrimaryKeyConstraint("name", "label"),
)

# What outlives a trace's text: enough to count it once and to find its text while there is one. No foreign key
# leads from here or from `trace` to the log: it would be checked once a row, and each is forgotten at its own time.
stored_trace = Table(
    "stored_trace",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("entry_id", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),  # its place within the entry
    Column("stored_on", Date, nullable=False),
    Index(None, "stored_on", postgresql_using="brin"),  # rows come in the order of days
)

# One partition a day of arrival, in UTC (`postgres.partitions`); a producer's own timestamp may say anything.
trace = Table(
    "trace",
    metadata,
    Column("stored_on", Date, nullable=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),  # its place within the entry
    Column("trace_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    _timestamp("timestamp"),
    Column("policy_model", Text, nullable=False),
    Column("conversation_id", Text),
    Column("cohort", Text, nullable=False),
    Column("messages", JSONB, nullable=False),  # [{"role", "content"}]
    Column("response", Text),
    Column("reference_response", Text),
    Column("finish_reason", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("output_tokens_source", Text, nullable=False),
    Column("latency_seconds", Float),
    Column("feedback_rating", Float),
    Column("error", Text),
    Column("repeated", Boolean, nullable=False),  # stored and counted, but not an observation
    Column("user_id", Text),
    Column("tool_calls", Integer, nullable=False, server_default=text("0")),
    Column("truncated", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("stored_on", "entry_id", "ordinal"),
    postgresql_partition_by="range (stored_on)",
)

score = Table(
    "score",
    metadata,
    Column("trace_id", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("mean", Float, nullable=False),
    Column("lower", Float, nullable=False),
    Column("disagreement", Float, nullable=False),
    Column("members", ARRAY(Float), nullable=False),
    PrimaryKeyConstraint("trace_id", "scorer_version"),
)

# Parts of calls that wait for others. A part is gone in the transaction that stores its call's trace.
fragment = Table(
    "fragment",
    metadata,
    Column("fragment_id", BigInteger, primary_key=True, autoincrement=True),
    Column("trace", Text, nullable=False),  # what the parts of a call have in common: `Part.trace`
    _timestamp("received_at", default_now=True),  # its time to wait is counted from here, by this server's clock
    _timestamp("due_at", default_now=True),  # when a worker looks at it next
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("part", LargeBinary, nullable=False),  # `Part` in MessagePack
    Index(None, "trace"),
    Index(None, "due_at"),
)

# That texts were deleted on somebody's request. It does not hold the name itself.
erasure = Table(
    "erasure",
    metadata,
    Column("erasure_id", BigInteger, primary_key=True, autoincrement=True),
    _timestamp("at", default_now=True),
    Column("actor", Text, nullable=False),
    Column("kind", Text, nullable=False),  # conversation or user
    Column("sha256", Text, nullable=False),  # of the name
    Column("deleted", JSONB, nullable=False),  # {what: count}
)

cohort = Table("cohort", metadata, Column("name", Text, primary_key=True), _timestamp("first_seen", default_now=True))

repeat_key = Table(
    "repeat_key",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # 16 bytes: `Trace.repeat_keys`
    _timestamp("last_counted"),
    Index(None, "last_counted", postgresql_using="brin"),  # keys come in the order of time, and go in it
)
