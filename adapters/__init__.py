"""Wire dialects: bytes in, bytes out. A module or package here that has an `ADAPTER` is a dialect by its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from adapters._base import Adapter


def adapters() -> Mapping[str, Adapter]:
    """Every dialect we can speak to an upstream, by name."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")
    )
    return {module.ADAPTER.name: module.ADAPTER for module in modules if hasattr(module, "ADAPTER")}
