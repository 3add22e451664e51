"""What the configuration may name that lives in other packages: dialects, objectives, carbon sources, zones.

The one module of this package that knows how those packages are laid out.
"""

from __future__ import annotations

import pkgutil
from types import ModuleType

import carbon.sources
from adapters import adapters
from carbon.zones import UnknownZoneError, resolve_regions, resolve_zone
from policies.objectives import OBJECTIVES


def _modules(package: ModuleType) -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def dialects() -> frozenset[str]:
    """Names for `dialect`."""
    return frozenset(adapters())


def abilities() -> frozenset[str]:
    """Names for `abilities`: what any dialect can."""
    return frozenset[str]().union(*(adapter.abilities for adapter in adapters().values()))


def apis() -> frozenset[str]:
    """Names for `apis`: operations any dialect has, and `messages`, which some hosts have beside OpenAI's."""
    return frozenset({"messages"}).union(*(adapter.apis for adapter in adapters().values()))


def objectives() -> frozenset[str]:
    """Names for `objective`: one file each in policies/objectives."""
    return frozenset(OBJECTIVES)


def sources() -> frozenset[str]:
    """Names for `carbon.sources`: one file each in carbon/sources/."""
    return _modules(carbon.sources) | {"static"}


def unknown_zone(name: str) -> tuple[str, ...] | None:
    """The nearest known zones if `name` is none; None if it is one."""
    try:
        resolve_zone(name)
    except UnknownZoneError as error:
        return error.nearest
    return None


def unknown_region(name: str) -> tuple[str, ...] | None:
    """The nearest known regions if `name` is none; None if it is one."""
    try:
        resolve_regions([name])
    except UnknownZoneError as error:
        return error.nearest
    return None
