"""What the pages say of the shipped tables is what is in them."""

from __future__ import annotations

import re

from carbon import shipped
from tests.docs.pages import text


def test_the_page_on_carbon_counts_the_rows():
    profiles = shipped.profiles()
    page = text("docs/carbon.md")
    for rows, of in (
        (profiles.open, "open models"),
        (profiles.closed, "closed models"),
        (profiles.pue, "PUE figures"),
        (profiles.wue, "WUE figures"),
        (profiles.accelerators, "power limits"),
    ):
        assert f"| {len(rows)} {of} |" in page
    assert f"| {len(shipped.countries())}, {len(shipped.regions())} |" in page
    assert f"| {len(shipped.cities())} cities |" in page


def test_the_changelog_counts_the_rows():
    kinds = [row.kind for row in shipped.intensities().values()]
    models = len(shipped.profiles().open) + len(shipped.profiles().closed)
    said = re.sub(r"\s+", " ", text("CHANGELOG.md"))
    places = kinds.count("cloud-region") + kinds.count("subregion")
    assert f"intensities of {kinds.count('country')} countries and {places} cloud regions and subregions, {models} models" in said
