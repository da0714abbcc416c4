"""Every table, declared once; Alembic's migrations must produce exactly this."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from monitor.postgres.column import TransactionId
from monitor.postgres.column import timestamp as _timestamp

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


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

cohort = Table("cohort", metadata, Column("name", Text, primary_key=True), _timestamp("first_seen", default_now=True))

repeat_key = Table(
    "repeat_key",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # 16 bytes: `Trace.repeat_keys`
    _timestamp("last_counted"),
    Index(None, "last_counted", postgresql_using="brin"),  # keys come in the order of time, and go in it
)

baseline = Table(
    "baseline",
    metadata,
    Column("baseline_id", BigInteger, primary_key=True, autoincrement=True),
    _timestamp("created_at", default_now=True),
    Column("created_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("revision", Integer, nullable=False, server_default="0"),  # raised when laws are added
    Column("first_place", BigInteger, nullable=False),
    Column("stop_place", BigInteger, nullable=False),  # exclusive
    Column("content", JSONB, nullable=False),
    Index("uq_baseline_active", "active", unique=True, postgresql_where=text("active")),
)

# The texts of a baseline's window, copied when it is frozen: it can be scored again after they are gone elsewhere.
baseline_trace = Table(
    "baseline_trace",
    metadata,
    Column("baseline_id", BigInteger, ForeignKey("baseline.baseline_id"), nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("messages", JSONB, nullable=False),
    Column("response", Text, nullable=False),
    PrimaryKeyConstraint("baseline_id", "place"),
)

fold_position = Table(
    "fold_position",
    metadata,
    Column("baseline_id", BigInteger, ForeignKey("baseline.baseline_id"), primary_key=True),
    Column("next_sequence", BigInteger, nullable=False),  # of the first entry that is not wholly folded yet
    Column("next_place", BigInteger, nullable=False),  # within that entry or at its beginning: not folded yet
)

detector = Table(
    "detector",
    metadata,
    Column("baseline_id", BigInteger, ForeignKey("baseline.baseline_id"), nullable=False),
    Column("signal", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("observations", BigInteger, nullable=False),
    Column("mean", Float, nullable=False),
    Column("evidence_log", Float, nullable=False),  # log e / log A
    _timestamp("last_timestamp"),
    Column("state", LargeBinary, nullable=False),  # `stats.edetector.State`
    # Of an open episode: evidence from nothing since the last look at it, null once that has confirmed it; and the
    # observations at that look.
    Column("renewed_state", LargeBinary),
    Column("renewed_since", BigInteger),
    Column("renewed_for", BigInteger),  # observations between two looks
    Column("episode", Integer, nullable=False, server_default="0"),
    Column("severity", Text),  # reached in this episode
    PrimaryKeyConstraint("baseline_id", "signal", "cohort", "policy_model", "scorer_version"),
)

# What one cause has raised; all but what people set is made of its alarms, whenever one of them changes.
incident = Table(
    "incident",
    metadata,
    Column("incident_id", BigInteger, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),  # of its alarms; a drift's may hold input shifts too
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    _timestamp("opened_at"),  # in the traces' time, as the next two
    _timestamp("paged_at", nullable=True),  # when its first alert was decided
    _timestamp("onset_timestamp"),
    Column("onset_place", BigInteger, nullable=False),
    Column("members", Integer, nullable=False),
    Column("summary", Text, nullable=False),
    Column("causes", JSONB, nullable=False),  # a list of `domain.incident.LikelyCause`, the likeliest first
    _timestamp("created_at", default_now=True),
    Column("acknowledged_by", Text),
    _timestamp("snoozed_until", nullable=True),
    _timestamp("recovered_at", nullable=True),
    CheckConstraint("state in ('open', 'acknowledged', 'snoozed', 'recovered', 'superseded')", name="state"),
    Index(None, "state"),
)

alarm = Table(
    "alarm",
    metadata,
    Column("alarm_id", BigInteger, primary_key=True, autoincrement=True),
    Column("baseline_id", BigInteger, ForeignKey("baseline.baseline_id")),  # null: not against a baseline
    Column("incident_id", BigInteger, ForeignKey("incident.incident_id")),
    Column("kind", Text, nullable=False, server_default="drift"),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("signal", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("direction", Text),
    Column("episode", Integer, nullable=False, server_default="0"),  # of its stream, from alarm to recovery
    Column("place", BigInteger, nullable=False),
    Column("trace_id", Text),  # the subject, where it has a name
    _timestamp("timestamp"),
    Column("onset_place", BigInteger, nullable=False),
    _timestamp("onset_timestamp"),
    Column("observations", BigInteger, nullable=False),
    Column("evidence_log", Float),
    Column("effect_estimate", Float),
    Column("effect_lower", Float),
    Column("effect_upper", Float),
    Column("effect_unit", Text),
    Column("examples", ARRAY(Text), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("decomposition", JSONB),  # `domain.alarm.Decomposition`
    _timestamp("policy_since", nullable=True),  # when its policy model came, if that was shortly before the onset
    _timestamp("created_at", default_now=True),
    Column("acknowledged_by", Text),
    _timestamp("recovered_at", nullable=True),
    Column("recovered_place", BigInteger),
    _timestamp("snoozed_until", nullable=True),
    Column("reference_verdict", Text),
    _timestamp("reference_verdict_at", nullable=True),
    Column("reference_note", Text, nullable=False, server_default=""),
    Column("scorer_verdict", Text),
    _timestamp("scorer_verdict_at", nullable=True),
    Column("scorer_note", Text, nullable=False, server_default=""),
    CheckConstraint("state in ('open', 'acknowledged', 'snoozed', 'recovered', 'superseded')", name="state"),
    Index(None, "incident_id"),
    Index(
        "uq_alarm_stream_severity_episode",
        text("coalesce(baseline_id, 0)"),
        "kind",
        "signal",
        "cohort",
        "policy_model",
        "scorer_version",
        "severity",
        "episode",
        unique=True,
    ),
)

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
    _timestamp("received_at", default_now=True),
    Index(None, "received_at"),
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
)

# One row a role; moving `version` is the promotion.
registry = Table(
    "registry",
    metadata,
    Column("role", Text, primary_key=True),  # "reward"
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
)

# Who leads: holds while it is renewed in time, and while a session keeps the advisory lock of this number.
leader_lease = Table(
    "leader_lease",
    metadata,
    Column("role", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("session_lock", Integer, nullable=False),
    _timestamp("renewed_at"),
)
