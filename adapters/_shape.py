"""Client bodies against Structs: what does not fit becomes an AdapterError that names the member."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from adapters._base import AdapterError

T = TypeVar("T", bound=msgspec.Struct)
UNKNOWN = "unknown_parameter"
MISSING = "missing_required_parameter"
INVALID = "invalid_value"
# msgspec tells the place of a misfit only in its text: "Expected `int`, got `str` - at `$.messages[0].content`"
_PLACE = re.compile(r"\A(?P<text>.*?)(?: - at `\$?(?P<path>.*)`)?\Z", re.DOTALL)
_FIELD = re.compile(r"\AObject (?P<what>contains unknown|missing required) field `(?P<name>.*)`\Z", re.DOTALL)
_VALUE = re.compile(r"\AInvalid (?:enum )?value (?P<value>.*)\Z", re.DOTALL)
_NAME = re.compile(r"'[A-Za-z0-9_.:-]{1,64}'")


def shaped(value: Any, kind: type[T], path: str = "") -> T:
    """`value` as a Struct. Raises AdapterError with code UNKNOWN, MISSING or INVALID, and the member below `path` as param."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), path) from None
    except RecursionError:
        raise AdapterError("Too many levels.", path or None, code=INVALID) from None


def below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _misfit(text: str, path: str) -> AdapterError:
    found = _PLACE.match(text)
    said, place = (found["text"], found["path"] or "") if found else (text, "")
    param = path + place if path else place.removeprefix(".")
    field = _FIELD.match(said)
    if field is not None:
        param = below(param, field["name"][:64])
        if field["what"] == "contains unknown":
            return AdapterError(f"Unknown parameter: '{param}'.", param, code=UNKNOWN)
        return AdapterError(f"Missing required parameter: '{param}'.", param, code=MISSING)
    value = _VALUE.match(said)
    if value is not None:
        # a value that is not a plain name may be somebody's text
        named = value["value"] if _NAME.fullmatch(value["value"]) else "of this kind"
        return AdapterError(f"A value {named} is not supported here.", param or None, code=INVALID)
    return AdapterError(said.replace("`", "") + ".", param or None, code=INVALID)
