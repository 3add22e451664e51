"""The ledger: rows, one an exchange; the contexts they share; a view over both; and the records that could not become a row."""

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
        sa.Column("context", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("team", "key", "task")),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        *(sa.Column(f"{name}_tokens", sa.BigInteger) for name in ("input", "cached", "cache_write", "output", "reasoning")),
        *(sa.Column(name, sa.Double) for name in ("energy_j", "energy_low_j", "energy_high_j")),
        *(sa.Column(name, sa.Double) for name in ("carbon_g", "carbon_low_g", "carbon_high_g")),
        sa.Column("cost_usd", sa.Double),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("ttft_s", sa.Double),
        sa.Column("overhead_s", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("attempt_s", sa.Double),
        *(sa.Column(name, sa.Text) for name in ("request_id", "upstream_id", "response_id")),
        sa.Column("detail", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("ledger_at_s", "ledger", ["at_s"])
    given = sa.text("response_id IS NOT NULL")
    op.create_index("ledger_response_id", "ledger", ["response_id"], sqlite_where=given, postgresql_where=given)
    op.create_table(
        "ledger_contexts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("model_requested", "model", "deployment", "policy")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("reason", "method", "confidence")),
        sa.Column("zone", sa.Text),
        sa.Column("intensity_g_per_kwh", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("config_version", "data_version", "software_version", "inputs")),
    )
    op.create_table(
        "ledger_quarantine",
        sa.Column("digest", sa.Text, primary_key=True, comment="SHA-256 of the record: kept once however often it is replayed"),
        sa.Column("kind", sa.Text, nullable=False, comment="why it could not become a row"),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.execute(_VIEW.format(days="floor(l.at_s / 86400)" if op.get_bind().dialect.name == "postgresql" else "l.at_s / 86400"))


_VIEW = """
CREATE VIEW exchanges AS
SELECT l.*, c.api, c.stream, c.model_requested, c.model, c.deployment, c.policy, c.reason, c.method, c.confidence, c.zone,
       c.intensity_g_per_kwh, c.config_version, c.data_version, c.software_version, c.inputs, CAST({days} AS INTEGER) AS day
FROM ledger l LEFT JOIN ledger_contexts c ON c.id = l.context
"""


def downgrade() -> None:
    op.execute("DROP VIEW exchanges")
    op.drop_table("ledger_quarantine")
    op.drop_table("ledger_contexts")
    op.drop_table("ledger")
