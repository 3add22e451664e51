"""What an answer saved, against the deployment that would have served it: the counterfactual of the plan, at the same time and basis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import hypot
from typing import NamedTuple

from carbon.footprint import Footprint, Workload, grams
from carbon.intensity import Intensity
from carbon.savings import Saving, saving
from proxy.records import Attempt, Tokens
from proxy.snapshot import Plan, Proportion, Served

PROPORTIONAL = frozenset({"flops_roofline", "runtime_power"})
"""Methods by which the same machine elsewhere takes the same joules but for a factor, with the same band, whatever the request."""
REFERENCE = Workload(input_tokens=1000, output_tokens=500)
REFERENCE_PACED = Workload(input_tokens=1000, output_tokens=500, decode_s=10.0)


class Burnt(NamedTuple):
    """Grams of work that came to nothing, with the ends of their band, by the average and by the marginal rates."""

    g: float = 0.0
    low_g: float = 0.0
    high_g: float = 0.0
    marginal_g: float | None = 0.0
    """None: of one of the grids it is not known."""

    def with_one(self, served: Served, took: Footprint) -> Burnt:
        """With what one deployment took, if that is known."""
        g, low_g, high_g, energy_j, margin = took.carbon_g, took.carbon_low_g, took.carbon_high_g, took.energy_j, served.marginal
        if g is None or low_g is None or high_g is None:
            return self
        more_g = None if energy_j is None or margin is None else grams(energy_j, margin.g_per_kwh)
        marginal_g = None if self.marginal_g is None or more_g is None else self.marginal_g + more_g
        return Burnt(self.g + g, self.low_g + low_g, self.high_g + high_g, marginal_g)

    def off(self, saved: Saving) -> Saving:
        """What is left of a saving: the errors of both are taken as independent."""
        g = saved.g - self.g
        return Saving(
            g=g,
            low_g=g - hypot(saved.g - saved.low_g, self.high_g - self.g),
            high_g=g + hypot(saved.high_g - saved.g, self.g - self.low_g),
            marginal_g=None if saved.marginal_g is None or self.marginal_g is None else saved.marginal_g - self.marginal_g,
        )


NOTHING_BURNT = Burnt()


def compared(
    plan: Plan, served: Served, account: tuple[Tokens, Footprint], charges: Burnt = NOTHING_BURNT, router_g: float = 0.0
) -> Saving | None:
    """None where either side's grams are not known. Failed attempts and the proxy itself are taken off, also where the counterfactual
    served: it would have done so without either.

    The counterfactual reads the same prompt. It writes what was written, or, being another model whose usual length the configuration
    states, that many tokens: a small model that talks much may save nothing.
    """
    tokens, actual = account
    instead, g = plan.baseline, actual.carbon_g
    if instead is None or g is None or tokens.input is None or tokens.output is None:
        return None
    if instead is served:
        same = Saving(g=-router_g, low_g=-router_g, high_g=-router_g)
        return same if charges is NOTHING_BURNT else charges.off(same)
    if charges is NOTHING_BURNT and not tokens.estimated and actual.intensity is served.intensity:
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
    alone = served.model == instead.model
    workload = Workload(
        input_tokens=tokens.input,
        output_tokens=tokens.output if alone or plan.baseline_output_tokens is None else plan.baseline_output_tokens,
        cached_tokens=tokens.cached or 0,
        estimated=tokens.estimated,
    )
    footprint = Footprint.of(workload, instead.estimator, instead.intensity)
    alike = served in plan.alike and footprint.method == actual.method
    found = saving(footprint, actual, _margins(instead, served), alike=alike, extra_g=router_g)
    return found if found is None or charges is NOTHING_BURNT else charges.off(found)


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
    """Of both, where they are on one basis: a marginal rate is never converted, and two bases are never compared."""
    there, here = instead.marginal, served.marginal
    return None if there is None or here is None or there.basis != here.basis else (there, here)


def burnt(attempts: Iterable[Attempt], untouched: frozenset[str], known: Mapping[str, tuple[Served, Footprint]]) -> Burnt:
    """What attempts took that failed after work was done, each taken for what its deployment was forecast to take."""
    found = NOTHING_BURNT
    for each in attempts:
        if each.kind != "ok" and each.kind not in untouched and each.deployment in known:
            found = found.with_one(*known[each.deployment])
    return found


def forfeited(plan: Plan, served: Served, actual: Footprint, charges: Burnt, router_g: float) -> Saving | None:
    """Of an answer that broke off: whoever asked asks again, so that it is wholly lost, unless the counterfactual broke it."""
    if plan.baseline is None or actual.carbon_g is None:
        return None
    if plan.baseline is not served:
        charges = charges.with_one(served, actual)
    margin_g = None if served.marginal is None else -router_g
    return charges.off(Saving(g=-router_g, low_g=-router_g, high_g=-router_g, marginal_g=margin_g))
