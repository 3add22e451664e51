"""NOTICE names every source that a row of the shipped data names."""

from __future__ import annotations

import csv
import re
import tomllib

import pytest

from tests.docs.pages import ROOT, text

NOTICE = text("NOTICE")
DATA = ROOT / "carbon" / "data"
FACTS = ("facts", "fact of a public report", "fact of a data sheet")
"""Licences of rows that need none: what a public page says is no one's."""


def named_sources() -> set[tuple[str, str]]:
    """(source, licence) of every row."""
    rows = [row for path in sorted(DATA.glob("*.csv")) for row in csv.DictReader(path.read_text().splitlines())]
    tables = tomllib.loads((DATA / "profiles.toml").read_text())
    rows += [row for table in tables.values() if isinstance(table, list) for row in table]
    return {(row["source"], row["licence"]) for row in rows}


@pytest.mark.parametrize(("source", "licence"), sorted(named_sources()), ids=lambda value: value[:40])
def test_a_source_that_needs_a_licence_is_in_the_notice(source: str, licence: str):
    if licence.startswith(FACTS):
        return
    known = {
        "Ember": "CC BY 4.0",
        "GoogleCloudPlatform/region-carbon-info": "Apache License, Version 2.0",
        "EPA eGRID2023": "Public domain",
        "geonames.org": "CC BY 4.0",
        "mlco2/codecarbon": "MIT License",
        "mlco2/ecologits": "Mozilla Public License 2.0",
        "real-time-cloud": "MIT License",
    }
    (terms,) = {terms for name, terms in known.items() if name in source}
    name = next(name for name in known if name in source)
    paragraph = next(part for part in NOTICE.split("\n\n") if name.replace("EPA ", "") in part)
    assert terms in paragraph


def test_the_notice_of_the_data_is_merged_whole():
    headings = re.findall(r"^- \*\*(.+?)\*\*", (DATA / "NOTICE.md").read_text(), re.MULTILINE)
    links = re.findall(r"https://[^\s),;]+", (DATA / "NOTICE.md").read_text())
    assert headings
    assert [heading for heading in headings if heading.removeprefix("US ") not in NOTICE] == []
    assert [link for link in links if link.rstrip(".:") not in NOTICE] == []


def test_the_licence_is_apache_2_in_full():
    licence = text("LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "9. Accepting Warranty or Additional Liability." in licence
