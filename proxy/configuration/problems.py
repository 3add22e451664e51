"""What can be wrong with a configuration, told so that it can be put right.

ConfigurationError carries every Problem found at once. Nothing else is raised by this package for a wrong file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

Path = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to put right. Never holds the text of a secret."""

    path: str
    """As a reader of the YAML would say it: `deployments.vllm-eu.residency[0]`; empty for the file as a whole."""
    message: str
    suggestion: str | None = None
    """What was probably meant."""
    line: int | None = None
    """Counted from 1."""
    warning: bool = False
    """True: worth a look, but the configuration can be used."""

    def told(self, source_name: str) -> str:
        """One line: `greenlane.yaml:12: deployments.a.zone: ... (did you mean ...?)`."""
        place = f"{source_name}:{self.line}" if self.line is not None else source_name
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{place}: {self.path + ': ' if self.path else ''}{self.message}{hint}"


class ConfigurationError(Exception):
    """The configuration cannot be used. `problems` are errors only, in the order of the file."""

    def __init__(self, problems: Sequence[Problem], source_name: str = "configuration") -> None:
        super().__init__("\n".join(problem.told(source_name) for problem in problems))
        self.problems = list(problems)
        self.source_name = source_name


def written(path: Path) -> str:
    """A path in YAML terms."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is probably a slip of, or None."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None
