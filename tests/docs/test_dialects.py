"""docs/dialects.md is what the code's own tables say."""

from __future__ import annotations

import importlib.util

from tests.docs.pages import ROOT, text

_spec = importlib.util.spec_from_file_location("make_dialects", ROOT / "docs" / "make_dialects.py")
make_dialects = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_dialects)


def test_the_page_is_as_the_script_writes_it():
    assert text("docs/dialects.md") == make_dialects.page(), "run: python docs/make_dialects.py > docs/dialects.md"
