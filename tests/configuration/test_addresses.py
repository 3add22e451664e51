"""URLs and headers of a deployment."""

from __future__ import annotations

import pytest

from proxy.config import Deployment
from proxy.configuration.addresses import check, check_ledger


def found(**settings: object) -> list[tuple[str, bool]]:
    deployment = Deployment(**({"model": "m", "base_url": "http://h/v1"} | settings))
    return [(finding.path[-1], finding.warning) for finding in check((), deployment)]


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "http://h:8000/v1/",
        "https://api.example.org/v1",
        "http://[::1]:8000/v1",
        "sim://north",
        "sim://north?ttft_s=0.5&tokens_per_s=10",
        "https://h/openai/v1beta",
    ],
)
def test_addresses_that_can_be_called(url):
    assert found(base_url=url) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:8000/v1",
        "//h/v1",
        "ftp://h",
        "http://",
        "http:///v1",
        "http://h:99999",
        "http://h:x",
        "http://h /v1",
        "http://h/\u00e9",
        "http://h/v1\r\nx: y",
        "http://user:secret@h/v1",
        "https://h/v1?api-version=1",
        "https://h/v1#x",
        "http://h/v1/chat/completions",
        "sim://north?speed=1",
        "sim://north?ttft_s=-1",
        "sim://",
    ],
)
def test_addresses_that_cannot(url):
    assert found(base_url=url) == [("base_url", False)]


def test_a_simulation_speaks_one_dialect():
    assert found(base_url="sim://x", dialect="gemini") == [("dialect", False)]


@pytest.mark.parametrize(
    ("url", "privacy", "warnings"),
    [
        ("https://api.openai.com/v1", "local", [("privacy", True)]),
        ("https://x.openai.azure.com", "local", [("privacy", True)]),
        ("https://x.openai.azure.com", "private", []),
        ("https://notopenai.com/v1", "local", []),
    ],
)
def test_a_vendors_host_that_is_called_local_is_odd(url, privacy, warnings):
    assert found(base_url=url, privacy=privacy) == warnings


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("http://api.example.org/v1", [("base_url", True)]),
        ("https://api.example.org/v1", []),
        ("http://10.0.0.1/v1", []),
        ("http://172.20.0.1/v1", []),
        ("http://llm.svc.cluster.local/v1", []),
        ("http://vllm:8000/v1", []),
    ],
)
def test_a_key_in_the_clear_over_the_open_network_is_odd(url, warnings):
    assert found(base_url=url, api_key="env:K") == warnings


@pytest.mark.parametrize(("url", "problems"), [("http://p:3128", []), ("socks5h://p:1080", []), ("p:3128", 1), ("http://u:s@p", 1)])
def test_a_forward_proxy_has_an_address_and_no_credentials(url, problems):
    assert found(forward_proxy=url) == ([("forward_proxy", False)] if problems else [])


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("x-tenant", "blue team", True),
        ("OpenAI-Organization", "org-1", True),
        ("x tenant", "a", False),
        ("x-tenant", "a\r\nb: c", False),
        ("x-tenant", "", False),
        ("x-tenant", " a", False),
        ("x-tenant", "\u00e9", False),
        ("Authorization", "Bearer s", False),
        ("X-Api-Key", "s", False),
        ("Host", "h", False),
        ("transfer-encoding", "chunked", False),
    ],
)
def test_headers_are_headers_and_carry_no_secret(name, value, good):
    assert found(headers={name: value}) == ([] if good else [(name, False)])


LEDGER_FORM = ("is written sqlite:///FILE or postgresql://USER@HOST/NAME", False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///greenlane.db", []),
        ("sqlite+aiosqlite:////var/greenlane.db", []),
        ("postgresql://ledger@db.internal:5432/greenlane?sslmode=require", []),
        ("env:LEDGER_URL", []),
        ("file:/run/secrets/ledger", []),
        ("postgres://u:hunter2@h/db", [("has a password in it: write env:NAME or file:PATH, and the URL there", True)]),
        ("mysql://root:hunter2@h/db", [LEDGER_FORM]),
        ("postgresql://u:hunter2@[h/db", [LEDGER_FORM]),
        ("greenlane.db", [LEDGER_FORM]),
    ],
)
def test_a_ledger_url_is_of_a_database_we_know_and_its_password_is_not_in_the_file(url, told):
    assert [(finding.message, finding.warning) for finding in check_ledger(url)] == told
