"""What could serve a call now: each statically eligible deployment with its forecast, price, latency and load."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from policies._base import Candidate
from proxy.dataplane.ask import Call
from proxy.dataplane.peer import Peer
from proxy.snapshot import Plan

AFFINITIES = 20_000
_LENGTHS = (8192, 2048, 512, 128)


def candidates(call: Call, plan: Plan, peers: Mapping[str, Peer], now_s: float, home: str | None = None) -> list[Candidate]:
    """One candidate for each place the plan admits, with what this call would mean there. `home`: where its prefix was served."""
    ask = call.ask
    tokens, out = ask.input_tokens, ask.expected_output_tokens
    capped = ask.max_output_tokens
    found = []
    for place in plan.prepared.places:
        served = plan.served[place]
        peer = peers[served.name]
        rate, price, intensity = served.rate, served.price, served.intensity
        found.append(
            Candidate(
                place=place,
                g=None if rate is None else rate.g(tokens, 0, out),
                g_high=None if rate is None or not plan.caps_carbon else rate.g_high(tokens, 0, out),
                g_per_kwh=None if intensity is None else intensity.g_per_kwh,
                usd=None if price is None else tokens * price.input_usd + out * price.output_usd + price.request_usd,
                usd_high=None
                if price is None or not plan.caps_cost
                else price.usd(tokens, 0, 0, capped if capped is not None else plan.ceiling(place) * ask.choices),
                ttft_s=peer.ttft_s,
                load=peer.load,
                affinity=home is not None and served.name == home,
                down=not (peer.breaker.closed or peer.breaker.allows(now_s)),
                full=peer.full,
            )
        )
    return found


class Affinity:
    """Where a prompt's beginning was served last, so that its prefix cache is met again. Bounded; never across teams."""

    __slots__ = ("_homes",)

    def __init__(self) -> None:
        self._homes: OrderedDict[tuple[str | None, str, int], str] = OrderedDict()

    def home(self, team: str | None, model: str, prompt: bytes) -> str | None:
        """The deployment that saw the longest known beginning of this prompt."""
        for length in _LENGTHS:
            if len(prompt) > length:
                found = self._homes.get((team, model, hash(prompt[:length])))
                if found is not None:
                    return found
        return None

    def remember(self, team: str | None, model: str, prompt: bytes, deployment: str) -> None:
        homes = self._homes
        for length in _LENGTHS:
            if len(prompt) > length:
                key = (team, model, hash(prompt[:length]))
                homes[key] = deployment
                homes.move_to_end(key)
        while len(homes) > AFFINITIES:
            homes.popitem(last=False)
