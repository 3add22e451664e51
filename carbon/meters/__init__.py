"""Where joules are read, one file a meter, and the file's name is its name in configuration.

A file `nvml.py` holds a Struct `Nvml` that satisfies `carbon.meters._base.Meter`. `provider.py` reads what answers say of themselves
and is none.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carbon.meters._base import Meter


def meters() -> Mapping[str, type[Meter]]:
    """Every meter, by name. Imported when asked for: requests are served without."""
    names = (found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: getattr(module, name.title()) for name, module in modules.items() if hasattr(module, name.title())}
