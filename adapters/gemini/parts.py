"""Content parts of a hub message as Gemini's parts: text, inline data, files by URL.

References: https://ai.google.dev/api/caching#Part, https://ai.google.dev/gemini-api/docs/file-input-methods
"""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from adapters._base import AdapterError, Json
from adapters.gemini.resolution import marked

_DATA = re.compile(r"\Adata:(?P<mime>[^;,]*)(?P<parameters>(?:;[^;,]*)*),")
_KINDS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/md",
    "csv": "text/csv",
    "html": "text/html",
    "xml": "text/xml",
    "json": "text/plain",
    "py": "text/plain",
    "js": "text/plain",
    "css": "text/css",
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpg",
    "mov": "video/mov",
    "avi": "video/avi",
    "flv": "video/x-flv",
    "webm": "video/webm",
    "wmv": "video/wmv",
    "3gp": "video/3gpp",
}
"""Suffix → type, of what the pages on images, documents, audio and video understanding list."""
_ALIASES = {
    "image/jpg": "image/jpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mpeg": "audio/mp3",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "video/quicktime": "video/mov",
    "video/x-msvideo": "video/avi",
    "video/x-ms-wmv": "video/wmv",
    "text/markdown": "text/md",
    "application/xml": "text/xml",
    "application/json": "text/plain",
    "application/x-javascript": "text/plain",
    "application/javascript": "text/plain",
}
_KNOWN = frozenset(_KINDS.values())
_FILES = "https://generativelanguage.googleapis.com/"
_TEXT = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def parts_of(content: Any, path: str) -> list[Json]:
    """Gemini's parts of a message's content; empty texts are left out, because the API refuses parts without data."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"text": content}]
    if not isinstance(content, list):
        raise AdapterError("Content must be a string or an array of parts.", path)
    parts = [_part(part, f"{path}[{number}]") for number, part in enumerate(content)]
    return [part for part in parts if part is not None]


def text_of(content: Any, path: str) -> str:
    """Content that may be text only (system instructions). Raises AdapterError for anything else."""
    parts = parts_of(content, path)
    for number, part in enumerate(parts):
        if "text" not in part:
            raise AdapterError("Only text can be passed on here.", f"{path}[{number}]")
    return "\n\n".join(part["text"] for part in parts)


def _part(part: Any, path: str) -> Json | None:
    if not isinstance(part, dict):
        raise AdapterError("A content part must be an object.", path)
    kind = part.get("type")
    if kind in _TEXT:
        text = _string(part, _TEXT[kind], path)
        return {"text": text} if text else None
    if kind in ("image_url", "video_url"):
        inner = part.get(kind)
        url = inner.get("url") if isinstance(inner, dict) else inner
        if kind == "video_url":
            return _from_url(url, f"{path}.{kind}.url", fallback="video/mp4")
        return marked(_from_url(url, f"{path}.{kind}.url", fallback="image/jpeg"), inner)
    if kind == "input_audio":
        return _audio(part.get("input_audio"), f"{path}.input_audio")
    if kind == "file":
        return _file(part.get("file"), f"{path}.file")
    raise AdapterError("This kind of content part cannot be passed on to Gemini.", f"{path}.type")


def _from_url(url: Any, path: str, *, fallback: str) -> Json:
    if not isinstance(url, str) or not url:
        raise AdapterError("A URL is expected.", path)
    if url.startswith("data:"):
        return _inline(url, path, fallback)
    if not url.startswith(("https://", "http://", "gs://")):
        raise AdapterError("Only https:, http:, gs: and data: URLs can be passed on.", path)
    found: Json = {"fileUri": url}
    mime = _by_suffix(urlsplit(url).path)
    if mime is not None:
        found["mimeType"] = mime
    return {"fileData": found}


def _inline(url: str, path: str, fallback: str) -> Json:
    head = _DATA.match(url)
    if head is None:
        raise AdapterError("The data: URL is malformed.", path)
    mime = _mime(head["mime"] or fallback, path)
    data = url[head.end() :]
    if ";base64" not in head["parameters"].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return _blob(mime, data, path)


def _audio(audio: Any, path: str) -> Json:
    if not isinstance(audio, dict):
        raise AdapterError("An object with `data` and `format` is expected.", path)
    form = audio.get("format")
    mime = _KINDS.get(form) if isinstance(form, str) else None
    if mime is None or not mime.startswith("audio/"):
        raise AdapterError("This audio format cannot be passed on to Gemini.", f"{path}.format")
    return _blob(mime, audio.get("data"), f"{path}.data")


def _file(file: Any, path: str) -> Json:
    if not isinstance(file, dict):
        raise AdapterError("An object is expected.", path)
    if file.get("file_data") is not None:
        data = file["file_data"]
        name = file.get("filename")
        mime = (_by_suffix(name) if isinstance(name, str) else None) or "application/pdf"
        if isinstance(data, str) and data.startswith("data:"):
            return _inline(data, f"{path}.file_data", mime)
        return _blob(mime, data, f"{path}.file_data")
    if file.get("file_url") is not None:
        return _from_url(file["file_url"], f"{path}.file_url", fallback="application/pdf")
    identifier = file.get("file_id")
    if isinstance(identifier, str) and identifier.startswith(_FILES):
        return {"fileData": {"fileUri": identifier}}
    raise AdapterError("A file of another vendor's storage cannot be passed on to Gemini; send its data or its URL.", f"{path}.file_id")


def _blob(mime: str, data: Any, path: str) -> Json:
    if not isinstance(data, str) or not data:
        raise AdapterError("Base64 data is expected.", path)
    return {"inlineData": {"mimeType": mime, "data": data}}


def _mime(told: str, path: str) -> str:
    mime = told.strip().lower()
    mime = _ALIASES.get(mime, mime)
    if mime not in _KNOWN and not mime.startswith("text/"):
        raise AdapterError("Files of this media type cannot be passed on to Gemini.", path)
    return mime


def _by_suffix(name: str) -> str | None:
    return _KINDS.get(name.rpartition(".")[2].lower()) if "." in name else None


def _string(part: Json, name: str, path: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise AdapterError("A string is expected.", f"{path}.{name}")
    return value
