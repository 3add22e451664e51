"""Who asks: keys, the teams they belong to, and what each may do. Keys are known by their SHA-256 alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from policies._base import Limits
from proxy.errors import Refusal
from proxy.factors import Factors
from proxy.teams import Budget

_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/\s]*))(?::[0-9]*)?")
KEY_HEADERS = (b"x-api-key", b"api-key", b"authorization")
"""Where a key may stand: as Anthropic's clients send it, as Azure's, as all others. The first that is there counts."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a request may do, decided from its headers alone."""

    key: str | None
    """The key's name in the configuration; None where no keys are configured."""
    team: str | None
    policies: tuple[str, ...] = ()
    """Policies that apply whatever the request asks for: the team's, then the key's. The last one's objective is the default."""
    require: Limits = Limits()
    prefer: Limits = Limits()
    models: frozenset[str] | None = None
    explain: bool = False
    budget: Budget | None = None
    factors: Factors | None = None
    """The team's own, where it has any."""

    def __repr__(self) -> str:
        return f"<Grant {self.key} of {self.team}>"


ANYONE = Grant(key=None, team=None, explain=True)
"""Where no keys are configured: whoever reaches the loopback address."""


class Keyring:
    """Grants by the hash of their key. Empty: everyone is let in (and the server listens on loopback only)."""

    __slots__ = ("_grants", "open")

    def __init__(self, grants: Mapping[str, Grant]) -> None:
        self._grants = {bytes.fromhex(digest): grant for digest, grant in grants.items()}
        self.open = not grants

    def admit(self, headers: Mapping[bytes, bytes]) -> Grant:
        """The grant of the key in `x-api-key`, `api-key` or `Authorization: Bearer`. Raises Refusal 401."""
        if self.open:
            return ANYONE
        api_key = headers.get(b"x-api-key")
        if api_key is None:
            api_key = headers.get(b"api-key")
        if api_key is None and (authorization := headers.get(b"authorization")) is not None:
            scheme, _, api_key = authorization.partition(b" ")
            if scheme.lower() != b"bearer":
                api_key = None
        if not api_key:
            message = "No API key was given. Send it as `Authorization: Bearer KEY`, `x-api-key: KEY` or `api-key: KEY`."
            raise Refusal(401, "invalid_api_key", message)
        grant = self._grants.get(hashlib.sha256(api_key.strip()).digest())
        if grant is None:
            raise Refusal(401, "invalid_api_key", "The API key is not known here.")
        return grant


def check_origin(host: bytes | None, origin: bytes | None, hosts: frozenset[bytes], origins: tuple[str, ...] = ()) -> None:
    """Refuses a Host that is not one of `hosts`, and an Origin that is neither one of them nor a configured one.

    Raises Refusal 403. DNS rebinding is what this is against: the page's own name would come as Host. HTTP/1.0 knows requests without one,
    and no browser sends any.
    """
    if host is not None and _name(host) not in hosts:
        raise Refusal(403, "forbidden", "This server does not answer to that host name.")
    if origin is None or "*" in origins or origin.decode("latin-1") in origins:
        return
    if origin == b"null" or _name(origin.partition(b"://")[2]) not in hosts:
        raise Refusal(403, "forbidden", "This server does not answer pages of that origin.")


def _name(authority: bytes) -> bytes:
    """Host name of an authority: lower case, without port and brackets; empty for what is none."""
    found = _AUTHORITY.fullmatch(authority)
    return b"" if found is None else (found[1] or found[2]).lower()
