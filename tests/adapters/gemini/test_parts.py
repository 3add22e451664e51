"""Content parts: https://ai.google.dev/api/caching#Part; media: https://ai.google.dev/gemini-api/docs/file-input-methods."""

import pytest

from adapters._base import AdapterError
from adapters.gemini.parts import parts_of, text_of


def inline(mime, data="AAAA"):
    return {"inlineData": {"mimeType": mime, "data": data}}


def linked(uri, mime=None):
    return {"fileData": {"fileUri": uri} if mime is None else {"fileUri": uri, "mimeType": mime}}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a"}, {"text": "a"}),
        ({"type": "refusal", "refusal": "no"}, {"text": "no"}),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}}, inline("image/png")),
        ({"type": "image_url", "image_url": {"url": "data:image/jpg;charset=x;base64,AAAA"}}, inline("image/jpeg")),
        ({"type": "image_url", "image_url": "data:;base64,AAAA"}, inline("image/jpeg")),
        ({"type": "image_url", "image_url": {"url": "https://x.org/a.PNG?s=1"}}, linked("https://x.org/a.PNG?s=1", "image/png")),
        ({"type": "image_url", "image_url": {"url": "https://x.org/pic"}}, linked("https://x.org/pic")),
        ({"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}, linked("https://youtu.be/x")),
        ({"type": "video_url", "video_url": {"url": "data:video/quicktime;base64,AAAA"}}, inline("video/mov")),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, inline("audio/mp3")),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}, inline("application/pdf")),
        ({"type": "file", "file": {"file_data": "AAAA", "filename": "a.csv"}}, inline("text/csv")),
        ({"type": "file", "file": {"file_data": "AAAA"}}, inline("application/pdf")),
        ({"type": "file", "file": {"file_data": "data:text/plain,a%20b"}}, inline("text/plain", "YSBi")),
        ({"type": "file", "file": {"file_data": "data:application/json;base64,AAAA"}}, inline("text/plain")),
        ({"type": "file", "file": {"file_url": "https://x.org/a.pdf"}}, linked("https://x.org/a.pdf", "application/pdf")),
        (
            {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/a"}},
            linked("https://generativelanguage.googleapis.com/v1beta/files/a"),
        ),
    ],
)
def test_each_kind_of_part_has_its_form(part, expected):
    assert parts_of([part], "p") == [expected]


@pytest.mark.parametrize("content", [None, "", [], [{"type": "text", "text": ""}]])
def test_what_says_nothing_is_left_out(content):
    assert parts_of(content, "p") == []


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ("text", "p[0]"),
        ({"type": "text"}, "p[0].text"),
        ({"type": "input_video"}, "p[0].type"),
        ({"type": "image_url", "image_url": {}}, "p[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}}, "p[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png"}}, "p[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "p[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "p[0].image_url.url"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "pcm16"}}, "p[0].input_audio.format"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "png"}}, "p[0].input_audio.format"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "p[0].input_audio.data"),
        ({"type": "file", "file": {"file_id": "file-abc"}}, "p[0].file.file_id"),
        ({"type": "file", "file": {"file_data": "data:application/msword;base64,AAAA"}}, "p[0].file.file_data"),
    ],
)
def test_what_gemini_cannot_take_is_refused_by_its_place(part, param):
    with pytest.raises(AdapterError) as refused:
        parts_of([part], "p")
    assert refused.value.param == param


def test_text_alone_is_joined():
    assert text_of([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "p") == "a\n\nb"
