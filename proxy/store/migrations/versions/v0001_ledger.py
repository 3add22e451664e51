"""The ledger, one row an exchange; and the records that could not become one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at_s", sa.Double, nullable=False),
        sa.Column("day", sa.Integer, nullable=False, comment="days since 1970-01-01, UTC"),
        *(sa.Column(name, sa.Text) for name in ("team", "key", "policy", "task")),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("model_requested", "model", "deployment")),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        *(sa.Column(f"{name}_tokens", sa.BigInteger) for name in ("input", "cached", "cache_write", "output", "reasoning")),
        *(sa.Column(name, sa.Double) for name in ("energy_j", "energy_low_j", "energy_high_j")),
        *(sa.Column(name, sa.Double) for name in ("carbon_g", "carbon_low_g", "carbon_high_g")),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("confidence", sa.Text, nullable=False),
        sa.Column("zone", sa.Text),
        sa.Column("intensity_g_per_kwh", sa.Double),
        sa.Column("cost_usd", sa.Double),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("ttft_s", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text),
        sa.Column("config_version", sa.Text, nullable=False),
        sa.Column("data_version", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False, comment="the whole entry, msgpack"),
    )
    op.create_index("ledger_at_s", "ledger", ["at_s"])
    given = sa.text("response_id IS NOT NULL")
    op.create_index("ledger_response_id", "ledger", ["response_id"], sqlite_where=given, postgresql_where=given)
    op.create_table(
        "ledger_quarantine",
        sa.Column("digest", sa.Text, primary_key=True, comment="SHA-256 of the record: kept once however often it is replayed"),
        sa.Column("kind", sa.Text, nullable=False, comment="why it could not become a row"),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ledger_quarantine")
    op.drop_table("ledger")
