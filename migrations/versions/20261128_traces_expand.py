"""Calls that come in pieces, who asked, what was deleted on request, and who was told of incidents."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "20261128_traces_expand"
down_revision = "20261126_loop_expand"
branch_labels = None
depends_on = None
_ENDS = ("expires_at", "revoked_at", "last_used_at")
_NOT_COMPRESSED = ("subject_ids", "timestamps", "covariates")


def upgrade() -> None:
    op.add_column("trace", sa.Column("user_id", sa.Text(), nullable=True))
    op.add_column("trace", sa.Column("tool_calls", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("trace", sa.Column("truncated", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    for table in ("baseline_trace", "preference_text"):
        op.add_column(table, sa.Column("user_id", sa.Text(), nullable=True))
    op.add_column("baseline_trace", sa.Column("conversation_id", sa.Text(), nullable=True))
    op.add_column("preference_text", sa.Column("policy_model", sa.Text(), nullable=True))
    op.alter_column("preference_text", "reference_response", nullable=True)
    op.create_table(
        "fragment",
        sa.Column("fragment_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("trace", sa.Text(), nullable=False),
        _now("received_at"),
        _now("due_at"),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("fragment_id", name=op.f("pk_fragment")),
    )
    op.create_index(op.f("ix_fragment_trace"), "fragment", ["trace"])
    op.create_index(op.f("ix_fragment_due_at"), "fragment", ["due_at"])
    op.create_table(
        "erasure",
        sa.Column("erasure_id", sa.BigInteger(), autoincrement=True, nullable=False),
        _now("at"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("deleted", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"])
    _create_credentials()
    _create_kept_answers()
    _create_notifications()
    _create_rollups()
    op.create_table(
        "signal_trouble",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("worker", "signal", "why")),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        _now("told_at"),
        sa.PrimaryKeyConstraint("worker", "signal", name=op.f("pk_signal_trouble")),
    )
    # Names and covariates hardly shrink: compressing them took an eighth of a checkpoint's work in the server.
    for column in _NOT_COMPRESSED:
        op.execute(f"alter table log_subject alter column {column} set storage external")


def _create_credentials() -> None:
    op.create_table(
        "credential",
        sa.Column("credential_id", sa.BigInteger(), autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("digest", "kind", "name", "role")),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        _now("created_at"),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in _ENDS),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_credential")),
        sa.UniqueConstraint("digest", name=op.f("uq_credential_digest")),
    )
    op.create_index(
        "uq_credential_live_token",
        "credential",
        ["name"],
        unique=True,
        postgresql_where=sa.text("kind = 'token' and revoked_at is null"),
    )
    op.create_index(op.f("ix_credential_expires_at"), "credential", ["expires_at"])


def _create_kept_answers() -> None:
    op.create_table(
        "kept_answer",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("actor", "role", "key")),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _now("claimed_at"),
        sa.Column("claims", sa.Integer(), server_default="1", nullable=False),
        sa.Column("made", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("actor", "role", "key", name=op.f("pk_kept_answer")),
    )
    op.create_index(op.f("ix_kept_answer_claimed_at"), "kept_answer", ["claimed_at"])


def _create_rollups() -> None:
    names = ("signal", "cohort", "policy_model", "scorer_version")
    op.create_table(
        "stream",
        sa.Column("stream_id", sa.BigInteger(), autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream")),
        sa.UniqueConstraint(*names, name=op.f("uq_stream_signal_cohort_policy_model_scorer_version")),
    )
    op.create_table(
        "stream_rollup",
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("width_seconds", sa.Integer(), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("total", "low", "high")),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.stream_id"], name=op.f("fk_stream_rollup_stream_id_stream")),
        sa.PrimaryKeyConstraint("stream_id", "width_seconds", "start", name=op.f("pk_stream_rollup")),
    )
    op.create_index(op.f("ix_stream_rollup_start"), "stream_rollup", ["start"], postgresql_using="brin")
    op.create_table(
        "rollup_position",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rollup_position")),
    )


def _create_notifications() -> None:
    op.create_table(
        "notification",
        sa.Column("receiver", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("storm", sa.Text(), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("told", JSONB(), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("loud_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pending", JSONB(), nullable=True),
        sa.Column("pending_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.incident_id"], name=op.f("fk_notification_incident_id_incident")
        ),
        sa.PrimaryKeyConstraint("receiver", "subject", name=op.f("pk_notification")),
    )
    op.create_index(op.f("ix_notification_incident_id"), "notification", ["incident_id"])
    op.create_index("ix_notification_open", "notification", ["receiver"], postgresql_where=sa.text("not closed"))


def downgrade() -> None:
    for table in ("signal_trouble", "rollup_position", "stream_rollup", "stream"):
        op.drop_table(table)
    op.drop_index(op.f("ix_audit_subject"), table_name="audit")
    for column in _NOT_COMPRESSED:
        op.execute(f"alter table log_subject alter column {column} set storage extended")
    op.drop_table("kept_answer")
    op.drop_table("notification")
    op.drop_table("credential")
    op.drop_table("erasure")
    op.drop_table("fragment")
    op.execute("delete from preference_text where reference_response is null")
    op.alter_column("preference_text", "reference_response", nullable=False)
    op.drop_column("preference_text", "policy_model")
    op.drop_column("baseline_trace", "conversation_id")
    for table in ("preference_text", "baseline_trace"):
        op.drop_column(table, "user_id")
    for name in ("truncated", "tool_calls", "user_id"):
        op.drop_column("trace", name)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
