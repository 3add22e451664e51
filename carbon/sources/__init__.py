"""Where grid intensities come from, one file a source. This package, unlike the rest of carbon, may wait for a network.

A file `uk_neso.py` holds a Struct `UkNeso` that satisfies `_base.IntensitySource`, its fields its settings; nothing else is to be done.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def _struct(name: str) -> type[Any]:
    """The class of a module: its name is the module's, in capitals as its provider writes it."""
    module = import_module(f"{__name__}.{name}")
    wanted = name.replace("_", "")
    return next(value for key, value in vars(module).items() if key.lower() == wanted and isinstance(value, type))


SOURCES: Mapping[str, type[Any]] = {name: _struct(name) for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")}
"""Name → its settings; an instance is the source."""
