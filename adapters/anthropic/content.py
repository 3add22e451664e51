"""Content parts of the hub as Anthropic's blocks: text, images, documents, and the prompt-cache marks on them.

References: https://platform.claude.com/docs/en/build-with-claude/vision, .../pdf-support, .../prompt-caching
"""

from __future__ import annotations

import binascii
import re
from typing import Any

from adapters._base import AdapterError, Json

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
PDF = "application/pdf"
_TEXTS = frozenset({"text/plain", "text/markdown", "text/csv", "text/html", "text/xml", "application/json"})
_DATA_URL = re.compile(r"\Adata:(?P<media>[\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)
_TITLE_CHARACTERS = 255


def text_blocks(content: Any, path: str) -> list[Json]:
    """Text of a system, developer or assistant message. Blank parts are left out: the API refuses them."""
    return [block for block in all_text_blocks(content, path) if not is_blank(block)]


def all_text_blocks(content: Any, path: str) -> list[Json]:
    """The same with its blank parts."""
    return [_text(part, at) for part, at in _parts(content, path, ("text", "refusal"))]


def is_blank(block: Json) -> bool:
    """A text that the API would refuse."""
    return block["type"] == "text" and not block["text"].strip()


def blocks(content: Any, path: str) -> list[Json]:
    """Content of a user's message or of a tool's result."""
    found = []
    for part, at in _parts(content, path, ("text", "refusal", "image_url", "file")):
        match part["type"]:
            case "image_url":
                found.append(marked(_image(part.get("image_url"), f"{at}.image_url"), part, at))
            case "file":
                found.append(marked(_document(part.get("file"), f"{at}.file"), part, at))
            case _ if not _blank(part):
                found.append(_text(part, at))
    return found


def marked(block: Json, holder: Json, path: str) -> Json:
    """The block with the prompt-cache mark that `holder` carries, if any: Anthropic's own, or OpenAI's `prompt_cache_breakpoint`.

    Of the latter only the place carries over: its lifetimes (30m, 12h) are not Anthropic's.
    """
    mark = holder.get("cache_control")
    if mark is None:
        if isinstance(holder.get("prompt_cache_breakpoint"), dict):
            block["cache_control"] = {"type": "ephemeral"}
        return block
    if not isinstance(mark, dict) or mark.get("type") != "ephemeral" or mark.get("ttl") not in (None, "5m", "1h"):
        raise AdapterError('`cache_control` must be {"type": "ephemeral"}, with a `ttl` of 5m or 1h.', f"{path}.cache_control")
    block["cache_control"] = {"type": "ephemeral"} if mark.get("ttl") is None else {"type": "ephemeral", "ttl": mark["ttl"]}
    return block


def _parts(content: Any, path: str, kinds: tuple[str, ...]) -> list[tuple[Json, str]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [({"type": "text", "text": content}, path)]
    if not isinstance(content, list):
        raise AdapterError("Content must be a string or an array of parts.", path)
    found = []
    for number, part in enumerate(content):
        at = f"{path}[{number}]"
        if not isinstance(part, dict) or part.get("type") not in kinds:
            kind = part.get("type") if isinstance(part, dict) else None
            name = f" `{kind}`" if isinstance(kind, str) and re.fullmatch(r"[a-z_]{1,40}", kind) else ""
            raise AdapterError(f"A part of type{name} cannot be sent to this model here.", at)
        found.append((part, at))
    return found


def _words(part: Json) -> Any:
    return part.get("refusal" if part["type"] == "refusal" else "text")


def _blank(part: Json) -> bool:
    words = _words(part)
    return isinstance(words, str) and not words.strip()


def _text(part: Json, path: str) -> Json:
    words = _words(part)
    if not isinstance(words, str):
        raise AdapterError("Text must be a string.", path)
    return marked({"type": "text", "text": words}, part, path)


def _image(image: Any, path: str) -> Json:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise AdapterError("An image needs a URL.", path)
    found = _DATA_URL.match(url)
    if found is None:
        return {"type": "image", "source": _linked(url, path)}
    media = found["media"].lower()
    media = "image/jpeg" if media == "image/jpg" else media
    if media not in IMAGES:
        raise AdapterError("An image must be JPEG, PNG, GIF or WebP.", path)
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": _base64(url[found.end() :], path)[0]}}


def _document(file: Any, path: str) -> Json:
    """A PDF or a text. A `file_id` is refused: it would open a file of whoever else shares our key."""
    if not isinstance(file, dict):
        raise AdapterError("A file must be an object.", path)
    if file.get("file_id") is not None:
        raise AdapterError("Files must come with their data or a URL; ids of uploaded files cannot be passed on.", f"{path}.file_id")
    name, url, data = file.get("filename"), file.get("file_url"), file.get("file_data")
    if data is None and isinstance(url, str):
        source = _linked(url, f"{path}.file_url")
    elif isinstance(data, str):
        source = _enclosed(data, name, f"{path}.file_data")
        if source["media_type"] in IMAGES:
            return {"type": "image", "source": source}
    else:
        raise AdapterError("A file needs `file_data` or `file_url`.", path)
    block: Json = {"type": "document", "source": source}
    if isinstance(name, str) and name.strip():
        block["title"] = name[:_TITLE_CHARACTERS]
    return block


def _enclosed(data: str, name: Any, path: str) -> Json:
    found = _DATA_URL.match(data)
    if found is not None:
        media, data = found["media"].lower(), data[found.end() :]
    else:
        # OpenAI takes plain base64 too, and then goes by the name
        media = PDF if not isinstance(name, str) or name.lower().endswith(".pdf") else "text/plain"
    kept, raw = _base64(data, path)
    if media == PDF or media in IMAGES:
        return {"type": "base64", "media_type": media, "data": kept}
    if media not in _TEXTS:
        raise AdapterError("A document must be a PDF or text.", path)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise AdapterError("A text document must be UTF-8.", path) from None
    if not text.strip():
        raise AdapterError("The document is empty.", path)
    return {"type": "text", "media_type": "text/plain", "data": text}


def _linked(url: str, path: str) -> Json:
    # the vendor fetches it, and only over TLS
    if not url.startswith("https://") or len(url) <= len("https://") or re.search(r"\s", url):
        raise AdapterError("A URL must begin with https://, or be a base64 data URL.", path)
    return {"type": "url", "url": url}


def _base64(data: str, path: str) -> tuple[str, bytes]:
    """The data as the API takes it, and what it encodes. Line breaks and missing padding, which OpenAI's API takes, are mended."""
    try:
        raw = binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        data = data.replace("\r", "").replace("\n", "").rstrip("=")
        data += "=" * (-len(data) % 4)
        try:
            raw = binascii.a2b_base64(data.encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            raise AdapterError("The data is not valid base64.", path) from None
    if not raw:
        raise AdapterError("The data is empty.", path)
    return data, raw
