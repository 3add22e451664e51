"""A base_url as host, port, prefix and authority."""

from __future__ import annotations

import pytest

from proxy.upstream.endpoint import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("url", "endpoint", "authority", "tunnel"),
    [
        ("http://a.example", Endpoint("http", "a.example", 80, ""), b"a.example", b"a.example:80"),
        ("https://A.example/v1/", Endpoint("https", "a.example", 443, "/v1"), b"a.example", b"a.example:443"),
        ("https://a.example:8443/v1", Endpoint("https", "a.example", 8443, "/v1"), b"a.example:8443", b"a.example:8443"),
        ("http://127.0.0.1:8000/a/b", Endpoint("http", "127.0.0.1", 8000, "/a/b"), b"127.0.0.1:8000", b"127.0.0.1:8000"),
        ("http://[::1]:8000", Endpoint("http", "::1", 8000, ""), b"[::1]:8000", b"[::1]:8000"),
        ("https://[fd00::1]/v1", Endpoint("https", "fd00::1", 443, "/v1"), b"[fd00::1]", b"[fd00::1]:443"),
        (
            "https://bücher.example",
            Endpoint("https", "xn--bcher-kva.example", 443, ""),
            b"xn--bcher-kva.example",
            b"xn--bcher-kva.example:443",
        ),
        ("http://vllm_eu:8000", Endpoint("http", "vllm_eu", 8000, ""), b"vllm_eu:8000", b"vllm_eu:8000"),
    ],
)
def test_a_base_url_is(url, endpoint, authority, tunnel):
    parsed = parse_endpoint(url)
    assert (parsed, parsed.authority, parsed.tunnel) == (endpoint, authority, tunnel)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://a.example", "http:// or https://"),
        ("a.example", "http:// or https://"),
        ("https://user:secret@a.example", "without user name and password"),
        ("https://a.example/?key=1", "without query and fragment"),
        ("https://a.example/#x", "without query and fragment"),
        ("https:///v1", "with a host"),
        ("https://a.example/a b", "visible ASCII"),
        ("https://a.example/ü", "visible ASCII"),
        ("https://a.example:0", "port from 1"),
        ("https://a.example:99999", "range 0-65535"),
        ("https://a..example", "letters, digits"),
        ("https://a%0d%0a.example", "letters, digits"),
    ],
)
def test_a_base_url_that_cannot_work_is_refused_with_the_reason(url, message):
    with pytest.raises(ValueError, match=message) as refused:
        parse_endpoint(url)
    assert "secret" not in str(refused.value)
