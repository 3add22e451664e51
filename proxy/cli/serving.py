"""`greenlane serve`: hands over to proxy/app.py."""

from __future__ import annotations

import argparse
import importlib
import os


def serve(options: argparse.Namespace) -> int:
    """Runs until it is told to stop."""
    # the server and all it needs are loaded for this command only: the others answer at once
    app = importlib.import_module("proxy.app")
    config_path = options.config or os.environ.get("GREENLANE_CONFIG") or None
    code = app.serve(config_path=config_path, vendors=options.vendors, host=options.host, port=options.port)
    return int(code or 0)
