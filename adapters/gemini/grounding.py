"""What Google's search found, as annotations of a message.

Reference: https://ai.google.dev/gemini-api/docs/google-search#grounded-response
"""

from __future__ import annotations

import msgspec

from adapters._base import Json
from adapters._web_search import SEARCHES, cited, searched


class _Web(msgspec.Struct):
    uri: str
    title: str | None = None


class _Chunk(msgspec.Struct):
    web: _Web | None = None


class _Segment(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int = 0
    """Bytes of UTF-8, of the part that the segment lies in."""
    text: str = ""


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, rename="camel"):
    web_search_queries: list[str] | None = None
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


_decode = msgspec.json.Decoder(_Grounding).decode


def grounded(metadata: bytes | msgspec.Raw, text: str) -> Json:
    """The citations of a text, and what was searched for: `annotations` and `searches`, where there are any.

    Metadata of another shape than the reference's tell none: the answer is worth more than they.
    """
    try:
        found = _decode(metadata) if metadata else _Grounding()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    told: Json = {}
    if annotations := _annotations(found, text):
        told["annotations"] = annotations
    if found.web_search_queries:
        pages = [{"url": each.web.uri, "title": each.web.title or each.web.uri} for each in found.grounding_chunks or () if each.web]
        told[SEARCHES] = [searched(found.web_search_queries, pages)]
    return told


def queries_of(metadata: bytes | msgspec.Raw) -> set[str]:
    """What was searched for: Google counts each query once, and none that is empty."""
    try:
        found = _decode(metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    return {query for query in found.web_search_queries or () if query}


def _annotations(found: _Grounding, text: str) -> list[Json]:
    pages = [chunk.web for chunk in found.grounding_chunks or ()]
    if not found.grounding_supports:
        # it says what was read, not for which words
        return [cited(page.uri, page.title, 0, len(text)) for page in pages if page is not None]
    plain = text.encode("utf-8", "replace")
    told = []
    for support in found.grounding_supports:
        start, end = _place(support.segment or _Segment(end_index=len(plain)), text, plain)
        for number in support.grounding_chunk_indices or ():
            page = pages[number] if 0 <= number < len(pages) else None
            if page is not None:
                told.append(cited(page.uri, page.title, start, end))
    return told


def _place(segment: _Segment, text: str, plain: bytes) -> tuple[int, int]:
    """Where a segment lies, in characters of all the text. What it says is sought where its bytes are another part's."""
    told = plain[max(0, segment.start_index) : segment.end_index].decode("utf-8", "ignore")
    if segment.text and told != segment.text:
        at = text.find(segment.text)
        return (at, at + len(segment.text)) if at >= 0 else (0, len(text))
    start = len(plain[: max(0, segment.start_index)].decode("utf-8", "ignore"))
    return start, start + len(told)
