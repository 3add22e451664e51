"""What a request says to us: `x-greenlane-*` headers and the body's `greenlane` member. It can tighten, never loosen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adapters._base import AdapterError
from carbon.zones import resolve_regions
from policies._base import Limits, Privacy, Substitution
from policies.constraints import strictest

PREFIX = b"x-greenlane-"
BODY, HEADERS = "greenlane", "x-greenlane"
"""Where a wish stands."""
_NAME = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,100}")
_TASK = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OTHERS = ("policy", "substitute", "verbose", "task", "prefer")
"""Members that are no limits."""
_HYPHENS, _SWAPPED = str.maketrans("_", "-"), str.maketrans("-_", "_-")
_NAMES = bytes.maketrans(b"-_", b"_-")
"""Both ways, so that `max_g` and `max-g` are not two headers of one name, of which one would go unheard."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    policy: str | None = None
    also: str | None = None
    """Another policy that the body names: what it requires counts as well."""
    require: Limits = Limits()
    prefer: Limits = Limits()
    substitute: Substitution | None = None
    verbose: bool = False
    task: str | None = None

    @property
    def limited(self) -> bool:
        """Whether anything in it needs a decision of its own."""
        return self.require is not _NOTHING or self.prefer is not _NOTHING or self.substitute is not None


_NOTHING = Limits()
NONE = Wishes(require=_NOTHING, prefer=_NOTHING)


def sent_in(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """What the `x-greenlane-*` headers say, under the names of the body's member."""
    return {
        name[len(PREFIX) :].translate(_NAMES).decode("ascii", "replace"): value.decode("latin-1")
        for name, value in headers.items()
        if name.startswith(PREFIX)
    }


def wishes(sent: Mapping[str, str], told: msgspec.Raw | None) -> Wishes:
    """Headers and member together: of what both require the stricter counts, of the rest the header's. Raises AdapterError.

    A name given twice is an error: JSON's readers take the last, and the first may be the one that requires something.
    """
    if not sent and told is None:
        return NONE
    body = _said(_object(told)) if told is not None and bytes(told) != b"null" else {}
    if not body and not sent:
        return NONE
    sent, heard = dict(sent), frozenset(sent)
    also = body.get("policy") if "policy" in sent else None
    plain = {name: said.pop(name) for said in (body, sent) for name in _OTHERS if name in said}
    required = [_limits(said, where) for said, where in ((body, BODY), (sent, HEADERS)) if said]
    require = strictest(*required) if len(required) == 2 else required[0] if required else _NOTHING
    where = {name: _place(HEADERS if name in heard else BODY, name) for name in plain}
    return Wishes(
        policy=_matching(plain.get("policy"), where.get("policy", ""), _NAME),
        also=_matching(also, _place(BODY, "policy"), _NAME),
        task=_matching(plain.get("task"), where.get("task", ""), _TASK),
        substitute=_substitute(plain.get("substitute"), where.get("substitute", "")),
        verbose=_truth(plain.get("verbose", False), where.get("verbose", "")),
        require=require,
        prefer=_NOTHING if "prefer" not in plain else _limits(_pairs(plain["prefer"], where["prefer"]), where["prefer"]),
    )


def _place(where: str, name: str) -> str:
    """A wish as the client wrote it: `greenlane.max_g`, `greenlane.prefer.max_g`, `x-greenlane-max-g`, `x-greenlane-prefer`."""
    if where.startswith(BODY):
        return f"{where}.{name}"
    return f"{where}-{name.translate(_HYPHENS)}" if where == HEADERS else where


def _object(told: msgspec.Raw) -> dict[str, Any]:
    try:
        found = json.loads(bytes(told), object_pairs_hook=_once)
    except (ValueError, RecursionError):  # a form's field may hold anything, a number more digits than Python takes
        raise AdapterError("`greenlane` is not JSON, or too much of it.", "greenlane") from None
    if not isinstance(found, dict):
        raise AdapterError("`greenlane` must be an object.", "greenlane")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise AdapterError("`greenlane` names a member twice.", "greenlane")
    return found


def _said(members: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that say nothing: null is how a client's code leaves a member out."""
    return {name: value for name, value in members.items() if value is not None}


def _limits(said: Mapping[str, Any], where: str) -> Limits:
    read: dict[str, Any] = {}
    for name, value in said.items():
        reader = _READERS.get(name)
        if reader is None:
            names = [*_READERS] if where.endswith("prefer") else [*_READERS, *_OTHERS]
            known = ", ".join(sorted(name.translate(_HYPHENS) if where.startswith(HEADERS) else name for name in names))
            unknown = name[:40].translate(_SWAPPED) if where == HEADERS else name[:40]
            raise AdapterError(
                f"`{where}` knows no `{unknown}`; it knows {known}.", _place(where, name[:40]) if where == HEADERS else where
            )
        read[name] = reader(value, _place(where, name))
    return Limits(**read) if read else _NOTHING


def _number(value: Any, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise AdapterError(f"`{where}` must be a number that is not negative.", where)
    return number


def _privacy(value: Any, where: str) -> Privacy:
    try:
        return Privacy[str(value).upper()]
    except KeyError:
        raise AdapterError(f"`{where}` must be local, private or vendor.", where) from None


def _regions(value: Any, where: str) -> frozenset[str]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise AdapterError(f"`{where}` must be a list of regions.", where)
    try:
        return resolve_regions([name.strip() for name in names if name.strip()])
    except ValueError:
        raise AdapterError(f"`{where}` names a region that is not known.", where) from None


def _truth(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "1", "0"):
        return value.lower() in ("true", "1")
    raise AdapterError(f"`{where}` must be true or false.", where)


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "privacy": _privacy,
    "regions": _regions,
    "zero_retention": _truth,
    "max_g": _number,
    "max_g_per_kwh": _number,
    "max_usd": _number,
    "max_ttft_s": _number,
    "min_quality": _number,
}


def _pairs(prefer: Any, where: str) -> Mapping[str, Any]:
    """`key=value, key=value` of a header, or an object of a body. A value with commas is its own pair's: regions by `|`."""
    if isinstance(prefer, Mapping):
        return _said(prefer)
    if not isinstance(prefer, str):
        raise AdapterError(f"`{where}` must be an object.", where)
    found: dict[str, Any] = {}
    for pair in prefer.split(","):
        name, equals, value = pair.strip().partition("=")
        if not equals:
            raise AdapterError(f"`{where}` is a list of key=value.", where)
        found[name.strip().replace("-", "_")] = value.strip().replace("|", ",")
    return found


def _matching(value: Any, where: str, pattern: re.Pattern[str]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise AdapterError(f"`{where}` is not a name.", where)
    return value


def _substitute(value: Any, where: str) -> Substitution | None:
    if value is None or value == "never":
        return None if value is None else "never"
    raise AdapterError(f"`{where}` may only be `never`: a request cannot ask for more.", where)
