"""How far the control stream has looked at the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261124_control_stream_expand"
down_revision = "20261123_watch_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reference_control",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("next_place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_reference_control")),
    )


def downgrade() -> None:
    op.drop_table("reference_control")
