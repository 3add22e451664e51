"""Grid intensities as they were read: evidence for the figures made of them, and what is known after a restart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intensities",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("feed", "zone", "signal", "as_of")),
        sa.Column("at_s", sa.Double, nullable=False, comment="as_of as Unix time"),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("g_per_kwh", "low", "high")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("basis", "source", "licence")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("estimated", "forecast")),
    )
    op.create_index("intensities_at_s", "intensities", ["at_s"])


def downgrade() -> None:
    op.drop_table("intensities")
