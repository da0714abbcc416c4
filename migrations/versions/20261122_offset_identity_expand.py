"""What names the log an offset belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_offset_identity_expand"
down_revision = "20261121_first_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consumer_offset", sa.Column("topic_id", sa.Text()))
    op.add_column("consumer_offset", sa.Column("leader_epoch", sa.Integer()))
    op.add_column("consumer_offset", sa.Column("bad_run", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("consumer_offset", "bad_run")
    op.drop_column("consumer_offset", "leader_epoch")
    op.drop_column("consumer_offset", "topic_id")
