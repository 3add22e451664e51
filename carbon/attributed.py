"""What comes out of a replica's ledger: a request's joules with what is known of them, a window divided, the sums. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from carbon.bands import Band
from carbon.components import Components
from carbon.windows import Flag

GPU = Band(0.85, 1.15)
"""At the accelerators, with fitted weights and counters."""
FACILITY = Band(0.75, 1.35)
"""The same at the facility, host and building added (docs/measuring.md)."""
HOST_COUNTED = Band(0.84, 1.35)
"""The same where the host was counted too. Down, what is left beside GPU is the building (PUE 1.07 to 1.45 about 1.15): what was counted
was drawn. Up, nothing is gained: RAPL leaves out fans, network, disks and what power supplies lose."""
UNFITTED = Band(0.7, 1.4)
"""Beside it where weights are a roofline's. A judgement: weights in a wrong ratio were off by 15 to 48 % at the 90th percentile."""
SAMPLED = Band(0.8, 1.25)
"""Beside it where power was integrated: A100 and H100 sensors look at a quarter of the time (Yang et al., SC24, arXiv 2312.02741)."""
UNSEEN = Band(0.8, 1.25)
"""Beside it where an answer came whole and nobody saw its first token."""

Note = Literal[
    "cached_unknown",
    "drafts_shared",
    "dropped",
    "first_token_unknown",
    "host_assumed",
    "idle_unknown",
    "late",
    "not_measured",
    "partly_measured",
    "power_integrated",
    "preempted",
    "weights_unfitted",
]
"""What a request's figure lacks; docs/measuring.md tells what each means."""

NOT_WHOLE: frozenset[Note | Flag] = frozenset(("dropped", "late", "not_measured", "partly_measured", "mig_whole_gpu", "shared"))
"""With any of these a figure is not this request's whole energy, or not its energy alone."""
AGAIN = Band(0.8, 1.25)
"""Beside it where the engine computed again for whoever it had put out of its batch. A judgement: whose, and how much, is not told."""
WIDER: Mapping[Note, Band] = {"weights_unfitted": UNFITTED, "power_integrated": SAMPLED, "first_token_unknown": UNSEEN, "preempted": AGAIN}


def band_of(base: Band, notes: Iterable[Note]) -> Band:
    """GPU or FACILITY, with what the notes add."""
    return base.combined(*(WIDER[note] for note in sorted(set(notes) & WIDER.keys())))


class Attributed(msgspec.Struct, frozen=True, kw_only=True):
    """A request's joules at the accelerators, from measured windows. `energy_j` is None where none of its windows was measured."""

    id: str
    energy_j: float | None
    low_j: float | None
    high_j: float | None
    active_j: float
    idle_j: float
    windows: int
    band: Band
    notes: tuple[Note, ...] = ()
    flags: tuple[Flag, ...] = ()
    """Of its windows."""
    host_j: float | None = None
    """Of the machine around the accelerators, idle part included; None where that was not measured for all of its time."""
    host_flags: tuple[Flag, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether it may be called measured: all of it was."""
        return self.energy_j is not None and not NOT_WHOLE & {*self.notes, *self.flags}

    def parts(self, host_factor: float, pue: float) -> Components:
        """Where its joules went. `host_factor`, the machine over its accelerators, is used where the host was not measured."""
        gpu_j = self.active_j + self.idle_j
        host_j = gpu_j * (host_factor - 1) if self.host_j is None else self.host_j
        machine_j = gpu_j + host_j
        return Components(gpu_active_j=self.active_j, gpu_idle_j=self.idle_j, host_j=host_j, facility_j=machine_j * (pue - 1))

    def at_facility(self, host_factor: float, pue: float) -> tuple[float, float, float] | None:
        """Low, value and high in joules. Without a factor for idle capacity, which is in what was measured."""
        if self.energy_j is None:
            return None
        band, energy_j = band_of(FACILITY if self.host_j is None else HOST_COUNTED, self.notes), self.parts(host_factor, pue).total_j
        return energy_j * band.low, energy_j, energy_j * band.high


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A window divided: the row that weights are fitted to, and what went to nobody."""

    start_s: float
    end_s: float
    energy_j: float
    active_j: float = 0.0
    prefill_tokens: float = 0.0
    decode_tokens: float = 0.0
    decode_context: float = 0.0
    requests: int = 0
    batch: float = 0.0
    """Mean of the requests generating."""
    pool_idle_j: float = 0.0
    unattributed_j: float = 0.0
    usable: bool = False
    """Measured whole, idle power known, no foreign or unknown work in it: fit for fitting."""
    flags: tuple[Flag, ...] = ()


Effect = Attributed | Settled


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Joules since the ledger began, at the accelerators or of the machine around them."""

    measured_j: float
    attributed_j: float
    """To requests, those still held included."""
    pool_idle_j: float
    unattributed_j: float
    pending_j: float
