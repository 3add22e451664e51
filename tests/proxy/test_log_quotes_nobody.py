"""An error inside the proxy is logged by its kind and its place: its own text may quote what a client asked or a model answered."""

from __future__ import annotations

import io
import json
import logging

import httpx
import pytest

from proxy.dataplane import finish
from proxy.telemetry import logs
from tests.harness import completion

WORDS = "the merger is called Hollyhock"
CLAUDE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "tool_use", "id": "t", "name": {"text": WORDS}, "input": {}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.fixture
def lines():
    """What `serve` writes to standard error, as text."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs._JsonFormatter())
    logger = logging.getLogger("greenlane")
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_an_error_that_quotes_an_answer_is_logged_without_its_text(proxy, upstream, lines, monkeypatch):
    def reply(call, served, hub, body, facts, account):
        try:
            {}[WORDS]
        except KeyError as error:
            raise ValueError(f"no number: {body!r}, {WORDS}") from error

    monkeypatch.setattr(finish, "reply", reply)
    host = upstream(completion)
    served = proxy(f'deployments:\n  only: {{model: small, base_url: "{host.url}", privacy: local}}\n')
    body = {"model": "small", "messages": [{"role": "user", "content": WORDS}]}
    answer = httpx.post(f"{served.url}/chat/completions", json=body, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    (line,) = [line for line in lines() if "exception" in line]
    assert WORDS not in str(line)
    assert "Hello" not in line["exception"]
    assert line["exception"].split()[0] == "File"
    assert "in reply" in line["exception"]
    assert "ValueError\n\nafter" in line["exception"]
    assert line["exception"].endswith("KeyError")


def test_the_system_s_own_errors_say_what_is_wrong():
    with pytest.raises(OSError, match="No space") as raised:
        raise OSError(28, "No space left on device")
    record = logging.LogRecord("greenlane", logging.ERROR, __file__, 1, "x", None, (OSError, raised.value, raised.tb))
    assert "No space left on device" in json.loads(logs._JsonFormatter().format(record))["exception"]


ROLES = ([WORDS], {"text": WORDS}, 1, None)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_a_role_that_is_no_text_is_the_client_s_error(proxy, upstream, lines, role, dialect):
    host = upstream()
    served = proxy(f'deployments:\n  only: {{model: small, dialect: {dialect}, base_url: "{host.url}", privacy: local}}\n')
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}, {"role": role, "content": WORDS}]}
    answer = httpx.post(f"{served.url}/chat/completions", json=body, timeout=60)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages[1].role")
    assert WORDS not in answer.text
    assert (host.requests, lines()) == ([], [])


def test_annotations_that_are_none_are_left_out_and_a_call_without_a_name_is_no_answer(proxy, upstream, lines):
    def answer(received, handler):
        if received.path.endswith("/messages"):
            handler.reply(200, CLAUDE)
            return
        message = {"role": "assistant", "content": "Hello", "annotations": 1}
        handler.reply(200, {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    host = upstream(answer)
    fleet = (
        f'deployments:\n  a: {{model: plain, base_url: "{host.url}"}}\n  b: {{model: claude, dialect: anthropic, base_url: "{host.url}"}}\n'
    )
    served = proxy(fleet)
    told = [httpx.post(f"{served.url}/responses", json={"model": model, "input": "Hi"}, timeout=60) for model in ("plain", "claude")]
    assert [each.status_code for each in told] == [200, 502]
    assert not any(WORDS in each.text for each in told)
    assert lines() == []
