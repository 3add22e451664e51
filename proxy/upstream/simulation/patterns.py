"""A text that matches a regular expression, by walking its parse tree. Nothing is ever searched: patterns come from clients.

Look-around and back-references are beyond it.
"""

from __future__ import annotations

import importlib
import random
import re
from typing import Any

MAX_LENGTH = 4096
_PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
_parser: Any = importlib.import_module("re._parser")


class UnsatisfiableError(Exception):
    """No value was found that meets the schema."""


def matching(pattern: str, random_: random.Random) -> str:
    """A text of at most MAX_LENGTH characters in which the pattern is found from end to end. Raises UnsatisfiableError."""
    try:
        tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsatisfiableError("the pattern is not one") from error
    text = _sequence(tree, random_)
    if len(text) > MAX_LENGTH:
        raise UnsatisfiableError("the pattern wants too long a text")
    return text


def _sequence(tree: Any, random_: random.Random) -> str:
    parts: list[str] = []
    length = 0
    for operation, argument in tree:
        parts.append(_one(str(operation), argument, random_))
        length += len(parts[-1])
        if length > MAX_LENGTH:
            raise UnsatisfiableError("the pattern wants too long a text")
    return "".join(parts)


def _one(operation: str, argument: Any, random_: random.Random) -> str:
    match operation:
        case "LITERAL":
            return chr(argument)
        case "AT":
            return ""
        case "ANY":
            return random_.choice("abcdefghij")
        case "NOT_LITERAL":
            return random_.choice([character for character in _PRINTABLE if ord(character) != argument])
        case "IN":
            return random_.choice(_class(argument))
        case "BRANCH":
            return _sequence(random_.choice(argument[1]), random_)
        case "SUBPATTERN":
            return _sequence(argument[3], random_)
        case "ATOMIC_GROUP":
            return _sequence(argument, random_)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, tree = int(argument[0]), int(argument[1]), argument[2]
            if low > MAX_LENGTH:
                raise UnsatisfiableError("the pattern wants too long a text")
            return "".join(_sequence(tree, random_) for _ in range(random_.randint(low, min(high, low + 6))))
        case _:
            raise UnsatisfiableError(f"the pattern uses {operation.lower()}")


def _class(members: Any) -> list[str]:
    """The characters a class in brackets admits, printable ASCII first."""
    admitted: set[str] = set()
    negated = False
    for operation, argument in members:
        match str(operation):
            case "NEGATE":
                negated = True
            case "LITERAL":
                admitted.add(chr(argument))
            case "RANGE":
                admitted.update(chr(code) for code in range(argument[0], min(argument[1], argument[0] + 255) + 1))
            case "CATEGORY":
                admitted.update(character for character in _PRINTABLE if _in_category(str(argument), character))
            case other:
                raise UnsatisfiableError(f"the pattern uses {other.lower()}")
    chosen = [character for character in _PRINTABLE if character not in admitted] if negated else sorted(admitted)
    plain = [character for character in chosen if character in _PRINTABLE and character != " "] or chosen
    if not plain:
        raise UnsatisfiableError("a class of the pattern is empty")
    return plain


def _in_category(category: str, character: str) -> bool:
    word = character.isalnum() or character == "_"
    known = {"DIGIT": character.isdigit(), "SPACE": character.isspace(), "WORD": word}
    name = category.removeprefix("CATEGORY_")
    return not known[name.removeprefix("NOT_")] if name.startswith("NOT_") else known[name]
