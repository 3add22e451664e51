"""A configuration file from disk to a checked Config."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from proxy.config import Config
from proxy.configuration.certificates import check_certificates
from proxy.configuration.checking import check
from proxy.configuration.credentials import check_presence, check_references
from proxy.configuration.document import MAX_BYTES, Document, parse
from proxy.configuration.findings import Finding
from proxy.configuration.model_files import check_shapes
from proxy.configuration.problems import ConfigurationError, Problem, written
from proxy.configuration.secret import read_file
from proxy.configuration.shape import shaped


class Examination(msgspec.Struct, frozen=True):
    """All that can be said of a file. `config` is there if there is no problem but warnings."""

    config: Config | None
    problems: list[Problem]


def load(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a file, every secret of it present. Raises ConfigurationError."""
    examination = examine(read(path), os.environ if environ is None else environ)
    return _only(examination, str(path))


def loads(text: str, source_name: str = "configuration", environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a text. Secrets are looked for where `environ` is given. Raises ConfigurationError."""
    return _only(examine(text, environ), source_name)


def read(path: str | os.PathLike[str]) -> str:
    """The text of a configuration file. Raises ConfigurationError if there is none to read."""
    try:
        with FilePath(path).open("rb") as file:
            return file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError([Problem(path="", message=f"cannot be read: {error.strerror}")], str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([Problem(path="", message="is not UTF-8 text")], str(path)) from error


def examine(
    text: str, environ: Mapping[str, str] | None = None, *, missing_is_error: bool = True, read: Callable[[str], str] = read_file
) -> Examination:
    """Reads and checks. `environ` None: secrets and certificates are not looked for; `missing_is_error` False: then a warning."""
    document = parse(text)
    config, problems = shaped(document)
    if config is None:
        return Examination(None, problems)
    findings = [*check(config), *check_references(config), *check_shapes(config)]
    problems = _placed(findings, document)
    if environ is not None:
        absent = _placed([*check_presence(config, environ, read), *check_certificates(config)], document)
        problems += absent if missing_is_error else [msgspec.structs.replace(problem, warning=True) for problem in absent]
    problems.sort(key=lambda problem: problem.line or 0)
    usable = all(problem.warning for problem in problems)
    return Examination(config if usable else None, problems)


def problems_of(config: Config) -> list[Problem]:
    """What is wrong or odd with a Config made without a file."""
    return _placed([*check(config), *check_references(config), *check_shapes(config)], Document(None, {}, []))


def version(config: Config) -> str:
    """Twelve hex digits that change whenever a setting or an order does. Secrets have no part in it: they are references here."""
    return hashlib.sha256(msgspec.json.encode(_said(config))).hexdigest()[:12]


def _said(value: Any) -> Any:
    """What is set, less what only says a default again: msgspec's own `omit_defaults` compares by identity."""
    if isinstance(value, msgspec.Struct):
        fields = ((field.encode_name, field.default, getattr(value, field.name)) for field in msgspec.structs.fields(value))
        return {name: _said(item) for name, default, item in fields if item != default}
    if isinstance(value, dict):
        return {name: _said(item) for name, item in value.items()}
    return value


def _placed(findings: Iterable[Finding], document: Document) -> list[Problem]:
    return [
        Problem(path=written(path), message=message, suggestion=suggestion, line=document.line(path), warning=warning)
        for path, message, suggestion, warning in findings
    ]


def _only(examination: Examination, source_name: str) -> Config:
    if examination.config is None:
        raise ConfigurationError([problem for problem in examination.problems if not problem.warning], source_name)
    return examination.config
