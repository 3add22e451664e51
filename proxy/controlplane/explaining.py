"""A ledger entry as the facts of its figure, and the chain of that figure as JSON."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from carbon.components import Components
from carbon.energy import Method
from carbon.explain import Facts, Figures, Instead, compared, explained
from carbon.intensity import Basis, Intensity, Signal
from carbon.meters.provider import reported_j
from carbon.profile import EnergyProfile, machine, profile_from
from carbon.remeasured import remeasured
from carbon.stated import assumed_of_measured
from proxy.records import Carbon, Counterfactual, Entry, EstimateInputs, IntensitySample, Restatement, Tokens
from proxy.telemetry.ages import age_s

Profile = dict[str, float | str | None]


def explanation(entry: Entry) -> dict[str, Any]:
    """How the entry's figure came about, and what was said of it since."""
    facts = facts_of(entry)
    return {**chain(facts), "restatements": restated(entry, facts)}


def chain(facts: Facts) -> dict[str, Any]:
    """As JSON; the grid's sample and its age in one object."""
    plain: dict[str, Any] = msgspec.to_builtins(explained(facts))
    grid = plain.pop("intensity")
    return {**plain, "intensity": None if grid is None else {**grid["sample"], "age_s": grid["age_s"]}}


def facts_of(entry: Entry) -> Facts:
    """Of what an entry keeps."""
    made = facts(entry.carbon, entry.tokens, inputs_of(entry), entry.data_version, entry.at_s)
    return msgspec.structs.replace(
        made,
        router_j=entry.router_j,
        marginal=None if entry.marginal is None else intensity_of(entry.marginal),
        instead=None if entry.counterfactual is None else _instead(entry, entry.counterfactual),
    )


def inputs_of(entry: Entry) -> EstimateInputs:
    """What an entry's figures were made of, as an estimate keeps it."""
    return EstimateInputs(
        profile=entry.profile,
        intensity=entry.carbon.intensity,
        decode_s=entry.decode_s,
        paced_by=entry.paced_by,
        batch=entry.batch,
        spec_version=entry.spec_version,
        provider_report=entry.provider_report,
        warnings=entry.warnings,
    )


def facts(account: Carbon, tokens: Tokens, inputs: EstimateInputs, data_version: str, at_s: float) -> Facts:
    """Of one figure, made at that time: an entry's, or an estimate's."""
    sample = inputs.intensity
    return Facts(
        data_version=data_version,
        spec_version=inputs.spec_version,
        method=cast("Method", account.method),
        energy_j=figures(account.energy_low_j, account.energy_j, account.energy_high_j),
        carbon_g=figures(account.carbon_low_g, account.carbon_g, account.carbon_high_g),
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cached_tokens=tokens.cached or 0,
        estimated=tokens.estimated,
        decode_s=inputs.decode_s,
        paced_by=inputs.paced_by,
        batch=inputs.batch,
        profile=inputs.profile,
        reported_j=None if inputs.provider_report is None else reported_j(inputs.provider_report),
        intensity=None if sample is None else intensity_of(sample),
        age_s=None if sample is None else aged_s(sample.as_of, at_s),
        warnings=inputs.warnings,
    )


def intensity_of(sample: IntensitySample) -> Intensity:
    return Intensity(
        zone=sample.zone,
        g_per_kwh=sample.g_per_kwh,
        low=sample.low_g_per_kwh,
        high=sample.high_g_per_kwh,
        basis=cast("Basis", sample.basis),
        source=sample.source,
        as_of=sample.as_of,
        licence=sample.licence or "not on record",
        signal=cast("Signal", sample.signal),
        assumed=sample.assumed,
        estimated=sample.estimated,
        forecast=sample.forecast,
    )


def figures(low: float | None, value: float | None, high: float | None) -> Figures | None:
    return None if low is None or value is None or high is None else Figures(low=low, value=value, high=high)


def restated(entry: Entry, facts: Facts) -> list[dict[str, Any]]:
    """Each later figure behind the one it replaces, with what was avoided by it; `counts`: nothing replaces it."""
    by_replaced = {each.replaces: each for each in entry.restatements}
    found: list[Restatement] = []
    at = entry.id
    while (later := by_replaced.pop(at, None)) is not None:
        found.append(later)
        at = later.id
    return [
        {
            **msgspec.to_builtins(each),
            "counts": each is found[-1],
            **_measured(each, entry),
            "explanation": _worked_out(each, entry),
            "counterfactual": _avoided(facts, each),
        }
        for each in found
    ]


def _measured(later: Restatement, entry: Entry) -> dict[str, Any]:
    """Where measured joules went, this proxy's own among them, and what was assumed on top; nothing of a record that does not keep it."""
    parts = later.inputs.get("components")
    if not isinstance(parts, dict):
        return {}
    told = Components(**{**parts, "router_j": entry.router_j})
    host_factor = later.inputs.get("host_factor")
    assumed = assumed_of_measured(_profile(entry.profile), host_factor if isinstance(host_factor, float) else None)
    return {
        "components": {**msgspec.to_builtins(told), "total_j": told.total_j},
        "host": "measured" if "host_j" in later.inputs else "assumed",
        "assumptions": msgspec.to_builtins(assumed),
    }


def _worked_out(later: Restatement, entry: Entry) -> Any:
    """The lines of a measured figure; the grid is that of the account."""
    joules, sample = figures(later.energy_low_j, later.energy_j, later.energy_high_j), entry.carbon.intensity
    if joules is None or later.method != "measured_attributed":
        return None
    grid = None if sample is None or later.carbon_g is None else intensity_of(sample)
    return msgspec.to_builtins(remeasured(later.inputs, joules, grid))


def _avoided(facts: Facts, later: Restatement) -> dict[str, Any] | None:
    """By the later figure; None where it says nothing of it."""
    avoided = figures(later.avoided_low_g, later.avoided_g, later.avoided_high_g)
    if facts.instead is None or avoided is None:
        return None
    told = msgspec.structs.replace(
        facts,
        method=cast("Method", later.method),
        energy_j=figures(later.energy_low_j, later.energy_j, later.energy_high_j),
        carbon_g=figures(later.carbon_low_g, later.carbon_g, later.carbon_high_g),
    )
    instead = msgspec.structs.replace(facts.instead, avoided=avoided, avoided_marginal_g=later.avoided_marginal_g)
    plain: dict[str, Any] = msgspec.to_builtins(compared(told, instead))
    return plain


def _profile(record: Profile | None) -> EnergyProfile | None:
    """None where it is of another version."""
    try:
        return None if record is None else profile_from(record)
    except msgspec.ValidationError:
        return None


def aged_s(as_of: str, at_s: float) -> int | None:
    """None where the record does not say when in a way we read."""
    try:
        return age_s(as_of, at_s)
    except ValueError:
        return None


def _instead(entry: Entry, told: Counterfactual) -> Instead:
    same_machine = told.model == entry.model and machine(told.profile) == machine(entry.profile)
    return Instead(
        deployment=told.deployment,
        model=told.model,
        profile=None
        if entry.outcome in ("truncated", "failed")
        else told.profile,  # it is not the counterfactual that such a saving is made of
        intensity=None if told.intensity is None else intensity_of(told.intensity),
        marginal=None if told.marginal is None else intensity_of(told.marginal),
        output_tokens=told.output_tokens,
        decode_s=entry.decode_s if same_machine else None,
        alike=same_machine,
        avoided=figures(entry.avoided_low_g, entry.avoided_g, entry.avoided_high_g),
        avoided_marginal_g=entry.avoided_marginal_g,
        retried=len(entry.attempts) > 1,
        router_g=entry.router_g or 0.0,
    )
