"""The secrets a configuration refers to: that each is there, and that no two clients share a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from proxy.config import Config
from proxy.configuration.findings import Finding
from proxy.configuration.problems import Path, written
from proxy.configuration.registries import source_secrets
from proxy.configuration.secret import Secret, SecretError, read_file, resolve, resolve_key

SALT_CHARACTERS = 16
_REFERENCE = ("env:", "file:")
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")


def check_references(config: Config) -> Iterator[Finding]:
    """Without looking at any secret: references that cannot be right, and key hashes that are there twice."""
    first: dict[str, Path] = {}
    for path, reference, is_key in _references(config):
        if reference.startswith("env:") and not _VARIABLE.fullmatch(reference):
            yield Finding(path, "env: is followed by the name of an environment variable (letters, digits and _)")
        elif reference == "file:":
            yield Finding(path, "file: is followed by a path")
        if is_key:
            if reference in first:
                yield Finding(path, f"is the same key as {written(first[reference])}")
            first.setdefault(reference, path)


def check_presence(config: Config, environ: Mapping[str, str], read: Callable[[str], str] = read_file) -> Iterator[Finding]:
    """Looks every secret up; none is kept or told."""
    first: dict[str, tuple[Path, str]] = {}
    for path, reference, is_key in _references(config):
        try:
            if not is_key:
                found = resolve(reference, environ, read).reveal()
                if path[-1] == "cache_salt" and len(found) < SALT_CHARACTERS:
                    yield Finding(path, f"must have {SALT_CHARACTERS} characters or more: what is made from less can be guessed")
                continue
            digest = resolve_key(reference, environ, read)
        except SecretError as error:
            yield Finding(path, str(error))
            continue
        if digest in first and first[digest][1] != reference:
            yield Finding(path, f"is the same key as {written(first[digest][0])}")
        first.setdefault(digest, (path, reference))


def resolve_all(
    config: Config, environ: Mapping[str, str], read: Callable[[str], str] = read_file
) -> tuple[dict[str, Secret], dict[str, str]]:
    """Our key for each deployment that has one, and the names of clients' keys by their SHA-256. Raises SecretError."""
    ours = {name: resolve(place.api_key, environ, read) for name, place in config.deployments.items() if place.api_key is not None}
    return ours, {resolve_key(key.key, environ, read): name for name, key in config.keys.items()}


def salts(config: Config, environ: Mapping[str, str], read: Callable[[str], str] = read_file) -> dict[str, Secret]:
    """What the salts of each deployment that has some are made from. Raises SecretError."""
    return {name: resolve(place.cache_salt, environ, read) for name, place in config.deployments.items() if place.cache_salt is not None}


def ledger_url(config: Config, environ: Mapping[str, str], read: Callable[[str], str] = read_file) -> str:
    """The ledger's URL, which may be given by reference because it may hold a password. Raises SecretError."""
    url = config.ledger.url
    return resolve(url, environ, read).reveal() if url.startswith(_REFERENCE) else url


def _references(config: Config) -> Iterator[tuple[Path, str, bool]]:
    """Path, reference, and whether it is a client's key."""
    if config.ledger.url.startswith(_REFERENCE):
        yield ("ledger", "url"), config.ledger.url, False
    for path, reference in source_secrets(config.carbon.sources):
        yield ("carbon", "sources", *path), reference, False
    for name, deployment in config.deployments.items():
        if deployment.api_key is not None:
            yield ("deployments", name, "api_key"), deployment.api_key, False
        if deployment.cache_salt is not None:
            yield ("deployments", name, "cache_salt"), deployment.cache_salt, False
    for name, key in config.keys.items():
        yield ("keys", name, "key"), key.key, True
