"""What an answer saved, against the deployment that would have served it: the counterfactual of the plan, at the same time and basis."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from carbon.footprint import Footprint, Workload
from carbon.intensity import Intensity
from carbon.savings import Saving, otherwise, saving
from proxy.records import Attempt, Tokens
from proxy.snapshot import Plan, Proportion, Served

PROPORTIONAL = frozenset({"flops_roofline", "runtime_power"})
"""Methods by which the same machine elsewhere takes the same joules but for a factor, with the same band, whatever the request."""
REFERENCE = Workload(input_tokens=1000, output_tokens=500)
REFERENCE_PACED = Workload(input_tokens=1000, output_tokens=500, decode_s=10.0)


class Done(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What happened: the tokens, how long they were written, what that took."""

    tokens: Tokens
    footprint: Footprint
    decode_s: float | None = None


def compared(plan: Plan, served: Served, done: Done, burnt_g: float = 0.0, router_g: float = 0.0) -> Saving | None:
    """None where either side's grams are not known. Failed attempts and the proxy itself are taken off, also where the counterfactual
    served: it would have done so without either.

    The counterfactual reads the same prompt, and the same machine at the same pace. It writes what was written, or, being another model
    whose usual length the configuration states, that many tokens: a small model that talks much may save nothing. Asked once more when
    the energy has been measured: see `carbon.savings.otherwise`.
    """
    tokens, actual = done.tokens, done.footprint
    instead, g, extra_g = plan.baseline, actual.carbon_g, burnt_g + router_g
    if instead is None or g is None or tokens.input is None or tokens.output is None:
        return None
    if instead is served:
        return Saving(g=-extra_g, low_g=-extra_g, high_g=-extra_g)
    if burnt_g == 0 and not tokens.estimated and actual.intensity is served.intensity:
        key = (served, actual.method)
        try:
            times = plan.proportions[key]
        except KeyError:
            times = plan.proportions[key] = _proportion(plan, served, actual.method)
        if times is not None:
            return Saving(
                g=g * times.g - router_g,
                low_g=g * times.low - router_g,
                high_g=g * times.high - router_g,
                marginal_g=None if times.marginal is None else g * times.marginal - router_g,
            )
    same, alike = served.model == instead.model, served in plan.alike
    workload = Workload(
        input_tokens=tokens.input,
        output_tokens=tokens.output if same or plan.baseline_output_tokens is None else plan.baseline_output_tokens,
        cached_tokens=tokens.cached or 0,
        estimated=tokens.estimated,
        decode_s=done.decode_s if alike else None,
    )
    found = otherwise(workload, actual, (served.estimator, instead.estimator), instead.intensity, alike=alike)
    return saving(found.footprint, actual, _margins(instead, served), alike=found.alike, extra_g=extra_g)


def _proportion(plan: Plan, served: Served, method: str) -> Proportion | None:
    """What the saving is for each gram of the actual; None where it is not in proportion."""
    instead = plan.baseline
    if instead is None or served not in plan.alike or method not in PROPORTIONAL:
        return None
    reference = REFERENCE if method == "flops_roofline" else REFERENCE_PACED
    actual = Footprint.of(reference, served.estimator, served.intensity)
    other = Footprint.of(reference, instead.estimator, instead.intensity)
    if actual.method != method or other.method != method or not actual.carbon_g:
        return None
    found = saving(other, actual, _margins(instead, served), alike=True)
    if found is None:
        return None
    g, margin = actual.carbon_g, found.marginal_g
    return Proportion(g=found.g / g, low=found.low_g / g, high=found.high_g / g, marginal=None if margin is None else margin / g)


def _margins(instead: Served, served: Served) -> tuple[Intensity, Intensity] | None:
    return None if instead.marginal is None or served.marginal is None else (instead.marginal, served.marginal)


def burnt_g(attempts: Iterable[Attempt], untouched: frozenset[str], forecasts: dict[str, Footprint]) -> float:
    """Grams of attempts that failed after work was done, each taken for what its deployment was forecast to take."""
    kinds = [each for each in attempts if each.kind != "ok" and each.kind not in untouched]
    return sum(forecasts[each.deployment].carbon_g or 0.0 for each in kinds if each.deployment in forecasts)
