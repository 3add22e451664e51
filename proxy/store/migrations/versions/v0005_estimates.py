"""Estimates on request: figures that somebody asked for, with what they were made of. Appended, never changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "estimates",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_s", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("team", "key")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("mode", "model")),
        *(sa.Column(name, sa.Text) for name in ("provider", "deployment", "entry", "note")),
        *(sa.Column(f"{name}_tokens", sa.BigInteger) for name in ("input", "cached", "output")),
        sa.Column("tokens_estimated", sa.Boolean, nullable=False),
        sa.Column("inference_ms", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("method", "confidence")),
        *(sa.Column(name, sa.Double) for name in _FIGURES),
        sa.Column("zone", sa.Text),
        sa.Column("intensity_g_per_kwh", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("config_version", "data_version", "software_version", "inputs")),
    )
    op.create_index("estimates_at_s", "estimates", ["at_s", "id"])


_FIGURES = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g")


def downgrade() -> None:
    op.drop_table("estimates")
