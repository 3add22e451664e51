"""Secrets: references in the configuration, values only when asked for by name, and never in a repr, a log or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

_HASH = "sha256:"


class SecretError(Exception):
    """The reference names nothing: the variable is unset or empty, or the file cannot be read. The text has no secret in it."""


class Secret:
    """A value that shows itself only through `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def read_file(path: str) -> str:
    """The text of a secret file. OSError and UnicodeDecodeError pass through."""
    return Path(path).read_text(encoding="utf-8")


def resolve(reference: str, environ: Mapping[str, str], read: Callable[[str], str] = read_file) -> Secret:
    """The secret that `env:NAME` or `file:PATH` refers to; of a file, less its final newline. Raises SecretError."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = environ.get(name)
        if not value:
            raise SecretError(f"the environment variable {name} is not set" if value is None else f"{name} is empty")
    elif kind == "file" and name:
        try:
            value = read(name)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not readable as text"
            raise SecretError(f"the file {name} cannot be read: {reason}") from error
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise SecretError(f"the file {name} is empty")
    else:
        raise SecretError("a secret is written env:NAME or file:PATH")
    if not (value.isascii() and value.isprintable()):
        raise SecretError(f"what {reference} holds must be one line of printable ASCII")
    return Secret(value)


def key_hash(key: str) -> str:
    """SHA-256, in hex, of a client's key; keys are compared by it alone."""
    return hashlib.sha256(key.encode()).hexdigest()


def resolve_key(reference: str, environ: Mapping[str, str], read: Callable[[str], str] = read_file) -> str:
    """The hash of the key that `env:NAME`, `file:PATH` or `sha256:HEX` refers to. Raises SecretError."""
    if reference.startswith(_HASH):
        return reference.removeprefix(_HASH)
    return key_hash(resolve(reference, environ, read).reveal())
