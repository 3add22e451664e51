"""Form bodies (`multipart/form-data`): the small text fields are read, one is replaced, files stay the bytes they were."""

from __future__ import annotations

import re
from typing import NamedTuple

from adapters._base import AdapterError

FIELD_BYTES = 64 * 1024
"""Text fields up to this size are read; what is larger is a file."""
PARTS = 2000
"""As many as Starlette takes, on which most hosts are built: 1,000 fields and 1,000 files."""
_BOUNDARY = re.compile(rb'boundary=(?:"([^"\\]{1,200})"|([^\s;"\\]{1,200}))', re.IGNORECASE)
_SAID = re.compile(rb"boundary(?:\*[0-9*]*)?\s*=", re.IGNORECASE)
_DISPOSITION = re.compile(rb"(?:\A|\r\n)content-disposition:[ \t]*([^\r\n]*)", re.IGNORECASE)
_BROKEN = re.compile(rb"\r\n[ \t]|\r(?!\n)|(?<!\r)\n|\0")
_PARAMETER = re.compile(rb';[ \t]*([A-Za-z0-9*_-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"\\]+))[ \t]*(?:;[ \t]*\Z)?')
"""Not every client leaves out the semicolon behind the last."""
_FORM_DATA = re.compile(rb"form-data[ \t]*", re.IGNORECASE)
_OURS = ("model", "greenlane", "n")
"""Decide where a form goes and what it may cost: nobody behind us may find another field of that name, or another value."""


class Field(NamedTuple):
    """A text field: where its value lies in the body, and where its part begins (at its boundary)."""

    start: int
    end: int
    part: int


def fields(body: bytes, content_type: bytes) -> dict[str, Field]:
    """The text fields by name. Raises AdapterError for a body that is not what its content type says."""
    found = _BOUNDARY.search(content_type)
    if found is None or len(_SAID.findall(content_type)) > 1:
        raise AdapterError("The content type must name one multipart boundary.")
    mark = b"--" + (found[1] or found[2])
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if at == 1:
        raise AdapterError("The body has no part with the boundary that its content type names.")
    result: dict[str, Field] = {}
    for number in range(1, PARTS + 2):
        at += len(mark)
        if body.startswith(b"--", at):
            # to some a line ends with a line feed alone, to others a part begins behind the last
            if body.startswith(mark) + body.count(b"\n" + mark) + body.count(b"\r" + mark) > number:
                raise AdapterError("A boundary stands where not every reader finds it.")
            return result
        head_end = body.find(b"\r\n\r\n", at)
        following = body.find(b"\r\n" + mark, head_end)
        if head_end < 0 or following < 0 or not body.startswith(b"\r\n", at):
            raise AdapterError("The multipart body is cut short.")
        label, file = _named(body[at + 2 : head_end])
        short = following - head_end - 4 <= FIELD_BYTES
        if label in _OURS and (label in result or file or not short):
            raise AdapterError(f"`{label}` {'is given twice' if label in result else 'must be a short field of text'}.", label)
        if label is not None and not file and short:
            result[label] = Field(head_end + 4, following, at - len(mark))
        at = following + 2
    raise AdapterError(f"The form has more than {PARTS} parts.")


def _named(head: bytes) -> tuple[str | None, bool]:
    """The name of a part, and whether it is a file. Raises AdapterError where readers may differ about them: one of them is behind us."""
    dispositions = _DISPOSITION.findall(head)
    begun = None if len(dispositions) != 1 or _BROKEN.search(head) else _FORM_DATA.match(dispositions[0])
    if begun is None:
        raise AdapterError("A part of the form has no plain Content-Disposition.")
    told, at = dispositions[0], begun.end()
    parameters: dict[bytes, bytes] = {}
    while at < len(told):
        found = _PARAMETER.match(told, at)
        name = b"" if found is None else found[1].lower()
        if found is None or name in parameters or name.startswith(b"name*"):
            raise AdapterError("A part of the form has no plain Content-Disposition.")
        parameters[name] = found[2] if found[3] is None else found[3]
        at = found.end()
    label = parameters.get(b"name")
    if label is not None and b"\\" in label:
        raise AdapterError("The name of a form field holds a backslash.")
    file = any(name == b"filename" or name.startswith(b"filename*") for name in parameters)
    return None if label is None else label.decode("utf-8", "replace"), file


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
