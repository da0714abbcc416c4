"""What every stream's day came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261123_daily_evidence_expand"
down_revision = "20261123_incident_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "daily_evidence",
        sa.Column("baseline_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("cohort", sa.Text(), nullable=False),
        sa.Column("policy_model", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), nullable=False),
        sa.Column("observations", sa.BigInteger(), nullable=False),
        sa.Column("log_e", sa.Float(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["baseline_id"], ["baseline.baseline_id"], name=op.f("fk_daily_evidence_baseline_id_baseline")
        ),
        sa.PrimaryKeyConstraint(
            "baseline_id",
            "day",
            "signal",
            "cohort",
            "policy_model",
            "scorer_version",
            name=op.f("pk_daily_evidence"),
        ),
    )


def downgrade() -> None:
    op.drop_table("daily_evidence")
