"""What was asked of the released policy again, for which alarm, and what it has cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261123_reference_expand"
down_revision = "20261123_daily_evidence_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reask",
        sa.Column("alarm_id", sa.BigInteger(), nullable=False),
        sa.Column("asking", sa.Boolean(), nullable=False),
        sa.Column("rounds", sa.Integer(), server_default="1", nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.alarm_id"], name=op.f("fk_reask_alarm_id_alarm")),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_reask")),
    )
    op.create_index("ix_reask_asking", "reask", ["alarm_id"], postgresql_where=sa.text("asking"))
    op.create_table(
        "reasked",
        sa.Column("alarm_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("old", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("new", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.alarm_id"], name=op.f("fk_reasked_alarm_id_alarm")),
        sa.PrimaryKeyConstraint("alarm_id", "rank", name=op.f("pk_reasked")),
    )
    op.create_index(op.f("ix_reasked_trace_id"), "reasked", ["trace_id"])
    op.create_table(
        "reference_budget",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_reference_budget")),
    )


def downgrade() -> None:
    for table in ("reference_budget", "reasked", "reask"):
        op.drop_table(table)
