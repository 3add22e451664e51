"""What Google's search found: https://ai.google.dev/gemini-api/docs/google-search#grounded-response"""

import json
from typing import Any

import pytest

from adapters.gemini.grounding import grounded

TEXT = "Grüß … dich und Grüß"
PAGES = [{"web": {"uri": "https://a.org", "title": "a.org"}}, {"maps": {}}, {"web": {"uri": "https://b.org"}}]


def told(*supports: dict[str, Any], pages: list[dict[str, Any]] = PAGES) -> list[tuple[str, str, str]]:
    found = grounded(json.dumps({"groundingChunks": pages, "groundingSupports": supports}).encode(), TEXT).get("annotations", [])
    assert all(each["type"] == "url_citation" for each in found)
    cited = [each["url_citation"] for each in found]
    return [(each["url"], each["title"], TEXT[each["start_index"] : each["end_index"]]) for each in cited]


def test_bytes_become_characters() -> None:
    start = len("Grüß … ".encode())
    support = {"segment": {"startIndex": start, "endIndex": start + 4, "text": "dich"}, "groundingChunkIndices": [0, 2]}
    assert told(support) == [("https://a.org", "a.org", "dich"), ("https://b.org", "https://b.org", "dich")]


def test_a_zero_is_left_out() -> None:
    assert told({"segment": {"endIndex": 6}, "groundingChunkIndices": [0]}) == [("https://a.org", "a.org", "Grüß")]


def test_what_another_part_s_bytes_say_is_sought() -> None:
    support = {"segment": {"partIndex": 1, "endIndex": 4, "text": "dich"}, "groundingChunkIndices": [0]}
    assert told(support) == [("https://a.org", "a.org", "dich")]


def test_what_is_nowhere_is_about_all_of_it() -> None:
    support = {"segment": {"endIndex": 4, "text": "nowhere"}, "groundingChunkIndices": [0]}
    assert told(support) == [("https://a.org", "a.org", TEXT)]


def test_a_page_that_is_not_told_is_not_cited() -> None:
    assert told({"segment": {"endIndex": 6}, "groundingChunkIndices": [1, 7, -1]}) == []


def test_pages_without_supports_are_about_all_of_it() -> None:
    assert told() == [("https://a.org", "a.org", TEXT), ("https://b.org", "https://b.org", TEXT)]


@pytest.mark.parametrize("metadata", [b"", b"{}", b"null", b"[]", b"5", b'{"groundingChunks":5}', b'{"groundingChunks":[{"web":{}}]}'])
def test_other_shapes_cost_no_answer(metadata: bytes) -> None:
    assert grounded(metadata, TEXT) == {}


def test_what_was_searched_for_is_told_with_its_pages() -> None:
    found = grounded(json.dumps({"webSearchQueries": ["a", "b"], "groundingChunks": PAGES, "groundingSupports": [{}]}).encode(), TEXT)
    pages = [{"url": "https://a.org", "title": "a.org"}, {"url": "https://b.org", "title": "https://b.org"}]
    assert found == {"searches": [{"queries": ["a", "b"], "pages": pages, "failed": False}]}
