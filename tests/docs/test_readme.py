"""README shows what a user gets: its screenful and its program's output are compared with a running proxy's."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout

import httpx
import pytest
from openai import OpenAI

from tests.docs.pages import blocks, text

README = text("README.md")
PLAIN = blocks(README, "")
CHANGING = {"date", "x-request-id", "x-greenlane-id"}


def following(start: str) -> str:
    """The block that shows what the block beginning so gives."""
    return PLAIN[next(index for index, block in enumerate(PLAIN) if block.startswith(start)) + 1]


@pytest.fixture(scope="module")
def answered(embedded_fleet) -> httpx.Response:
    command = next(block for block in PLAIN if block.startswith("curl -i http://127.0.0.1:8080/v1/chat/completions"))
    body = re.search(r"-d '(.*)'", command).group(1)
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.post(f"{embedded_fleet.url}/chat/completions", content=body, headers={"content-type": "application/json"})


def test_the_headers_shown_are_those_of_the_first_request(answered):
    shown = following("curl -i").partition("\n\n")[0].splitlines()
    assert shown[0] == f"{answered.http_version} {answered.status_code} {answered.reason_phrase}"
    pairs = [tuple(line.split(": ", 1)) for line in shown[1:]]
    got = [(name, value) for name, value in answered.headers.items()]
    assert [name for name, _ in pairs] == [name for name, _ in got]
    # the length varies with the length of the ids
    differ = {name for (name, value), (_, other) in zip(pairs, got, strict=True) if value != other}
    assert differ <= CHANGING | {"content-length"}


def test_the_body_shown_is_that_of_the_first_request(answered):
    shown = json.loads(following("curl -i").partition("\n\n")[2].replace("\n ", " "))
    got = answered.json()
    for each in (shown, got):
        each.pop("id")
        each.pop("created")
        each["usage"]["greenlane"].pop("id")
    assert shown == got


def test_the_program_prints_what_is_shown(embedded_fleet, monkeypatch):
    (program,) = blocks(README, "python")

    class Client(OpenAI):
        def __init__(self, *, base_url: str, api_key: str) -> None:
            assert base_url == "http://127.0.0.1:8080/v1"
            super().__init__(base_url=embedded_fleet.url, api_key=api_key)

    monkeypatch.setattr("openai.OpenAI", Client)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {})
    assert printed.getvalue() in PLAIN


def test_what_is_printed_at_the_start_is_what_is_shown(embedded_fleet, capsys, monkeypatch):
    from proxy import app

    shown = following("make run")
    runtime = embedded_fleet.runtime
    monkeypatch.setattr(runtime, "path", None)
    app.announce(runtime, 8080)
    app._say_fleet(runtime, [])
    printed = capsys.readouterr().out
    unversioned = [re.sub(r"configuration \w{12}", "configuration", each).rstrip("\n") for each in (shown, printed)]
    assert unversioned[0] == unversioned[1]
