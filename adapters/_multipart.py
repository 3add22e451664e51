"""Form bodies (`multipart/form-data`): the small text fields are read, one is replaced, files stay the bytes they were."""

from __future__ import annotations

import re
from typing import NamedTuple

from adapters._base import AdapterError

FIELD_BYTES = 64 * 1024
"""Text fields up to this size are read; what is larger is a file."""
_BOUNDARY = re.compile(rb'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(rb"\bfilename\*?=", re.IGNORECASE)


class Field(NamedTuple):
    """A text field: where its value lies in the body, and where its part begins (at its boundary)."""

    start: int
    end: int
    part: int


def fields(body: bytes, content_type: bytes) -> dict[str, Field]:
    """The text fields by name. Raises AdapterError for a body that is not what its content type says."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise AdapterError("The content type names no multipart boundary.")
    mark = b"--" + (found[1] or found[2])
    at = body.find(mark)
    if at < 0:
        raise AdapterError("The body has no part with the boundary that its content type names.")
    result: dict[str, Field] = {}
    while True:
        at += len(mark)
        if body.startswith(b"--", at):
            return result
        head_end = body.find(b"\r\n\r\n", at)
        following = body.find(b"\r\n" + mark, head_end)
        if head_end < 0 or following < 0:
            raise AdapterError("The multipart body is cut short.")
        head = body[at:head_end]
        name = _NAME.search(head)
        if name is not None and not _FILENAME.search(head) and following - head_end - 4 <= FIELD_BYTES:
            label = name[1].decode("utf-8", "replace")
            if label in result and label in ("model", "greenlane"):
                raise AdapterError(f"`{label}` is given twice.", label)
            result[label] = Field(head_end + 4, following, at - len(mark))
        at = following + 2


def text(body: bytes, field: Field) -> str:
    """A field's value. Raises AdapterError where it is not UTF-8."""
    try:
        return body[field.start : field.end].decode()
    except UnicodeDecodeError:
        raise AdapterError("A form field is not valid UTF-8.") from None


def without(body: bytes, field: Field) -> bytes:
    """The body with a field's whole part cut out."""
    return body[: field.part] + body[field.end + 2 :]


def added(body: bytes, content_type: bytes, name: bytes, value: bytes) -> bytes:
    """The body with one more text field, before the others. `content_type` is one that `fields` could read."""
    found = _BOUNDARY.search(content_type)
    mark = b"--" + (found[1] or found[2] if found else b"")
    return b'%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n%b' % (mark, name, value, body[body.find(mark) :])


def replaced(body: bytes, field: Field, value: bytes) -> bytes:
    """The body with one field's value replaced."""
    return body if body[field.start : field.end] == value else body[: field.start] + value + body[field.end :]
