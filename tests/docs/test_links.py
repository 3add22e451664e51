"""Links between pages, and paths that pages name, lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose, quoted

ROOTS = [
    ROOT / place
    for place in (
        "",
        "proxy",
        "proxy/dataplane",
        "proxy/upstream",
        "proxy/cli",
        "adapters",
        "policies",
        "policies/objectives",
        "carbon",
        "carbon/data",
    )
]
"""Where a page may count a path from."""
NOT_OURS = {"config.yaml"}
"""Files of others that pages speak of."""
FORMER = {"fleet/", "shared/", "advisor.py", "reports.py"}
"""Of the first design; ARCHITECTURE.md says that they are not there."""


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, punctuation gone, spaces to hyphens."""
    heads = re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_named_exists(page: Path):
    named = [
        word for word in quoted(prose(page.read_text())) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|yml|yaml|toml|csv|lock))", word)
    ]
    lost = {word for word in named if word not in NOT_OURS | FORMER and not any((root / word).exists() for root in ROOTS)}
    assert lost == set()
