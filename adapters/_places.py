"""Where a client wrote what the hub request has elsewhere: what the doors' `place` functions share. Only errors ask for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

MESSAGE = re.compile(r"messages\[([0-9]{1,9})\](.*)", re.DOTALL)
PART = re.compile(r"\.content\[([0-9]{1,9})\](.*)", re.DOTALL)
CALL = re.compile(r"\.tool_calls\[([0-9]{1,9})\](?:\.function)?(.*)", re.DOTALL)
THOUGHT = re.compile(r"\.thinking_blocks\[([0-9]{1,9})\].*", re.DOTALL)
TOOL = re.compile(r"tools\[([0-9]{1,9})\](?:\.function)?(.*)", re.DOTALL)


def renamed(param: str, names: Mapping[str, str]) -> str:
    """`param` with the longest of these names that it begins with replaced by its own."""
    for name in sorted(names, key=len, reverse=True):
        if param == name or param.startswith((f"{name}.", f"{name}[")):
            return names[name] + param.removeprefix(name)
    return param
