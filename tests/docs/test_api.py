"""docs/api.md has every path that is answered."""

from __future__ import annotations

import re

from litestar.routes import HTTPRoute

from proxy.app import application
from proxy.dataplane.operations import OPERATIONS
from tests.docs.pages import prose, quoted, text

PAGE = text("docs/api.md")
NAMED = {word.removeprefix("GET ").removeprefix("POST ").partition("?")[0] for word in quoted(prose(PAGE))}


def test_every_inference_path_is_told():
    assert {path.decode() for path in OPERATIONS} <= NAMED


def test_every_other_path_is_told(embedded_fleet):
    app = application(embedded_fleet.runtime)
    paths = {route.path for route in app.routes if isinstance(route, HTTPRoute)}
    assert {re.sub(r"\{\w+:\w+\}", "{id}", path) for path in paths} <= NAMED
