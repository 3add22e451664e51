"""What an answer saved, against the deployment that would have served it: the counterfactual of the plan, at the same time and basis."""

from __future__ import annotations

from collections.abc import Iterable

from carbon.footprint import Footprint, Workload
from carbon.savings import Saving, saving
from proxy.dataplane.settle import Account
from proxy.records import Attempt
from proxy.snapshot import Plan, Served

NO_DIFFERENCE = Saving(g=0.0, low_g=0.0, high_g=0.0)
"""Of an answer that the counterfactual deployment itself gave: no credit and no blame."""


def compared(plan: Plan, served: Served, worked: Account, decode_s: float | None = None, extra_g: float = 0.0) -> Saving | None:
    """None where either side's grams are not known. `extra_g`: what was spent on the way to the answer.

    `decode_s`: the pace of the stream, which the same machine elsewhere would have had too. The counterfactual reads the same prompt. It
    writes what was written, or, being another model whose usual length the configuration states, that many tokens: a small model that
    talks much may save nothing.
    """
    instead, tokens, actual = plan.baseline, worked.tokens, worked.footprint
    if instead is None or actual.carbon_g is None or tokens.input is None or tokens.output is None:
        return None
    if instead is served:
        return NO_DIFFERENCE if extra_g == 0 else Saving(g=-extra_g, low_g=-extra_g, high_g=-extra_g)
    same = served.model == instead.model
    workload = Workload(
        input_tokens=tokens.input,
        output_tokens=tokens.output if same or plan.baseline_output_tokens is None else plan.baseline_output_tokens,
        cached_tokens=tokens.cached or 0,
        estimated=tokens.estimated,
        decode_s=decode_s if served in plan.alike else None,
    )
    footprint = Footprint.of(workload, instead.estimator, instead.intensity)
    margins = None if instead.marginal is None or served.marginal is None else (instead.marginal, served.marginal)
    alike = served in plan.alike and footprint.method == actual.method
    return saving(footprint, actual, margins, alike=alike, extra_g=extra_g)


def burnt_g(attempts: Iterable[Attempt], untouched: frozenset[str], forecasts: dict[str, Footprint]) -> float:
    """Grams of attempts that failed after work was done, each taken for what its deployment was forecast to take."""
    kinds = [each for each in attempts if each.kind != "ok" and each.kind not in untouched]
    return sum(forecasts[each.deployment].carbon_g or 0.0 for each in kinds if each.deployment in forecasts)
