"""What an answer avoided by the figure that was restated, and the view with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

AVOIDED = ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")


def upgrade() -> None:
    op.execute("DROP VIEW exchanges")
    for name in AVOIDED:
        op.add_column("restatements", sa.Column(name, sa.Double))
    # all four of one comparison: a restatement that says nothing of it leaves the row's
    avoided = ", ".join(f"CASE WHEN r.avoided_g IS NULL THEN l.{name} ELSE r.{name} END AS {name}" for name in AVOIDED)
    op.execute(_VIEW.format(days=_days(), own=_OWN, avoided=avoided, figures=_FIGURES))


def downgrade() -> None:
    op.execute("DROP VIEW exchanges")
    for name in reversed(AVOIDED):
        op.drop_column("restatements", name)
    avoided = ", ".join(f"l.{name}" for name in AVOIDED)
    op.execute(_VIEW.format(days=_days(), own=_OWN, avoided=avoided, figures=_FIGURES))


def _days() -> str:
    return "floor(l.at_s / 86400)" if op.get_bind().dialect.name == "postgresql" else "l.at_s / 86400"


_OWN = """
       l.id, l.at_s, l.context, l.team, l.key, l.task, l.outcome, l.status, l.error, l.input_tokens, l.cached_tokens,
       l.cache_write_tokens, l.output_tokens, l.reasoning_tokens, l.cost_usd, l.duration_s, l.ttft_s, l.overhead_s, l.attempts,
       l.attempt_s, l.request_id, l.upstream_id, l.response_id, l.detail"""
_FIGURES = ", ".join(
    f"CASE WHEN r.id IS NULL THEN l.{name} ELSE r.{name} END AS {name}"
    for name in ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "carbon_low_g", "carbon_high_g")
)
_VIEW = """
CREATE VIEW exchanges AS
SELECT {own}, {avoided}, {figures}, c.api, c.stream, c.model_requested, c.model, c.deployment, c.policy, c.reason,
       COALESCE(r.method, c.method) AS method, COALESCE(r.confidence, c.confidence) AS confidence, c.zone,
       c.intensity_g_per_kwh, c.config_version, c.data_version, c.software_version, c.inputs, CAST({days} AS INTEGER) AS day,
       r.id IS NOT NULL AS restated
FROM ledger l LEFT JOIN ledger_contexts c ON c.id = l.context
     LEFT JOIN restatements r ON r.entry = l.id AND NOT EXISTS (SELECT 1 FROM restatements n WHERE n.replaces = r.id)
"""
