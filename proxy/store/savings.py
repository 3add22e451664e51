"""What choices avoided, summed: signed, beside the totals they must never be taken from; and what a holdout measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from carbon.bands import SIGMAS_80
from carbon.savings import Saving, verdict
from proxy.store.tables import exchanges
from proxy.store.usage import UsageQuery, grouped_row, narrowed

LEAST = 30
"""Requests of each kind below which nothing is said of their difference."""


def savings_statement(query: UsageQuery) -> Select[Any]:
    c = exchanges.c
    both = c.avoided_marginal_g.is_not(None)
    columns: list[ColumnElement[Any]] = [
        func.count().label("requests"),
        func.count(c.avoided_g).label("compared"),
        func.count().filter(c.outcome == "cached").label("cached"),
        func.sum(c.energy_j).label("energy_j"),
        func.sum(c.carbon_g).label("carbon_g"),
        *(func.sum(c[name]).label(name) for name in ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")),
        func.sum(c.avoided_g).filter(both).label("avoided_g_both"),
        func.count().filter(both).label("marginal_compared"),
    ]
    return narrowed(select(*columns).select_from(exchanges), query)


def savings_row(query: UsageQuery, found: Mapping[str, Any]) -> dict[str, Any]:
    """One group as it is shown. The low and high of a sum are the sums of the lows and of the highs."""
    total = None
    if found["compared"]:
        total = Saving(g=found["avoided_g"], low_g=found["avoided_low_g"], high_g=found["avoided_high_g"])
    said, because = verdict(total)
    if found["marginal_compared"] and found["avoided_g_both"] * found["avoided_marginal_g"] < 0:
        said, because = "no robust saving", "signs differ"
    return {
        **grouped_row(query, found),
        **{name: found[name] for name in ("requests", "compared", "marginal_compared", "cached")},
        "energy_wh": None if found["energy_j"] is None else found["energy_j"] / 3600,
        "carbon_g": found["carbon_g"],
        **{name: found[name] for name in ("avoided_g", "avoided_low_g", "avoided_high_g", "avoided_marginal_g")},
        "verdict": said,
        "because": because,
    }


def holdout_statement(query: UsageQuery) -> Select[Any]:
    """Grams of a completed request, by the model that was asked for, of those held out and of those that might have been.

    By what was drawn and not by what served: an answer of another deployment, because the default failed, is still one that was held out.
    """
    c = exchanges.c
    held, free = (c.inputs.like(f'%"holdout":"{arm}"%') for arm in ("held", "free"))
    columns: list[ColumnElement[Any]] = [c.model_requested, held.label("held")]
    columns += [func.count(c.carbon_g).label("requests"), func.avg(c.carbon_g).label("mean_g")]
    columns += [func.avg(c.carbon_low_g).label("low_g"), func.avg(c.carbon_high_g).label("high_g")]
    columns += [func.avg(c.carbon_g * c.carbon_g).label("mean_square")]
    statement = select(*columns).select_from(exchanges).where(c.outcome == "completed", c.carbon_g.is_not(None), held | free)
    return narrowed(statement, query, group=False).group_by(c.model_requested, held).order_by(c.model_requested)


def holdout_rows(found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each model with requests held out: the mean of each kind, and the difference with its 80 % band where there are enough."""
    rows: dict[str | None, dict[bool, Mapping[str, Any]]] = {}
    for each in found:
        rows.setdefault(each["model_requested"], {})[bool(each["held"])] = each
    return [_measured(model, kinds[True], kinds.get(False)) for model, kinds in rows.items() if True in kinds]


def _measured(model: str | None, held: Mapping[str, Any], others: Mapping[str, Any] | None) -> dict[str, Any]:
    """The difference's band has what the draw leaves to chance, and the error of both means, taken as independent of each other."""
    told = None
    if others is not None and min(held["requests"], others["requests"]) >= LEAST:
        difference = held["mean_g"] - others["mean_g"]
        chance = SIGMAS_80 * math.sqrt(sum(_variance_of_mean(each) for each in (held, others)))
        down = math.hypot(chance, held["mean_g"] - held["low_g"], others["high_g"] - others["mean_g"])
        up = math.hypot(chance, held["high_g"] - held["mean_g"], others["mean_g"] - others["low_g"])
        told = Saving(g=difference, low_g=difference - down, high_g=difference + up)
    said, because = verdict(told)
    return {
        "model": model,
        "held_out": held["requests"],
        **_mean("held_out", held),
        "others": 0 if others is None else others["requests"],
        **_mean("others", others),
        "avoided_per_request_g": None if told is None else told.g,
        "avoided_low_g": None if told is None else told.low_g,
        "avoided_high_g": None if told is None else told.high_g,
        "verdict": said,
        "because": because,
    }


def _mean(name: str, kind: Mapping[str, Any] | None) -> dict[str, float | None]:
    return {f"{name}_{end}_g": None if kind is None else kind[f"{end}_g"] for end in ("mean", "low", "high")}


def _variance_of_mean(kind: Mapping[str, Any]) -> float:
    return max(0.0, float(kind["mean_square"]) - float(kind["mean_g"]) ** 2) / float(max(1, kind["requests"] - 1))
