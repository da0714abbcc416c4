"""A run's handle, so that it outlives the daemon that started it, and how often a run was gone at a takeover."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261122_job_handle_expand"
down_revision = "20261122_leader_lease_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("handle", postgresql.JSONB()))
    op.add_column("job", sa.Column("lost", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("job", "lost")
    op.drop_column("job", "handle")
