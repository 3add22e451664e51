"""Request heads: what is written once, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream._base import Request
from proxy.upstream.heads import KEPT, MANAGED, Heads, header_lines

HEADERS = ((b"authorization", b"Bearer k"), (b"x-a", b""))


def test_a_head_names_the_host_once_and_asks_for_no_compression():
    head = Heads(b"a.example:8000").prefix(Request(b"POST", b"/v1/chat?x=y", HEADERS, b""))
    assert head == (
        b"POST /v1/chat?x=y HTTP/1.1\r\nhost: a.example:8000\r\naccept-encoding: identity\r\n"
        b"authorization: Bearer k\r\nx-a: \r\ncontent-length: "
    )


def test_a_head_for_a_forward_proxy_carries_the_whole_url_and_the_proxy_s_own_header():
    heads = Heads(b"a.example", b"http://a.example", ((b"proxy-authorization", b"Basic eA=="),))
    assert heads.prefix(Request(b"GET", b"/v1", (), b"")) == (
        b"GET http://a.example/v1 HTTP/1.1\r\nhost: a.example\r\naccept-encoding: identity\r\n"
        b"proxy-authorization: Basic eA==\r\ncontent-length: "
    )


def test_a_kept_head_is_not_mistaken_for_another():
    heads = Heads(b"a")
    for _ in range(2):
        for method in (b"GET", b"POST"):
            for path in (b"/a", b"/b"):
                for value in (b"1", b"2"):
                    head = heads.prefix(Request(method, path, ((b"x", value),), b""))
                    assert head == b"%b %b HTTP/1.1\r\nhost: a\r\naccept-encoding: identity\r\nx: %b\r\ncontent-length: " % (
                        method,
                        path,
                        value,
                    )


def test_the_heads_kept_are_bounded():
    heads = Heads(b"a")
    for at in range(10 * KEPT):
        heads.prefix(Request(b"GET", b"/%d" % at, HEADERS, b""))
    assert len(heads._kept) <= KEPT
    assert len(heads._request_lines) <= KEPT


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=4))
def test_whatever_the_headers_each_is_one_line_or_refused(headers):
    try:
        lines = header_lines(tuple(headers))
    except ValueError:
        return
    assert lines.split(b"\r\n") == [*(name + b": " + value for name, value in headers), b""]
    assert lines.count(b"\n") == lines.count(b"\r") == len(headers)


@pytest.mark.parametrize("name", sorted(MANAGED))
def test_what_frames_the_message_is_not_the_caller_s(name):
    for spelled in (name, name.upper(), name.title()):
        with pytest.raises(ValueError, match="is not a token, or is written by the client itself"):
            header_lines(((spelled, b"x"),))


def test_a_refused_value_is_not_quoted():
    with pytest.raises(ValueError, match=r"^a header value holds CR, LF or NUL$"):
        header_lines(((b"authorization", b"Bearer secret\r\n"),))
