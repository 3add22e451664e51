"""What a policy aims at: one file an objective, and the file's name is its name in configuration.

A file `lowest_carbon.py` holds a Struct `LowestCarbon` that satisfies `policies._base.Objective`; nothing else is to be done.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import msgspec

from policies._base import Objective

OBJECTIVES: Mapping[str, type[Objective]] = {
    name: getattr(import_module(f"{__name__}.{name}"), name.title().replace("_", ""))
    for _, name, _ in pkgutil.iter_modules(__path__)
    if not name.startswith("_")
}


def objective(name: str, settings: Mapping[str, Any] | None = None) -> Objective:
    """Return the objective of that name with its settings, as configuration spells both.

    Raises KeyError for a name that is not in OBJECTIVES, and msgspec.ValidationError, with the path, for a wrong setting.
    """
    return msgspec.convert(settings or {}, OBJECTIVES[name])
