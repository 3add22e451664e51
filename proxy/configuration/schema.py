"""What can be written in the file, for editors (JSON Schema) and for readers (the tables of docs/configuration.md).

Descriptions are the docstrings below the fields, read from the sources: there is one place to write them.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
import typing
from typing import Annotated, Any, get_args, get_origin

import msgspec

from carbon.meters import meters
from carbon.sources import SOURCES
from proxy.config import CarbonSource, Config, DeploymentMeter

_UNITS = {
    "_s": "seconds",
    "_days": "days",
    "_bytes": "bytes",
    "_tokens": "tokens",
    "_g": "g CO2e",
    "_usd": "US dollars",
    "_g_per_kwh": "g CO2e/kWh",
    "_b": "billions",
    "_ttft_s": "seconds",
}
_UNITS_BY_NAME = {
    "g": "g CO2e",
    "g_per_kwh": "g CO2e/kWh",
    "usd": "US dollars",
    "carbon_g": "g CO2e",
    "usd_per_mtok": "US dollars per million tokens",
    "usd_per_request": "US dollars",
    "usd_per_search": "US dollars",
    "min_quality": "0 to 1",
    "quality": "0 to 1",
    "total": "billions",
    "active": "billions",
    "bytes_per_parameter": "bytes",
    "json_depth": "levels",
    "header_lines": "lines",
    "failures": "failures",
    "concurrency": "requests",
    "queue": "requests",
    "search_ceiling": "searches",
    "batch": "requests",
    "idle_connections": "connections",
    "count": "accelerators",
    "pue": "ratio, from 1",
    "host_factor": "ratio, from 1",
    "kg": "kg CO2e",
    "lifetime_years": "years",
    "wue_l_per_kwh": "litres/kWh",
    "idle_w": "watts",
    "weight": "ratio",
}
_PRICES = "US dollars per million tokens"
_NO_UNIT = ""


class Setting(msgspec.Struct, frozen=True):
    """One member of a section, as the reference tells it."""

    name: str
    kind: str
    default: str
    unit: str
    description: str


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file. Editors also accept the merge key, which JSON Schema cannot know: it is allowed."""
    schema = msgspec.json.schema(Config)
    for name, definition in schema["$defs"].items():
        struct = _structs().get(name)
        if struct is None:
            continue
        texts = descriptions(struct)
        definition["description"] = inspect.cleandoc(struct.__doc__ or name)
        for member, content in definition.get("properties", {}).items():
            if member in texts and "$ref" not in content:
                content["description"] = texts[member]
            elif member in texts:  # beside a $ref older editors ignore everything else
                definition["properties"][member] = {"allOf": [content], "description": texts[member]}
        for field in msgspec.structs.fields(struct):
            _name_keys(definition["properties"][field.encode_name], field.type)
        # keys are written in any order, and a mapping may come in by `<<: *anchor`
        definition["properties"]["<<"] = {"description": "YAML's merge key.", "type": ["object", "array"]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Greenlane's configuration", **schema}


def _name_keys(content: dict[str, Any], kind: Any) -> None:
    """Of a mapping whose keys are certain words, these words: msgspec leaves them out of its schema."""
    for each in (kind, *get_args(kind)):
        keys = get_args(each)[0] if get_origin(each) is dict else None
        if get_origin(keys) is typing.Literal:
            for branch in content.get("anyOf", [content]):
                if branch.get("type") == "object":
                    branch["propertyNames"] = {"enum": sorted(get_args(keys))}


def reference() -> str:
    """The tables of docs/configuration.md: every section, every setting, its default and its unit."""
    parts = []
    for path, struct in sections().items():
        parts.append(f"### {path}\n")
        doc = inspect.cleandoc(struct.__doc__ or "")
        if doc and not doc.startswith(struct.__name__ + "("):
            parts.append(doc.replace("\n", " ") + "\n")
        parts.append("| setting | takes | default | unit | meaning |\n|---|---|---|---|---|")
        parts.extend(
            f"| `{setting.name}` | {setting.kind} | {setting.default} | {setting.unit} | {setting.description} |"
            for setting in settings(struct)
        )
        parts.append("")
    return "\n".join(parts)


def sections() -> dict[str, type[msgspec.Struct]]:
    """Every kind of mapping in the file, by the path where it is first met."""
    found: dict[str, type[msgspec.Struct]] = {"the file": Config}
    waiting: list[tuple[str, type[msgspec.Struct]]] = [("", Config)]
    while waiting:
        path, struct = waiting.pop(0)
        for field in msgspec.structs.fields(struct):
            inner, named = _struct_of(field.type)
            if inner is None or inner in found.values():
                continue
            where = ".".join(part for part in (path, field.encode_name, "NAME" if named else "") if part)
            found[where] = inner
            waiting.append((where, inner))
    return found


def settings(struct: type[msgspec.Struct]) -> list[Setting]:
    """Every member of a section."""
    texts = descriptions(struct)
    return [
        Setting(
            field.encode_name,
            _kind(field.type).replace("|", "\\|"),
            _default(field),
            _NO_UNIT if field.type is bool else _unit(field.encode_name, struct),
            texts.get(field.encode_name, "").replace("|", "\\|"),
        )
        for field in msgspec.structs.fields(struct)
    ]


@functools.cache
def descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each field of a Struct, on one line; of a source's name, the source's own."""
    registered = SOURCES if struct is CarbonSource else meters() if struct is DeploymentMeter else None
    if registered is not None:
        return {name: " ".join(inspect.cleandoc(each.__doc__ or "").split("\n\n")[0].split()) for name, each in registered.items()}
    body = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    texts: dict[str, str] = {}
    if isinstance(body, ast.ClassDef):
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else ""
                texts[field.target.id] = " ".join(str(text).split())
    return texts


def _structs() -> dict[str, type[msgspec.Struct]]:
    return {struct.__name__: struct for struct in sections().values()}


def _struct_of(wanted: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The Struct within a type, and whether it is the value of a mapping by name."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return wanted, False
    for part in get_args(wanted):
        inner, _ = _struct_of(part)
        if inner is not None:
            return inner, get_origin(wanted) is dict
    return None, False


def _kind(wanted: Any) -> str:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        meta = next((item for item in arguments[1:] if isinstance(item, msgspec.Meta)), None)
        if meta is not None and meta.description:
            return meta.description
        bounds = [f"{sign} {bound:g}" for sign, bound in _bounds(meta)] if meta is not None else []
        return " ".join([_kind(arguments[0]), *bounds])
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"mapping of {_kind(arguments[0])} to {_kind(arguments[1])}"
    if arguments:
        return " or ".join(_kind(part) for part in arguments if part is not type(None))
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return f"[{wanted.__name__}](#{_anchor(wanted)})"
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}.get(wanted, str(wanted))


def _bounds(meta: msgspec.Meta) -> list[tuple[str, float]]:
    pairs = [(">", meta.gt), (">=", meta.ge), ("<", meta.lt), ("<=", meta.le)]
    return [(sign, bound) for sign, bound in pairs if bound is not None]


def _anchor(struct: type[msgspec.Struct]) -> str:
    """The heading's anchor as GitHub makes it."""
    path = next((where for where, known in sections().items() if known is struct), "")
    return re.sub(r"[^a-z0-9 _-]", "", path.lower()).replace(" ", "-")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "**required**"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return "none"
    if isinstance(value, msgspec.Struct):
        return "its defaults"
    if value in ((), {}):
        return "none"
    if isinstance(value, tuple):
        return "`[" + ", ".join(value) + "]`"
    return f"`{msgspec.json.encode(value).decode()}`" if not isinstance(value, str) else f"`{value}`"


def _unit(name: str, struct: type[msgspec.Struct]) -> str:
    if struct.__name__ == "Prices":
        return _PRICES
    if name in _UNITS_BY_NAME:
        return _UNITS_BY_NAME[name]
    endings = [ending for ending in _UNITS if name.endswith(ending)]
    return _UNITS[max(endings, key=len)] if endings else _NO_UNIT


if __name__ == "__main__":
    sys.stdout.write(reference())
