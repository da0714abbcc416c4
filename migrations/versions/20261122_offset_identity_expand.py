"""What names the log an offset belongs to."""

from __future__ import annotations

revision = "20261122_offset_identity_expand"
down_revision = "20261121_first_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
