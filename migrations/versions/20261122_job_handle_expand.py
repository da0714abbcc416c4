"""A run's handle, so that it outlives the daemon that started it."""

from __future__ import annotations

revision = "20261122_job_handle_expand"
down_revision = "20261122_leader_lease_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
