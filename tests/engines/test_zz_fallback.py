"""An engine that dies: another answers, and the dead one is left alone. Runs last, because it kills one."""

from __future__ import annotations

import signal

import httpx
import openai

from tests.engines.fleet import Engines, Proxy

ASK = [{"role": "user", "content": "Say hello"}]


def _asked(client: openai.OpenAI) -> dict[str, str]:
    raw = client.chat.completions.with_raw_response.create(model="failing", messages=ASK, max_tokens=4)
    assert raw.parse().choices[0].message.content
    return {name: raw.headers[f"x-greenlane-{name}"] for name in ("deployment", "attempts", "reason", "id")}


def test_another_engine_answers_when_one_is_killed_and_the_breaker_opens(
    client: openai.OpenAI, engines: Engines, proxy: Proxy, wire: httpx.Client
) -> None:
    assert (_asked(client)["deployment"], proxy.metric("greenlane_deployment_up", deployment="failing-first")) == ("failing-first", 1)

    engines.spare.process.send_signal(signal.SIGKILL)
    engines.spare.process.wait(10)
    answers = [_asked(client) for _ in range(5)]

    assert {answer["deployment"] for answer in answers} == {"failing-second"}
    assert [answer["attempts"] for answer in answers] == ["2", "2", "2", "1", "1"]
    assert answers[0]["reason"] == "fallback"
    assert proxy.metric("greenlane_deployment_up", deployment="failing-first") == 0
    assert proxy.metric("greenlane_upstream_errors_total", deployment="failing-first") == 3
    entry = wire.get(f"/greenlane/requests/{answers[0]['id']}").json()
    assert [(tried["deployment"], tried["kind"]) for tried in entry["attempts"]] == [("failing-first", "connect"), ("failing-second", "ok")]
