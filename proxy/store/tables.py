"""The store's tables, and an entry as a row of the first. Changed only together with a migration."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text, text

from proxy.records import Entry

DAY_S = 86400

metadata = MetaData()

ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("day", Integer, nullable=False, comment="days since 1970-01-01, UTC"),
    Column("team", Text),
    Column("key", Text),
    Column("policy", Text),
    Column("task", Text),
    Column("api", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("model_requested", Text),
    Column("model", Text),
    Column("deployment", Text),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error", Text),
    Column("input_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("energy_j", Double),
    Column("energy_low_j", Double),
    Column("energy_high_j", Double),
    Column("carbon_g", Double),
    Column("carbon_low_g", Double),
    Column("carbon_high_g", Double),
    Column("method", Text, nullable=False),
    Column("confidence", Text, nullable=False),
    Column("zone", Text),
    Column("intensity_g_per_kwh", Double),
    Column("cost_usd", Double),
    Column("duration_s", Double, nullable=False),
    Column("ttft_s", Double),
    Column("attempts", Integer, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("response_id", Text),
    Column("config_version", Text, nullable=False),
    Column("data_version", Text, nullable=False),
    Column("record", LargeBinary, nullable=False, comment="the whole entry, msgpack"),
    Index("ledger_at_s", "at_s"),
    Index(
        "ledger_response_id",
        "response_id",
        sqlite_where=text("response_id IS NOT NULL"),
        postgresql_where=text("response_id IS NOT NULL"),
    ),
)

quarantine = Table(
    "ledger_quarantine",
    metadata,
    Column("digest", Text, primary_key=True, comment="SHA-256 of the record: kept once however often it is replayed"),
    Column("kind", Text, nullable=False, comment="why it could not become a row"),
    Column("record", LargeBinary, nullable=False),
)


def row(entry: Entry, record: bytes) -> tuple[object, ...]:
    """The entry's values in the order of the ledger's columns."""
    tokens, carbon, intensity = entry.tokens, entry.carbon, entry.carbon.intensity
    return (
        entry.id,
        entry.at_s,
        int(entry.at_s // DAY_S),
        entry.team,
        entry.key,
        entry.policy,
        entry.task,
        entry.api,
        entry.stream,
        entry.model_requested,
        entry.model,
        entry.deployment,
        entry.outcome,
        entry.status,
        entry.reason,
        entry.error,
        tokens.input,
        tokens.cached,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        carbon.energy_j,
        carbon.energy_low_j,
        carbon.energy_high_j,
        carbon.carbon_g,
        carbon.carbon_low_g,
        carbon.carbon_high_g,
        carbon.method,
        carbon.confidence,
        None if intensity is None else intensity.zone,
        None if intensity is None else intensity.g_per_kwh,
        entry.cost_usd,
        entry.duration_s,
        entry.ttft_s,
        len(entry.attempts),
        entry.request_id,
        entry.response_id,
        entry.config_version,
        entry.data_version,
        record,
    )
