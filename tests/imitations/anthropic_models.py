"""What each of Anthropic's models takes: thinking, effort, sampling, forced tools, an answer begun for it, turns of the system.

References: https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting, .../build-with-claude/effort
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.imitations.anthropic_schema import RefusedError

Json = dict[str, Any]
EFFORTS = ("low", "medium", "high", "xhigh", "max")


class Model(NamedTuple):
    thinking: tuple[str, ...]
    on: bool = True
    efforts: tuple[str, ...] = EFFORTS
    quiet: tuple[str, ...] = EFFORTS
    sampling: str = "none"
    prefill: bool = False
    forced: str = "yes"
    system_turns: bool = True
    structured: bool = True
    most: int = 128_000


_HIGH = EFFORTS[:3]
_ADAPTIVE, _OFF, _MANUAL = ("adaptive",), ("adaptive", "disabled"), ("enabled", "disabled")
_OLD = Model(_MANUAL, False, (), EFFORTS, "one", True, "quiet", False, True, 64_000)
MODELS = {
    "claude-fable-5-1": Model(_ADAPTIVE, forced="no"),
    "claude-fable-5": Model(_ADAPTIVE),
    "claude-opus-5-5": Model(_ADAPTIVE, forced="no"),
    "claude-sonnet-5-5": Model(("adaptive", "between_tools"), quiet=_HIGH, forced="no"),
    "claude-haiku-5-5": Model(_OFF, quiet=_HIGH),
    "claude-opus-5": Model(_OFF, quiet=_HIGH),
    "claude-sonnet-5": Model(_OFF, system_turns=False),
    "claude-opus-4-8": Model(_OFF, on=False),
    "claude-opus-4-7": Model(_OFF, on=False, forced="quiet", system_turns=False),
    "claude-opus-4-6": Model((*_OFF, "enabled"), False, ("low", "medium", "high", "max"), EFFORTS, "one", False, "quiet", False),
    "claude-sonnet-4-6": Model((*_OFF, "enabled"), False, ("low", "medium", "high", "max"), EFFORTS, "one", False, "quiet", False),
    "claude-opus-4-5": _OLD._replace(efforts=_HIGH),
    "claude-sonnet-4-5": _OLD,
    "claude-haiku-4-5": _OLD,
    "claude-sonnet-4-20250514": _OLD._replace(sampling="both", structured=False),
    "claude-3-5-haiku-20241022": Model((), False, (), EFFORTS, "both", True, "yes", False, False, 8192),
}


def model_of(body: Json) -> tuple[str, Model]:
    """The model, without the scenario that may follow it (`claude-haiku-4-5--tools`)."""
    name = body.get("model")
    if name is None:
        raise RefusedError("model: Field required")
    base = str(name).partition("--")[0]
    if base not in MODELS:
        raise RefusedError(f"model: {base}", 404, "not_found_error")
    return base, MODELS[base]
