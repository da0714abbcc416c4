"""The leader's lease, in the database's own time."""

from __future__ import annotations

revision = "20261122_leader_lease_expand"
down_revision = "20261122_offset_identity_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
