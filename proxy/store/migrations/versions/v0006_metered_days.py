"""Joules of metered deployments by day and by whom they went to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metered_days",
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("measured_j", "requests_j", "idle_pool_j", "unattributed_j")),
    )


def downgrade() -> None:
    op.drop_table("metered_days")
