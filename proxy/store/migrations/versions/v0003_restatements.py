"""What a choice avoided, beside each row; later and better figures in rows of their own; and the view with the figures that count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

AVOIDED = ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")


def upgrade() -> None:
    op.execute("DROP VIEW exchanges")
    for name in AVOIDED:
        op.add_column("ledger", sa.Column(name, sa.Double))
    op.create_table(
        "restatements",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("replaces", "entry")),
        sa.Column("at_s", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("method", "confidence")),
        *(sa.Column(name, sa.Double) for name in _FIGURES),
        sa.Column("inputs", sa.Text, nullable=False),
    )
    op.create_index("restatements_entry", "restatements", ["entry"])
    op.create_index("restatements_replaces", "restatements", ["replaces"], unique=True)
    days = "floor(l.at_s / 86400)" if op.get_bind().dialect.name == "postgresql" else "l.at_s / 86400"
    figures = ", ".join(f"CASE WHEN r.id IS NULL THEN l.{name} ELSE r.{name} END AS {name}" for name in _FIGURES)
    op.execute(_VIEW.format(days=days, own=", ".join(f"l.{name}" for name in _OWN), figures=figures))


_FIGURES = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g")
_OWN = (
    *("id", "at_s", "context", "team", "key", "task", "outcome", "status", "error"),
    *("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("cost_usd", "duration_s", "ttft_s", "overhead_s", "attempts", "attempt_s"),
    *("request_id", "upstream_id", "response_id", "detail"),
    *AVOIDED,
)
_VIEW = """
CREATE VIEW exchanges AS
SELECT {own}, {figures}, c.api, c.stream, c.model_requested, c.model, c.deployment, c.policy, c.reason,
       COALESCE(r.method, c.method) AS method, COALESCE(r.confidence, c.confidence) AS confidence, c.zone,
       c.intensity_g_per_kwh, c.config_version, c.data_version, c.software_version, c.inputs, CAST({days} AS INTEGER) AS day,
       r.id IS NOT NULL AS restated
FROM ledger l LEFT JOIN ledger_contexts c ON c.id = l.context
     LEFT JOIN restatements r ON r.entry = l.id AND NOT EXISTS (SELECT 1 FROM restatements n WHERE n.replaces = r.id)
"""


def downgrade() -> None:
    op.execute("DROP VIEW exchanges")
    op.drop_table("restatements")
    for name in reversed(AVOIDED):
        op.drop_column("ledger", name)
    op.execute(_VIEW_BEFORE.format(days="floor(l.at_s / 86400)" if op.get_bind().dialect.name == "postgresql" else "l.at_s / 86400"))


_VIEW_BEFORE = """
CREATE VIEW exchanges AS
SELECT l.*, c.api, c.stream, c.model_requested, c.model, c.deployment, c.policy, c.reason, c.method, c.confidence, c.zone,
       c.intensity_g_per_kwh, c.config_version, c.data_version, c.software_version, c.inputs, CAST({days} AS INTEGER) AS day
FROM ledger l LEFT JOIN ledger_contexts c ON c.id = l.context
"""
