"""The store's tables. Changed only together with a migration. The columns are in the order of the Structs that are written to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text, text

metadata = MetaData()

ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("context", BigInteger, nullable=False),
    *(Column(name, Text) for name in ("team", "key", "task")),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text),
    *(Column(f"{name}_tokens", BigInteger) for name in ("input", "cached", "cache_write", "output", "reasoning")),
    *(Column(name, Double) for name in ("energy_j", "energy_low_j", "energy_high_j")),
    *(Column(name, Double) for name in ("carbon_g", "carbon_low_g", "carbon_high_g")),
    Column("cost_usd", Double),
    Column("duration_s", Double, nullable=False),
    Column("ttft_s", Double),
    Column("overhead_s", Double),
    Column("attempts", Integer, nullable=False),
    Column("attempt_s", Double),
    *(Column(name, Text) for name in ("request_id", "upstream_id", "response_id")),
    Column("detail", Text),
    *(Column(name, Double) for name in ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")),
    Index("ledger_at_s", "at_s"),
    Index(
        "ledger_response_id",
        "response_id",
        sqlite_where=text("response_id IS NOT NULL"),
        postgresql_where=text("response_id IS NOT NULL"),
    ),
    # Ids rise with time, so rows are appended; kept under a row number they would need a second tree for the ids.
    sqlite_with_rowid=False,
)

contexts = Table(
    "ledger_contexts",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("api", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    *(Column(name, Text) for name in ("model_requested", "model", "deployment", "policy")),
    *(Column(name, Text, nullable=False) for name in ("reason", "method", "confidence")),
    Column("zone", Text),
    Column("intensity_g_per_kwh", Double),
    *(Column(name, Text, nullable=False) for name in ("config_version", "data_version", "software_version", "inputs")),
)

quarantine = Table(
    "ledger_quarantine",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the record: kept once however often it is replayed"),
    Column("kind", Text, nullable=False, comment="why it could not become a row"),
    Column("record", LargeBinary, nullable=False),
)

intensities = Table(
    "intensities",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("feed", "zone", "signal", "as_of")),
    Column("at_s", Double, nullable=False, comment="as_of as Unix time"),
    *(Column(name, Double, nullable=False) for name in ("g_per_kwh", "low", "high")),
    *(Column(name, Text, nullable=False) for name in ("basis", "source", "licence")),
    *(Column(name, Boolean, nullable=False) for name in ("estimated", "forecast")),
    Index("intensities_at_s", "at_s"),
)

restatements = Table(
    "restatements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("replaces", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("at_s", Double, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("method", "confidence")),
    *(Column(name, Double) for name in ("energy_j", "energy_low_j", "energy_high_j")),
    *(Column(name, Double) for name in ("carbon_g", "carbon_low_g", "carbon_high_g")),
    Column("inputs", Text, nullable=False),
    *(Column(name, Double) for name in ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")),
    Index("restatements_entry", "entry"),
    Index("restatements_replaces", "replaces", unique=True),
)

metered_days = Table(
    "metered_days",
    metadata,
    Column("deployment", Text, primary_key=True),
    Column("day", Integer, primary_key=True),
    *(Column(name, Double, nullable=False) for name in ("measured_j", "requests_j", "idle_pool_j", "unattributed_j")),
)

estimates = Table(
    "estimates",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_s", Double, nullable=False),
    *(Column(name, Text) for name in ("team", "key")),
    *(Column(name, Text, nullable=False) for name in ("mode", "model")),
    *(Column(name, Text) for name in ("provider", "deployment", "entry", "note")),
    *(Column(f"{name}_tokens", BigInteger) for name in ("input", "cached", "output")),
    Column("tokens_estimated", Boolean, nullable=False),
    Column("inference_ms", Double),
    *(Column(name, Text, nullable=False) for name in ("method", "confidence")),
    *(Column(name, Double) for name in ("energy_j", "energy_low_j", "energy_high_j")),
    *(Column(name, Double) for name in ("carbon_g", "carbon_low_g", "carbon_high_g")),
    Column("zone", Text),
    Column("intensity_g_per_kwh", Double),
    *(Column(name, Text, nullable=False) for name in ("config_version", "data_version", "software_version", "inputs")),
    Index("estimates_at_s", "at_s", "id"),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("deployment", "model", "machine")),
    Column("fitted_at_s", Double, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("content", Text, nullable=False, comment="carbon.calibration.Calibration as JSON"),
    Index("calibrations_deployment", "deployment", "fitted_at_s"),
)
"""Rows are added only: what a figure of the past was made of stays."""

exchanges = Table(
    "exchanges",
    MetaData(),
    *(Column(column.name, column.type) for column in ledger.columns),
    *(Column(column.name, column.type) for column in contexts.columns if column.name != "id"),
    Column("day", Integer),
    Column("restated", Boolean),
)
"""The view over all: each row with its context, `day` (days since 1970-01-01 in UTC), and its figures as they were last restated."""
