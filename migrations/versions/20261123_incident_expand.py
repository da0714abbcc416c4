"""Alarms of other kinds than drift, what was found out about them, and the incidents they make up.

Alarms from before have no incident yet: the leader gives them theirs, as it does to those that a leader of the
previous release raises while both releases run.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261123_incident_expand"
down_revision = "20261122_log_contract"
branch_labels = None
depends_on = None

_STREAM = ("signal", "cohort", "policy_model", "scorer_version")


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("incident_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("onset_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("onset_place", sa.BigInteger(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("causes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('open', 'acknowledged', 'snoozed', 'recovered', 'superseded')", name=op.f("ck_incident_state")
        ),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incident")),
    )
    op.create_index(op.f("ix_incident_state"), "incident", ["state"])
    for column in (
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), server_default="drift", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("decomposition", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("policy_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reference_verdict", sa.Text(), nullable=True),
        sa.Column("reference_verdict_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reference_note", sa.Text(), server_default="", nullable=False),
        sa.Column("scorer_verdict", sa.Text(), nullable=True),
        sa.Column("scorer_verdict_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scorer_note", sa.Text(), server_default="", nullable=False),
    ):
        op.add_column("alarm", column)
    op.create_foreign_key(op.f("fk_alarm_incident_id_incident"), "alarm", "incident", ["incident_id"], ["incident_id"])
    op.create_index(op.f("ix_alarm_incident_id"), "alarm", ["incident_id"])
    for optional in (
        "baseline_id",
        "direction",
        "evidence_log",
        "effect_estimate",
        "effect_lower",
        "effect_upper",
        "effect_unit",
    ):
        op.alter_column("alarm", optional, nullable=True)
    op.drop_constraint("uq_alarm_stream_severity_episode", "alarm", type_="unique")
    op.create_index(
        "uq_alarm_stream_severity_episode",
        "alarm",
        [sa.text("coalesce(baseline_id, 0)"), "kind", *_STREAM, "severity", "episode"],
        unique=True,
    )
    op.drop_constraint(op.f("ck_alarm_state"), "alarm", type_="check")
    op.create_check_constraint(
        op.f("ck_alarm_state"), "alarm", "state in ('open', 'acknowledged', 'snoozed', 'recovered', 'superseded')"
    )


def downgrade() -> None:
    raise NotImplementedError("alarms of other kinds have no place before: restore the backup taken before")
