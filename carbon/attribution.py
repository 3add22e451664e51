"""One window's joules, divided among the requests that ran in it, and all of them: what nobody ran for is kept apart. Pure.

    E_idle = min(E, P_idle * dt),  E_active = E - E_idle
    u_r    = prefill_j * p_r + decode_j * d_r + context_j * d_r * ctx_r
    E_r    = E_active * u_r / sum(u) + E_idle * t_r / sum(t)

p are the uncached prompt tokens read in the window, d the tokens generated, ctx the context they had, t the seconds it ran. Without any
u the active part is unattributed, without any t the idle part is the pool's (docs/measuring.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum, isfinite
from typing import Literal, Protocol

import msgspec

from carbon.roofline import Load, form


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What of one request falls into one window. Nothing is negative."""

    id: str
    prefill_tokens: float = 0.0
    """Prompt tokens computed, those out of the prefix cache left out."""
    decode_tokens: float = 0.0
    """Generated, rejected drafts included where they are known."""
    decode_context: float = 0.0
    """Tokens generated times the context they were generated in: tokens squared."""
    decode_s: float = 0.0
    """Generating."""
    running_s: float = 0.0
    """In the batch, reading or generating; time in the queue left out."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Joules of each kind of work. Only their ratios matter to a division."""

    prefill_j: float
    decode_j: float
    context_j: float
    step_j: float = 0.0
    """Of a step of the whole batch, which its tokens share: the weights of the model are read once for all of them."""
    source: Literal["roofline", "fitted"] = "roofline"

    def at(self, batch: float) -> Weights:
        if not self.step_j:
            return self
        return msgspec.structs.replace(self, decode_j=self.decode_j + self.step_j / max(1.0, batch), step_j=0.0)

    def of(self, work: Work) -> float:
        return self.prefill_j * work.prefill_tokens + self.decode_j * work.decode_tokens + self.context_j * work.decode_context


class Weighing(Protocol):
    """Where weights come from."""

    def at(self, batch: float) -> Weights:
        """With so many requests generating together, all in the tokens: `step_j` is 0."""
        ...


class RooflineWeights(msgspec.Struct, frozen=True):
    """The coefficients of `carbon.roofline` at the batch observed, constant part of a token included."""

    load: Load
    gpu: str

    def at(self, batch: float) -> Weights:
        one = form(msgspec.structs.replace(self.load, batch=max(1.0, batch)), self.gpu)
        return Weights(prefill_j=one.prefill, decode_j=one.token, context_j=one.context)


class Share(msgspec.Struct, frozen=True):
    id: str
    active_j: float
    idle_j: float


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """All of a window's joules: shares, pool and unattributed add up to it, but for rounding."""

    shares: tuple[Share, ...]
    pool_idle_j: float
    """Idle power while nobody was served."""
    unattributed_j: float
    """Of work that no known request did."""


def idle_j(energy_j: float, power_w: float, window_s: float) -> float:
    """The part of a window's energy that the replica draws whether it serves or not."""
    return min(energy_j, power_w * window_s)


def attribute(energy_j: float, idle_j: float, work: Sequence[Work], weights: Weights, others: Work | None = None) -> Attribution:
    """Divides. `others` is work that was done for requests nobody knows: its part is unattributed.

    The order of `work` changes nothing. Raises ValueError for what is negative or not finite.
    """
    everyone = work if others is None else (*work, others)
    units = [weights.of(one) for one in everyone]
    seconds = [one.running_s for one in everyone]
    all_units, all_seconds = fsum(units), fsum(seconds)
    _check((energy_j, idle_j, energy_j - idle_j, all_units, all_seconds, *units, *seconds))
    active_j = energy_j - idle_j
    shares = tuple(
        Share(one.id, _part(active_j, unit, all_units), _part(idle_j, second, all_seconds))
        for one, unit, second in zip(work, units, seconds, strict=False)
    )
    unattributed_j = 0.0 if all_units else active_j
    if others is not None:
        unattributed_j += _part(active_j, units[-1], all_units) + _part(idle_j, seconds[-1], all_seconds)
    return Attribution(shares=shares, pool_idle_j=0.0 if all_seconds else idle_j, unattributed_j=unattributed_j)


def _part(energy_j: float, one: float, all_of_them: float) -> float:
    """The quotient first: a product of subnormal numbers would lose joules."""
    return energy_j * (one / all_of_them) if all_of_them else 0.0


def _check(values: Iterable[float]) -> None:
    for value in values:
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"a quantity of energy or work is {value}, and has to be finite and not negative")
