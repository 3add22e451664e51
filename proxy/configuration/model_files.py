"""The config.json that a deployment's `hf_config` names: read, and checked where the configuration is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from carbon.hf_config import Architecture, HfConfigError, architecture
from proxy.config import Config
from proxy.configuration.findings import Finding

MAX_BYTES = 1 << 20


def shape_in(path: str) -> Architecture:
    """The shape that the file states. Raises HfConfigError, which names the file."""
    try:
        with Path(path).open("rb") as file:
            tree = msgspec.json.decode(file.read(MAX_BYTES + 1), type=dict)
    except OSError as error:
        raise HfConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise HfConfigError(f"{path} is not a model's config.json: expected a JSON object") from error
    try:
        return architecture(tree)
    except HfConfigError as error:
        raise HfConfigError(f"{path}: {error}") from error


def check_shapes(config: Config) -> Iterator[Finding]:
    for name, deployment in config.deployments.items():
        if deployment.hf_config is None:
            continue
        try:
            shape_in(deployment.hf_config)
        except HfConfigError as error:
            yield Finding(("deployments", name, "hf_config"), str(error))
