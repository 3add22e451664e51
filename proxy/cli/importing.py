"""`greenlane import litellm`."""

from __future__ import annotations

import argparse
import os
import sys

from proxy.configuration.litellm_import import import_litellm
from proxy.configuration.reading import read


def litellm(options: argparse.Namespace) -> int:
    """Our YAML on standard output, what needs a look on standard error."""
    imported = import_litellm(read(options.file), os.environ)
    for warning in imported.warnings:
        sys.stderr.write(f"greenlane: {warning}\n")
    sys.stdout.write(imported.yaml)
    return 0
