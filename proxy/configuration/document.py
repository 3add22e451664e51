"""YAML text to a plain tree with the line of every value. Knows nothing of settings.

Built on PyYAML's composer, with a constructor of our own: duplicate keys are refused, aliases and merges are bounded, and
scalars follow YAML 1.2's core schema, so that `NO` is a country, `2024-10-21` an API version and `on` a word.
"""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import yaml

from proxy.configuration.problems import Path, Problem, written

MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 200_000
"""Values after all aliases are followed; a page of "billion laughs" would have 10^9."""
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NUMBER_SINCE_1_2 = re.compile(r"0o[0-7]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")
"""PyYAML, which follows 1.1, takes these for words."""
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS |= dict.fromkeys(("", "~", "null", "Null", "NULL"))


class Document(msgspec.Struct, frozen=True):
    """A tree of dicts, lists and scalars, and where each of its values stands."""

    tree: Any
    lines: dict[Path, int]
    problems: list[Problem]

    def line(self, path: Path) -> int | None:
        """The line of `path`, or of its nearest parent that is in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


class _TooMuchError(Exception):
    """The aliases of the file expand beyond MAX_VALUES, or it is nested beyond MAX_DEPTH."""

    def __init__(self, message: str, path: Path, line: int) -> None:
        super().__init__(message)
        self.problem = Problem(path=written(path), message=message, line=line)


def parse(text: str) -> Document:
    """The document in `text`. Never raises for its content: what is wrong is in `problems`, and `tree` is None then."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return _failed(f"the file is larger than {MAX_BYTES} bytes")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _failed(f"not YAML: {error.problem or error.context}", None if mark is None else mark.line + 1)
    except yaml.YAMLError as error:
        return _failed(f"not YAML: {getattr(error, 'reason', None) or 'unreadable characters'}")
    except RecursionError:
        return _failed(f"nested deeper than {MAX_DEPTH} levels")
    if node is None:
        return Document({}, {}, [])
    construction = _Construction()
    try:
        tree = construction.value(node, ())
    except _TooMuchError as error:
        return Document(None, {}, [*construction.problems, error.problem])
    return Document(tree, construction.lines, construction.problems)


def _failed(message: str, line: int | None = None) -> Document:
    return Document(None, {}, [Problem(path="", message=message, line=line)])


class _Construction:
    """Builds the tree of one file."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._values = 0
        self._open: set[int] = set()
        """Nodes being built, by identity."""

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._values += 1
        if self._values > MAX_VALUES:
            raise _TooMuchError(f"the aliases of this file expand to more than {MAX_VALUES} values", path, line)
        if len(path) > MAX_DEPTH:
            raise _TooMuchError(f"nested deeper than {MAX_DEPTH} levels (an anchor that contains itself?)", path[:4], line)
        self.lines[path] = line
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._problem(path, line, f"the YAML tag {node.tag!r} is not supported")
        return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        if id(node) in self._open:
            raise _TooMuchError("an anchor contains itself", path[:4], node.start_mark.line + 1)
        self._open.add(id(node))
        result: dict[str, Any] = {}
        # the first of several sources wins, and what is written here wins over all: so they go in from last to first
        for source in reversed(self._sources(node, path)):
            self._values += 1
            result |= self._mapping(source, path)
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path, line)
            if key is None:
                continue
            if key in first_line:
                self._problem((*path, key), line, f"written twice in one mapping; first on line {first_line[key]}")
                continue
            first_line[key] = line
            result[key] = self.value(value_node, (*path, key))
            self.lines[(*path, key)] = line
        self._open.discard(id(node))
        return result

    def _sources(self, node: yaml.MappingNode, path: Path) -> list[yaml.MappingNode]:
        """The mappings that `<<` brings into this one."""
        merges = [(key, value) for key, value in node.value if key.tag == _TAG + "merge"]
        return [source for key, value in merges for source in self._merge_sources(value, path, key.start_mark.line + 1)]

    def _merge_sources(self, node: yaml.Node, path: Path, line: int) -> list[yaml.MappingNode]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        sources = [source for source in nodes if isinstance(source, yaml.MappingNode)]
        if len(sources) != len(nodes):
            self._problem((*path, "<<"), line, "a merge takes a mapping or a list of mappings (`<<: *anchor`)")
        return sources

    def _key(self, node: yaml.Node, path: Path, line: int) -> str | None:
        """The key as text; None for a merge, which `_sources` has read, and for what cannot be one."""
        if node.tag == _TAG + "merge":
            return None
        if not isinstance(node, yaml.ScalarNode):
            self._problem(path, line, "a key must be a word, not a list or a mapping")
            return None
        return self._paired(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = self._paired(node, path)
        line = node.start_mark.line + 1
        tag = node.tag.removeprefix(_TAG)
        if tag == "str" and (node.style is not None or not NUMBER_SINCE_1_2.fullmatch(text)):
            return text
        if tag not in {"str", "int", "float", "bool", "null", "timestamp", "merge", "value"}:
            self._problem(path, line, f"the YAML tag {node.tag!r} is not supported")
            return None
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) and len(text) <= 20:
            return int(text, {"0o": 8, "0x": 16}.get(text[:2].lower(), 10))
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and math.isinf(float(text))):
            self._problem(path, line, f"{text} is not a finite number")
            return None
        return float(text) if _FLOAT.fullmatch(text) else text

    def _paired(self, node: yaml.ScalarNode, path: Path) -> str:
        r"""The text, with the halves joined that JSON escapes apart (`"\ud83d\ude00"`)."""
        text: str = node.value
        try:
            return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(path, node.start_mark.line + 1, "half of a character is missing")
            return ""

    def _problem(self, path: Path, line: int, message: str) -> None:
        # what is wrong under an anchor is wrong wherever it is merged: told once
        if not any((known.line, known.message) == (line, message) for known in self.problems):
            self.problems.append(Problem(path=written(path), message=message, line=line))
