"""Tools that clients run themselves and whose schemas Anthropic keeps: bash, the text editor and memory, as functions with these schemas.

References: https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool, .../text-editor-tool, .../memory-tool
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters._base import AdapterError, Json
from adapters._shape import shaped
from adapters.anthropic.door_blocks import CacheControl, marked


class _Known(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    name: str
    cache_control: CacheControl | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None
    input_examples: list[Json] | None = None
    strict: bool | None = None
    max_characters: int | None = None


def _object(required: list[str], **members: Json) -> Json:
    return {"type": "object", "properties": members, "required": required}


def _text(description: str) -> Json:
    return {"type": "string", "description": description}


def _whole(description: str) -> Json:
    return {"type": "integer", "description": description}


def _files(commands: list[str], inserted: str, **more: Json) -> Json:
    """The commands on files that the editor and memory share; `inserted` is the member with the text of `insert`."""
    lines = {
        "type": "array",
        "items": {"type": "integer"},
        "description": "view: first and last line, counted from 1; -1 is the end of the file",
    }
    return _object(
        ["command"] if more else ["command", "path"],
        command={"type": "string", "enum": commands},
        path=_text("The file or directory"),
        view_range=lines,
        file_text=_text("create: what the file holds"),
        old_str=_text("str_replace: the text to replace, exactly as it stands in the file"),
        new_str=_text("str_replace: the text to put there" + ("; insert: the text to insert" if inserted == "new_str" else "")),
        insert_line=_whole("insert: the line after which to insert; 0 is the beginning of the file"),
        **({} if inserted == "new_str" else {inserted: _text("insert: the text to insert")}),
        **more,
    )


_COMMANDS = ["view", "create", "str_replace", "insert"]
_EDITS = "Views, creates and edits text files. Each command takes `path` and the members that name it."
_BASH = (
    "bash",
    "Runs a command in a bash session that lasts between calls. `restart` begins a new session.",
    _object([], command=_text("The command to run; may be left out with `restart`"), restart={"type": "boolean"}),
)
_OLD_EDITOR = ("str_replace_editor", _EDITS, _files([*_COMMANDS, "undo_edit"], "new_str"))
_EDITOR = ("str_replace_based_edit_tool", _EDITS, _files(_COMMANDS, "insert_text"))
_MEMORY = (
    "memory",
    (
        "Keeps notes between conversations as files in the directory /memories. Look there before you begin, and write down what will be "
        "needed later. Each command takes the members that name it; all but rename take `path`."
    ),
    _files(
        [*_COMMANDS, "delete", "rename"],
        "insert_text",
        old_path=_text("rename: the file or directory as it is called now"),
        new_path=_text("rename: its new name"),
    ),
)
_KNOWN: dict[str, tuple[str, str, Json]] = {
    "bash_20241022": _BASH,
    "bash_20250124": _BASH,
    "text_editor_20241022": _OLD_EDITOR,
    "text_editor_20250124": _OLD_EDITOR,
    "text_editor_20250429": _EDITOR,
    "text_editor_20250728": _EDITOR,
    "memory_20250818": _MEMORY,
}
"""Type → its name, and what a model that does not know it must be told."""


def known(kind: Any) -> bool:
    return isinstance(kind, str) and kind in _KNOWN


def function_of(body: Json, path: str) -> Json:
    """The hub's function. Never strict: strict schemas require all of their members."""
    tool = shaped(body, _Known, path)
    name, description, schema = _KNOWN[tool.type]
    if tool.name != name:
        raise AdapterError(f"The name of this tool is {name}.", f"{path}.name")
    if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
        raise AdapterError("A tool that only code may call cannot be passed on to this model.", f"{path}.allowed_callers")
    function = {"name": name, "description": description, "parameters": schema}
    return marked({"type": "function", "function": function}, tool.cache_control)
