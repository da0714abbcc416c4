"""The tables of the fold: baselines, detectors, alarms and incidents; and who leads."""

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
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from monitor.postgres.column import timestamp as _timestamp
from monitor.postgres.schema.metadata import metadata

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
    Column("reference_response", Text),
    Column("conversation_id", Text),  # by these two its texts are found when they are to be erased
    Column("user_id", Text),
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

# What a stream's observations of one day say against "its mean stayed in its null interval all day".
daily_evidence = Table(
    "daily_evidence",
    metadata,
    Column("baseline_id", BigInteger, ForeignKey("baseline.baseline_id"), nullable=False),
    Column("day", Date, nullable=False),  # of the log's own time, in UTC
    Column("signal", Text, nullable=False),
    Column("cohort", Text, nullable=False),
    Column("policy_model", Text, nullable=False),
    Column("scorer_version", Text, nullable=False),
    Column("observations", BigInteger, nullable=False),
    Column("log_e", Float, nullable=False),  # natural logarithm of a proper e-value
    Column("direction", Text, nullable=False),
    PrimaryKeyConstraint("baseline_id", "day", "signal", "cohort", "policy_model", "scorer_version"),
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

# What a receiver of notifications knows of an incident, or of a storm of them, and the message that is on its way.
notification = Table(
    "notification",
    metadata,
    Column("receiver", Text, nullable=False),
    Column("subject", Text, nullable=False),  # incident-12, storm-12, receiver-ops
    Column("incident_id", BigInteger, ForeignKey("incident.incident_id")),  # of a storm its first; of a receiver none
    Column("storm", Text),  # the subject that tells of it instead
    Column("sequence", Integer, nullable=False, server_default="0"),  # of the last message
    Column("told", JSONB),  # `notify.notice.Told`
    _timestamp("told_at", nullable=True),
    _timestamp("loud_at", nullable=True),  # when it was last told so that it is heard
    Column("pending", JSONB),  # `notify.notice.Notice`: stored before it is sent, so that it is sent again as it was
    _timestamp("pending_since", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),  # of the pending one
    _timestamp("retry_at", nullable=True),
    Column("refused", Boolean, nullable=False, server_default=text("false")),  # for good, whatever is sent again
    Column("error", Text),
    Column("handle", Text),  # by which the receiver's message is edited
    Column("closed", Boolean, nullable=False, server_default=text("false")),  # its end is told
    PrimaryKeyConstraint("receiver", "subject"),
    Index(None, "incident_id"),
    Index("ix_notification_open", "receiver", postgresql_where=text("not closed")),
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

# What the watch knows of who sends (`drift.arrivals.Senders`), as of its last save: a new leader reads on from there.
watch_state = Table(
    "watch_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    _timestamp("saved_at", default_now=True),
)
