"""First schema: the log of checkpoints, the detectors over it, and the jobs that answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from monitor.postgres.column import TransactionId

revision = "20261121_first_expand"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
    )
    op.create_table(
        "baseline",
        sa.Column("baseline_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("first_index", sa.BigInteger(), nullable=False),
        sa.Column("stop_index", sa.BigInteger(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("baseline_id", name=op.f("pk_baseline")),
    )
    op.create_index("uq_baseline_active", "baseline", ["active"], unique=True, postgresql_where=sa.text("active"))
    op.create_table(
        "checkpoint",
        sa.Column("checkpoint_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("xact", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("traces", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("preferences", sa.Integer(), nullable=False),
        sa.Column("dead_letters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("last_timestamp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("checkpoint_id", name=op.f("pk_checkpoint")),
    )
    op.create_index(op.f("ix_checkpoint_first_index"), "checkpoint", ["first_index"], unique=False)
    op.create_index(
        "ix_checkpoint_unplaced",
        "checkpoint",
        ["xact", "checkpoint_id"],
        unique=False,
        postgresql_where=sa.text("first_index is null"),
    )
    op.create_table(
        "cohort",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cohort")),
    )
    op.create_table(
        "consumer_offset",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "topic", "partition", name=op.f("pk_consumer_offset")),
    )
    op.create_table(
        "preference",
        sa.Column("preference_id", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=False),
        sa.Column("rejected", sa.Text(), nullable=False),
        sa.Column("tie", sa.Boolean(), nullable=False),
        sa.Column("annotator_id", sa.Text(), nullable=True),
        sa.Column("criteria_version", sa.Text(), nullable=True),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("dimensions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("preference_id", name=op.f("pk_preference")),
    )
    op.create_index(op.f("ix_preference_received_at"), "preference", ["received_at"], unique=False)
    op.create_table(
        "repeat_key",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("last_counted", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_repeat_key")),
    )
    op.create_index(op.f("ix_repeat_key_last_counted"), "repeat_key", ["last_counted"], unique=False)
    op.create_table(
        "score",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=False),
        sa.Column("disagreement", sa.Float(), nullable=False),
        sa.Column("members", postgresql.ARRAY(sa.Float()), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "scorer_version", name=op.f("pk_score")),
    )
    op.create_table(
        "alarm",
        sa.Column("alarm_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("baseline_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("trace_index", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("onset_index", sa.BigInteger(), nullable=False),
        sa.Column("onset_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        sa.Column("evidence_log", sa.Float(), nullable=False),
        sa.Column("effect_estimate", sa.Float(), nullable=False),
        sa.Column("effect_lower", sa.Float(), nullable=False),
        sa.Column("effect_upper", sa.Float(), nullable=False),
        sa.Column("effect_unit", sa.Text(), nullable=False),
        sa.Column("examples", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.CheckConstraint("state in ('open', 'acknowledged', 'superseded')", name=op.f("ck_alarm_state")),
        sa.ForeignKeyConstraint(["baseline_id"], ["baseline.baseline_id"], name=op.f("fk_alarm_baseline_id_baseline")),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_alarm")),
        sa.UniqueConstraint(
            "baseline_id",
            "signal",
            "cohort",
            "policy_model",
            "scorer_version",
            "severity",
            name=op.f("uq_alarm_baseline_id_signal_cohort_policy_model_scorer_version_severity"),
        ),
    )
    op.create_table(
        "detector",
        sa.Column("baseline_id", sa.BigInteger(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("evidence_log", sa.Float(), nullable=False),
        sa.Column("last_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.baseline_id"], name=op.f("fk_detector_baseline_id_baseline")
        ),
        sa.PrimaryKeyConstraint(
            "baseline_id", "signal", "cohort", "policy_model", "scorer_version", name=op.f("pk_detector")
        ),
    )
    op.create_table(
        "fold_position",
        sa.Column("baseline_id", sa.BigInteger(), nullable=False),
        sa.Column("next_index", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.baseline_id"], name=op.f("fk_fold_position_baseline_id_baseline")
        ),
        sa.PrimaryKeyConstraint("baseline_id", name=op.f("pk_fold_position")),
    )
    op.create_table(
        "stream_batch",
        sa.Column("checkpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("cohorts", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cohort_codes", sa.LargeBinary(), nullable=False),
        sa.Column("ordinals", sa.LargeBinary(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.checkpoint_id"], name=op.f("fk_stream_batch_checkpoint_id_checkpoint")
        ),
        sa.PrimaryKeyConstraint(
            "checkpoint_id", "signal", "policy_model", "scorer_version", name=op.f("pk_stream_batch")
        ),
    )
    op.create_table(
        "trace",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("reference_response", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens_source", sa.Text(), nullable=False),
        sa.Column("latency_seconds", sa.Float(), nullable=True),
        sa.Column("feedback_rating", sa.Float(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("repeated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.checkpoint_id"], name=op.f("fk_trace_checkpoint_id_checkpoint")
        ),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_trace")),
        sa.UniqueConstraint("checkpoint_id", "ordinal", name=op.f("uq_trace_checkpoint_id_ordinal")),
    )
    op.create_table(
        "job",
        sa.Column("job_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("alarm_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("verdict", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("candidate_version", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.alarm_id"], name=op.f("fk_job_alarm_id_alarm")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_state"), "job", ["state"], unique=False)
    op.create_index(
        "uq_job_live_action",
        "job",
        ["action"],
        unique=True,
        postgresql_where=sa.text(
            "state in ('awaiting_approval', 'queued', 'leased', 'running', 'evaluating', 'passed')"
        ),
    )
    op.create_table(
        "job_event",
        sa.Column("job_event_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], name=op.f("fk_job_event_job_id_job")),
        sa.PrimaryKeyConstraint("job_event_id", name=op.f("pk_job_event")),
    )
    op.create_index(op.f("ix_job_event_job_id"), "job_event", ["job_id"], unique=False)
    op.create_table(
        "reward_model",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.job_id"], name=op.f("fk_reward_model_job_id_job")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_reward_model")),
    )
    op.create_table(
        "registry",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("previous_version", sa.Text(), nullable=True),
        sa.Column("promoted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("promoted_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["previous_version"], ["reward_model.version"], name=op.f("fk_registry_previous_version_reward_model")
        ),
        sa.ForeignKeyConstraint(["version"], ["reward_model.version"], name=op.f("fk_registry_version_reward_model")),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_registry")),
    )


def downgrade() -> None:
    op.drop_table("registry")
    op.drop_table("reward_model")
    op.drop_index(op.f("ix_job_event_job_id"), table_name="job_event")
    op.drop_table("job_event")
    op.drop_index(
        "uq_job_live_action",
        table_name="job",
        postgresql_where=sa.text(
            "state in ('awaiting_approval', 'queued', 'leased', 'running', 'evaluating', 'passed')"
        ),
    )
    op.drop_index(op.f("ix_job_state"), table_name="job")
    op.drop_table("job")
    op.drop_table("trace")
    op.drop_table("stream_batch")
    op.drop_table("fold_position")
    op.drop_table("detector")
    op.drop_table("alarm")
    op.drop_table("score")
    op.drop_index(op.f("ix_repeat_key_last_counted"), table_name="repeat_key")
    op.drop_table("repeat_key")
    op.drop_index(op.f("ix_preference_received_at"), table_name="preference")
    op.drop_table("preference")
    op.drop_table("consumer_offset")
    op.drop_table("cohort")
    op.drop_index("ix_checkpoint_unplaced", table_name="checkpoint", postgresql_where=sa.text("first_index is null"))
    op.drop_index(op.f("ix_checkpoint_first_index"), table_name="checkpoint")
    op.drop_table("checkpoint")
    op.drop_index("uq_baseline_active", table_name="baseline", postgresql_where=sa.text("active"))
    op.drop_table("baseline")
    op.drop_table("audit")
