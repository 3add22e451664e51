"""Which deployment made a stored response: `previous_response_id` must go back to it, for nobody else knows that conversation."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from proxy.errors import Refusal

REMEMBERED = 50_000
LOOK_S = 1.0
"""How long the ledger is asked for one that this process did not make itself."""

Look = Callable[[str, str | None], Awaitable[str | None]]


class Continuity:
    """Recent responses in memory, older ones in the ledger. A team's responses are its own."""

    __slots__ = ("_look", "_made")

    def __init__(self, look: Look) -> None:
        self._made: OrderedDict[tuple[str | None, str], str] = OrderedDict()
        self._look = look

    def remember(self, team: str | None, response_id: str, deployment: str) -> None:
        self._made[team, response_id] = deployment
        if len(self._made) > REMEMBERED:
            self._made.popitem(last=False)

    async def home(self, team: str | None, response_id: str) -> str:
        """The deployment that made it. Raises Refusal 400 where there is none, or it is another team's; 503 if nobody can say."""
        found = self._made.get((team, response_id))
        if found is None:
            try:
                async with asyncio.timeout(LOOK_S):
                    found = await self._look(response_id, team)
            except (TimeoutError, OSError):
                raise Refusal(
                    503, "unavailable", "The ledger cannot be asked who made that response.", headers=b"retry-after: 2\r\n"
                ) from None
        if found is None:
            raise Refusal(400, "previous_response_not_found", "The previous response is not known here.", param="previous_response_id")
        return found
