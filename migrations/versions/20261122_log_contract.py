"""The observation log takes the place of the checkpoints' stream batches."""

from __future__ import annotations

revision = "20261122_log_contract"
down_revision = "20261122_job_handle_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
