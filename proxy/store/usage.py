"""Sums over the ledger: what was used, by whom, where.

A sum is over the entries whose value is known; beside it stands how many are not (`..._unknown`), among those that did work: a request
that was refused or answered from a cache used nothing, so it is not unknown. The low and the high of a sum are the sums of the lows and
of the highs: right if all errors go the same way, and so never too narrow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, select

from proxy.store.tables import exchanges

GroupBy = Literal["model", "deployment", "policy", "team", "key", "task", "day"]
_J_PER_WH = 3600.0
_TOKEN_CLASSES = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
WORKLESS = ("refused", "cached")
_ERRORS = ("failed", "refused", "truncated")


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to sum. `from_s` is in, `to_s` is out, both Unix seconds; `team` None means every team's; no group means one row in all."""

    group_by: GroupBy | None = None
    from_s: float | None = None
    to_s: float | None = None
    team: str | None = None


def usage_statement(query: UsageQuery) -> Select[Any]:
    c = exchanges.c
    worked = c.outcome.not_in(WORKLESS)
    columns: list[ColumnElement[Any]] = [
        func.count().label("requests"),
        func.count().filter(c.outcome.in_(_ERRORS)).label("errors"),
    ]
    for name in (*_TOKEN_CLASSES, "cost_usd", "energy_j", "carbon_g"):
        columns.append(func.sum(c[name]).label(name))
        columns.append(func.count().filter(and_(c[name].is_(None), worked)).label(f"{name}_unknown"))
    columns += [func.sum(c[name]).label(name) for name in ("energy_low_j", "energy_high_j", "carbon_low_g", "carbon_high_g")]
    return narrowed(select(*columns).select_from(exchanges), query)


def narrowed(statement: Select[Any], query: UsageQuery, *, group: bool = True) -> Select[Any]:
    """Of the entries a query is about, one row a group; the group's value is `grouped`."""
    c = exchanges.c
    if query.from_s is not None:
        statement = statement.where(c.at_s >= query.from_s)
    if query.to_s is not None:
        statement = statement.where(c.at_s < query.to_s)
    if query.team is not None:
        statement = statement.where(c.team == query.team)
    if group and query.group_by is not None:
        by = c[query.group_by]
        statement = statement.add_columns(by.label("grouped")).group_by(by).order_by(by.nulls_first())
    return statement


def grouped_row(query: UsageQuery, found: Mapping[str, Any]) -> dict[str, Any]:
    """The group's name under its own key, a day as YYYY-MM-DD in UTC."""
    if query.group_by == "day":
        return {"day": (dt.date(1970, 1, 1) + dt.timedelta(days=found["grouped"])).isoformat()}
    return {} if query.group_by is None else {query.group_by: found["grouped"]}


def usage_row(query: UsageQuery, found: Mapping[str, Any]) -> dict[str, Any]:
    """One group as it is shown, energy in watt-hours."""
    shown = grouped_row(query, found)
    shown["requests"] = found["requests"]
    shown["errors"] = found["errors"]
    for name in _TOKEN_CLASSES:
        # PostgreSQL sums integers as numeric, which arrives as Decimal.
        shown[name] = None if found[name] is None else int(found[name])
        shown[f"{name}_unknown"] = found[f"{name}_unknown"]
    for band in ("", "low_", "high_"):
        joules = found[f"energy_{band}j"]
        shown[f"energy_{band}wh"] = None if joules is None else joules / _J_PER_WH
    shown["energy_wh_unknown"] = found["energy_j_unknown"]
    for name in ("carbon_g", "carbon_low_g", "carbon_high_g", "carbon_g_unknown", "cost_usd", "cost_usd_unknown"):
        shown[name] = found[name]
    return shown
