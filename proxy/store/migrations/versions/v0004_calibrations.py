"""Fits to measured energy and the verdicts on them; the latest accepted one of a deployment is in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("deployment", "model", "machine")),
        sa.Column("fitted_at_s", sa.Double, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("content", sa.Text, nullable=False, comment="carbon.calibration.Calibration as JSON"),
    )
    op.create_index("calibrations_deployment", "calibrations", ["deployment", "fitted_at_s"])


def downgrade() -> None:
    op.drop_table("calibrations")
