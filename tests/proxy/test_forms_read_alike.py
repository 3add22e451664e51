"""Form bodies that another reader than ours would read otherwise: the host behind us must find the model and the wishes that we found."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import serving

FLEET = """
deployments:
  north: {{model: small, base_url: "{url}", upstream_model: up-small}}
"""
TYPE = "multipart/form-data; boundary=AAA"
FILE = b'--AAA\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\nRIFF\r\n'
SMALL = b'--AAA\r\ncontent-disposition: form-data; name="model"\r\n\r\nsmall\r\n'
END = b"--AAA--\r\n"


def part(disposition, value=b"large"):
    return b"--AAA\r\n" + disposition + b"\r\n\r\n" + value + b"\r\n"


SECOND = {
    "without quotes": part(b"content-disposition: form-data; name=model"),
    "as a file": part(b'content-disposition: form-data; name="model"; filename=""'),
    "escaped": part(rb'content-disposition: form-data; name="mod\el"'),
    "in another coding": part(b"content-disposition: form-data; name*=utf-8''model"),
    "in pieces": part(b"content-disposition: form-data; name*0=mod; name*1=el"),
    "named twice": part(b'content-disposition: form-data; name="x"; name="model"'),
    "in a folded line": part(b'content-disposition: form-data;\r\n name="model"'),
    "in a line of its own": part(b'content-disposition: form-data; name="x"\ncontent-disposition: form-data; name="model"'),
    "in a second header": part(b'content-disposition: form-data; name="x"\r\ncontent-disposition: form-data; name="model"'),
    "with a space before the colon": part(b'content-disposition : form-data; name="model"'),
    "in upper case": part(b'CONTENT-DISPOSITION: FORM-DATA; NAME="model"'),
    "very long": part(b'content-disposition: form-data; name="model"', b"large" + b" " * 70_000),
    "not as form data": part(b'content-disposition: attachment; name="model"'),
    "behind a boundary that goes on": b'--AAAB\r\ncontent-disposition: form-data; name="model"\r\n\r\nlarge\r\n',
}
TYPES = {
    "two boundaries": "multipart/form-data; boundary=AAA; boundary=BBB",
    "one within another's name": "multipart/form-data; xboundary=AAA; boundary=BBB",
    "one in pieces": "multipart/form-data; boundary=AAA; boundary*0=BBB",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("forms")) as made:
        made.host.answer = lambda _, handler: handler.reply(200, {"text": "Hello"})
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    return shared


def send(served, body, kind=TYPE):
    return httpx.post(f"{served.url}/audio/transcriptions", content=body, headers={"content-type": kind}, timeout=60)


@pytest.mark.parametrize("case", SECOND)
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_second_model_is_refused_however_it_is_written(served, case, first):
    both = SECOND[case] + SMALL if first else SMALL + SECOND[case]
    assert send(served, both + FILE + END).status_code == 400
    assert served.host.requests == []


@pytest.mark.parametrize("case", TYPES)
def test_a_second_boundary_is_refused(served, case):
    other = SMALL.replace(b"AAA", b"BBB").replace(b"small", b"large")
    assert send(served, SMALL + other + END + b"--BBB--\r\n", TYPES[case]).status_code == 400
    assert served.host.requests == []


def test_a_boundary_with_a_backslash_is_refused(served):
    escaped = (SMALL + FILE + END).replace(b"AAA", rb"A\AA")
    large = SMALL.replace(b"small", b"large")
    assert send(served, large + FILE + END + escaped, 'multipart/form-data; boundary="A\\AA"').status_code == 400
    assert served.host.requests == []


LINES = {
    "within a value": SMALL + FILE.replace(b"RIFF", b"RIFF\n" + part(b'content-disposition: form-data; name="model"').rstrip()) + END,
    "within a value, of returns": SMALL
    + FILE.replace(b"RIFF", b"RIFF\r" + part(b'content-disposition: form-data; name="model"').rstrip())
    + END,
    "before the first": b"x\n"
    + part(b'content-disposition: form-data; name="model"').replace(b"\r\n", b"\n")
    + b"--AAA--\n\r\n"
    + SMALL
    + FILE
    + END,
    "behind the last": SMALL + FILE + b"--AAA--x\r\n" + part(b'content-disposition: form-data; name="model"') + END,
}


def test_a_form_of_very_many_parts_is_refused(served):
    """Half a million of them would hold the loop for seconds."""
    many = b"".join(b'--AAA\r\ncontent-disposition: form-data; name="p%d"\r\n\r\nx\r\n' % number for number in range(2000))
    assert send(served, SMALL + FILE + many + END).status_code == 400
    assert served.host.requests == []
    few = many[: many.index(b"--AAA", many.index(b"p1990"))]
    assert send(served, SMALL + FILE + few + END).status_code == 200


@pytest.mark.parametrize("where", LINES)
def test_a_boundary_in_another_place_is_refused(served, where):
    assert send(served, LINES[where]).status_code == 400
    assert served.host.requests == []


@pytest.mark.parametrize("quoted", [b'name="model"', b"name=model", b'NAME="model"'])
def test_a_model_is_found_however_it_is_written(served, quoted):
    alone = b"--AAA\r\nX-A: b\r\nContent-Disposition: form-data; " + quoted + b"\r\nContent-Type: text/plain\r\n\r\nsmall\r\n"
    assert send(served, alone + FILE + END).status_code == 200
    assert served.host.requests[0].body == alone.replace(b"small", b"up-small") + FILE + END


def test_a_name_in_another_line_is_none(served):
    odd = b'--AAA\r\nX-A: name="model"\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nsmall\r\n'
    assert send(served, odd + FILE + END).status_code == 400
    assert send(served, odd + SMALL + FILE + END).status_code == 200
    assert served.host.requests[0].body == odd + SMALL.replace(b"small", b"up-small") + FILE + END


def test_what_stands_before_the_first_boundary_is_no_part(served):
    before = b"There was " + SMALL.replace(b"small", b"large")
    assert send(served, before + SMALL + FILE + END).status_code == 200
    assert served.host.requests[0].body == before + SMALL.replace(b"small", b"up-small") + FILE + END


WRITTEN = {
    "by .NET": (
        'multipart/form-data; boundary="5b-A"',
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=model",
        b"Content-Type: audio/wav\r\nContent-Disposition: form-data; name=file; filename=a.wav; filename*=utf-8''a.wav",
    ),
    "by Jersey": (
        "multipart/form-data;boundary=Boundary_1_2_3",
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data; filename="a.wav"; modification-date="Mon, 02 Nov 2026 10:00:00 GMT"; size=4; name="file"',
    ),
    "with semicolons behind": (
        TYPE,
        b'Content-Disposition: form-data; name="model";',
        b'Content-Disposition: form-data; name="file"; filename="a.wav"; ',
    ),
    "by Java's mail": (
        'multipart/form-data; boundary="----=_Part_0_1.2"; charset=UTF-8',
        b'Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: 8bit',
        b"Content-Disposition: form-data; name=\"file\"; filename*0*=UTF-8''a; filename*1=.wav",
    ),
    "by aiohttp": (
        TYPE,
        b'Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\nContent-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data; name="file"; filename="a%20b;.wav"; filename*=utf-8\'\'a%20b.wav',
    ),
    "by a browser": (
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        b'Content-Disposition: form-data; name="model"',
        b'Content-Disposition: form-data; name="file"; filename="C:\\a %22x%22; \xe6\x97\xa5.wav"\r\nContent-Type: audio/wav',
    ),
}


@pytest.mark.parametrize("before", [b"", b"\r\n"], ids=["", "behind an empty line"])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n"], ids=["", "a line", "two lines"])
@pytest.mark.parametrize("by", WRITTEN)
def test_what_clients_write_is_read(served, by, end, before):
    kind, model, file = WRITTEN[by]
    mark = b"--" + kind.partition("boundary=")[2].partition("; charset")[0].strip('"').encode()
    body = before + b"%b\r\n%b\r\n\r\nsmall\r\n%b\r\n%b\r\n\r\nRIFF\n--\r\n%b--%b" % (mark, model, mark, file, mark, end)
    assert send(served, body, kind).status_code == 200
    assert served.host.requests[0].body == body.replace(b"small", b"up-small")
