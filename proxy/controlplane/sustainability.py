"""`/.well-known/sustainability-data`: the last whole month's energy and grams, for everybody, in the words of a draft.

The draft is draft-besleaga-sustainability-wellknown-06 (members, media type, 404 where nothing is published).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Controller, Request, Response, route

from proxy.config import SustainabilityData
from proxy.controlplane.access import local_only_without_keys
from proxy.controlplane.state import Plane
from proxy.errors import Refusal
from proxy.store.by_method import OfMethod, by_method
from proxy.store.ledger import Ledger, StoreUnavailableError

FRESH_S = 3600.0
"""How long sums are told again before they are read anew: nobody needs a key, and a month of a large ledger takes seconds."""
J_PER_KWH = 3.6e6
MEDIA_TYPE = "application/sustainability-data+json"
SCHEMA = "2.0"
"""The draft's label for its own members."""
_LATER = b"retry-after: 5\r\n"
_TOKENS = {
    "measured_attributed": "hardware-metered",
    "runtime_power": "hardware-estimated",
    "calibrated": "hardware-estimated",
    "flops_roofline": "hardware-estimated",
    "vendor_prior": "third-party-modeled",
    "token_proxy": "third-party-modeled",
}
"""The draft's words for our methods; of those it has none for, `_REPORTED`."""
_REPORTED = "reported by the inference provider"


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """A calendar month in UTC, `from_s` in and `to_s` out."""

    name: str
    from_s: float
    to_s: float


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger said of a month, and when."""

    month: Month
    at_s: float
    rows: tuple[OfMethod, ...]


class Months:
    """The sums of the last month, read by one request at a time and told to all for an hour."""

    def __init__(self, ledger: Ledger, now_s: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._now_s = now_s
        self._known: Sums | None = None
        self._reading = False

    async def last(self, without: Sequence[str]) -> Sums:
        """Raises Refusal 503 where they are not known and cannot be read now."""
        now_s = self._now_s()
        month, known = last_month(now_s), self._known
        if known is not None and known.month == month and (self._reading or 0 <= now_s - known.at_s < FRESH_S):
            return known
        if self._reading:
            raise Refusal(503, "unavailable", "The sums are being read.", headers=_LATER)
        self._reading = True
        try:
            rows = await by_method(self._ledger, month.from_s, month.to_s, without)
        except StoreUnavailableError:
            raise Refusal(503, "unavailable", "The ledger's store cannot be read at the moment.", headers=_LATER) from None
        finally:
            self._reading = False
        self._known = Sums(month=month, at_s=now_s, rows=tuple(rows))
        return self._known


class Sustainability(Controller):
    """Open like health and metrics, where the operator publishes it."""

    path = "/.well-known/sustainability-data"

    @route("/", http_method=["GET", "HEAD"], guards=[local_only_without_keys])
    async def read(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Tell what was used last month, if the configuration says who answers for it."""
        plane: Plane = request.app.state.plane
        snapshot = plane.snapshot()
        settings = snapshot.config.carbon.sustainability_data
        if settings is None:
            raise Refusal(404, "not_found", "Nothing is published here: `carbon.sustainability_data` is not configured.")
        await plane.written()
        # what a simulation took, nobody drew from any grid
        sums = await request.app.state.months.last([name for name, each in snapshot.served.items() if each.simulated])
        told = document(settings, sums)
        if told is None:
            raise Refusal(404, "not_found", f"The ledger knows no energy of {sums.month.name}, the last whole month.")
        headers = {"cache-control": f"public, max-age={FRESH_S:.0f}", "x-content-type-options": "nosniff"}
        return Response(msgspec.json.encode(told), headers=headers, media_type=MEDIA_TYPE)


def document(settings: SustainabilityData, sums: Sums) -> dict[str, Any] | None:
    """The draft's object, our own members with a dot in their names; None where no energy is known."""
    rows = sums.rows
    energy_j = _sum(rows, "energy_j")
    if energy_j is None:
        return None
    told: dict[str, Any] = {
        "version": SCHEMA,
        "updated": datetime.fromtimestamp(int(sums.at_s), UTC).isoformat().replace("+00:00", "Z"),
        "capabilities": "basic",
        "provider": settings.provider,
        "measurement-method": measurement_method(rows),
        "methodology-uri": settings.methodology_uri,
        "reporting-period": sums.month.name,
        "target": settings.target,
        "target-type": "service",
        "energy-consumption": energy_j / J_PER_KWH,
        "energy-unit": "kWh",
    }
    grams, located_j = _sum(rows, "carbon_g"), _sum(rows, "located_j")
    if grams is not None:
        told |= {"carbon-footprint": grams, "carbon-unit": "gCO2e", "carbon-accounting": "location-based"}
        if located_j:
            told["carbon-intensity-gCO2e-per-kWh"] = grams / located_j * J_PER_KWH
    for end in ("low", "high"):
        told[f"greenlane.energy-consumption-{end}"] = (_sum(rows, f"energy_{end}_j") or 0.0) / J_PER_KWH
        if grams is not None:
            told[f"greenlane.carbon-footprint-{end}"] = _sum(rows, f"carbon_{end}_g") or 0.0
    told = {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in told.items()}
    for name in ("requests", "requests_without_energy", "requests_without_carbon"):
        told[f"greenlane.{name.replace('_', '-')}"] = sum(getattr(row, name) for row in rows)
    return told


def measurement_method(rows: Sequence[OfMethod]) -> str:
    """The draft's word where one fits all of the energy, else each with its share of it."""
    of_word: dict[str, float] = {}
    for row in rows:
        if row.energy_j:
            word = _TOKENS.get(row.method or "", _REPORTED)
            of_word[word] = of_word.get(word, 0.0) + row.energy_j
    total_j = sum(of_word.values())
    if len(of_word) < 2:
        return next(iter(of_word), "third-party-modeled")
    parts = sorted(of_word.items(), key=lambda part: -part[1])
    return ", ".join(f"{word} ({part_j / total_j:.1%} of the energy)" for word, part_j in parts)


def last_month(now_s: float) -> Month:
    """The last one that is over."""
    now = datetime.fromtimestamp(now_s, UTC)
    end = datetime(now.year, now.month, 1, tzinfo=UTC)
    begin = datetime(end.year - (end.month == 1), (end.month - 2) % 12 + 1, 1, tzinfo=UTC)
    return Month(name=f"{begin:%Y-%m}", from_s=begin.timestamp(), to_s=end.timestamp())


def _sum(rows: Sequence[OfMethod], name: str) -> float | None:
    known = [value for row in rows if (value := getattr(row, name)) is not None]
    return sum(known) if known else None
