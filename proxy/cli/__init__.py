"""The `greenlane` command."""

from proxy.cli.command import main

__all__ = ["main"]
