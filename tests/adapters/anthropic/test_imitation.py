"""The imitation itself: the vendor's own client library talks to it, and it refuses what the API refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx
import httpx2
import pytest

from adapters._base import Target
from adapters.anthropic import ADAPTER
from tests.imitations.anthropic import FAILING, KEY, SCENARIOS, Imitation, create_app
from tests.imitations.anthropic_rules import RefusedError, check, sign

Json = dict[str, Any]
BODY: Json = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "How are you?"}]}
HEADERS = {"x-api-key": KEY, "anthropic-version": "2026-10-21"}


async def _post(imitation: Imitation, body: Any, headers: dict[str, str], path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=imitation), base_url="http://imitation") as client:  # type: ignore[arg-type]
        return await client.post(path, json=body, headers=headers)


def post(imitation: Imitation, body: Any = BODY, headers: dict[str, str] = HEADERS, path: str = "/v1/messages") -> httpx.Response:
    return asyncio.run(_post(imitation, body, headers, path))


async def _talk(imitation: Imitation, *, stream: bool, **body: Any) -> Any:
    transport = httpx2.ASGITransport(app=imitation)
    async with httpx2.AsyncClient(transport=transport, base_url="http://imitation") as http:
        client = anthropic.AsyncAnthropic(api_key=KEY, base_url="http://imitation", http_client=http, max_retries=0)
        if not stream:
            return await client.messages.create(**{**BODY, **body})
        async with client.messages.stream(**{**BODY, **body}) as events:
            return await events.get_final_message()


def talk(imitation: Imitation, *, stream: bool = False, **body: Any) -> Any:
    return asyncio.run(_talk(imitation, stream=stream, **body))


TOOL = {"name": "clock", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def test_the_vendor_s_client_gets_an_answer_made_of_its_words() -> None:
    imitation = create_app()
    answer = talk(imitation)
    assert [block.text for block in answer.content] == ["You said 3 words and ended with you?."]
    assert answer.stop_reason == "end_turn"
    assert imitation.received == 1
    assert imitation.last.body["messages"] == BODY["messages"]
    assert imitation.last.headers["anthropic-version"] == "2026-10-21"


@pytest.mark.parametrize("scenario", ["text", "tools", "parallel_tools", "empty_tool", "thinking", "thinking_tools", "refusal", "pings"])
def test_the_vendor_s_client_reads_the_same_from_stream_and_answer(scenario: str) -> None:
    told = [talk(create_app(scenario=scenario), stream=stream, tools=[TOOL]).model_dump() for stream in (False, True)]
    for message in told:
        message.pop("id")
        for block in message["content"]:
            block.pop("parsed_output", None)
    assert told[0]["content"] == told[1]["content"]
    assert told[0]["stop_reason"] == told[1]["stop_reason"]


def test_what_it_thought_it_takes_back() -> None:
    imitation = create_app(scenario="thinking_tools")
    first = talk(imitation, tools=[TOOL])
    call = first.content[-1]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "noon"}]}
    blocks = [block.model_dump(exclude_none=True) for block in first.content]
    second = [*BODY["messages"], {"role": "assistant", "content": blocks}, result]
    imitation.scenario = "text"
    assert talk(imitation, tools=[TOOL], messages=second).content[0].text == "You said 1 words and ended with noon."
    blocks[0]["thinking"] += " changed"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        talk(imitation, tools=[TOOL], messages=second)


def test_a_marked_prefix_is_written_once_and_then_read() -> None:
    imitation = create_app()
    marked = [{"type": "text", "text": "A long manual.", "cache_control": {"type": "ephemeral"}}]
    first, second = talk(imitation, system=marked).usage, talk(imitation, system=marked).usage
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens > 0
    assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0
    assert first.input_tokens == second.input_tokens


def test_stop_sequences_and_max_tokens_cut_the_answer() -> None:
    assert talk(create_app(), stop_sequences=["words"]).stop_sequence == "words"
    short = talk(create_app(), max_tokens=2)
    assert (short.content[0].text, short.stop_reason) == ("You said", "max_tokens")


def test_a_format_is_kept() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    answer = talk(create_app(), output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(answer.content[0].text) == {"n": 4}


@pytest.mark.parametrize("scenario", sorted(FAILING))
def test_failing_scenarios_answer_with_the_vendor_s_error(scenario: str) -> None:
    status, kind, message = FAILING[scenario]
    answer = post(create_app(scenario=scenario))
    assert answer.status_code == status
    assert answer.json() == {"type": "error", "error": {"type": kind, "message": message}, "request_id": answer.headers["request-id"]}
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    assert KEY not in ADAPTER.fault(status, answer.content).message


def test_a_scenario_is_chosen_by_header_model_or_setting() -> None:
    assert post(create_app(), {**BODY, "model": "claude-opus-5-5--overloaded"}).status_code == 529
    assert post(create_app(), headers={**HEADERS, "x-imitate": "html_500"}).headers["content-type"] == "text/html"
    assert "text" in SCENARIOS


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"anthropic-version": "2026-10-21"}, 401, "x-api-key header is required"),
        ({**HEADERS, "x-api-key": "sk-ant-other"}, 401, "invalid x-api-key"),
        ({"x-api-key": KEY}, 400, "anthropic-version: header is required"),
        ({**HEADERS, "anthropic-version": "2020-01-01"}, 400, 'anthropic-version: "2020-01-01" is not a valid version'),
        ({**HEADERS, "content-type": "text/plain"}, 400, "content-type: must be application/json"),
    ],
)
def test_headers_are_checked(headers: dict[str, str], status: int, message: str) -> None:
    answer = post(create_app(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)


def test_a_bearer_token_is_taken_too() -> None:
    assert post(create_app(), headers={"authorization": f"Bearer {KEY}", "anthropic-version": "2026-10-21"}).status_code == 200


def test_other_paths_and_models_are_not_found() -> None:
    assert post(create_app(), path="/v1/complete").status_code == 404
    assert post(create_app(), {**BODY, "model": "gpt-5"}).json()["error"]["type"] == "not_found_error"


CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "42"}
HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "model: Field required"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": 128_001}, "maximum allowed number of output tokens"),
        ({"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
        ({"n": 1}, "n: Extra inputs are not permitted"),
        ({"messages": []}, "at least one message is required"),
        ({"messages": [{"role": "assistant", "content": "Hi"}, HI]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace text"),
        ({"messages": [HI, {"role": "assistant", "content": "So"}]}, "does not support assistant message prefill"),
        ({"messages": [HI, CALL]}, "prefill|without `tool_result`"),
        ({"messages": [HI, CALL, HI]}, "without `tool_result`"),
        ({"messages": [HI, CALL, {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}]}, "without `tool_result`"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "unexpected `tool_use_id`"),
        ({"messages": [{"role": "user", "content": "Hi", "name": "Ada"}]}, "Extra inputs"),
        ({"messages": [{"role": "system", "content": "x"}, HI]}, "top-level 'system'"),
        ({"thinking": {"type": "disabled"}}, "thinking.type.disabled"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking.type.enabled"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "not supported for this model"),
        ({"tool_choice": {"type": "auto"}}, "only be specified while providing tools"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [{**TOOL, "strict": True}]}, "additionalProperties"),
        ({"output_config": {"effort": "utmost"}}, "effort level"),
        ({"stop_sequences": ["\n"]}, "non-whitespace"),
        ({"metadata": {"user_id": "ada@example.org"}}, "email"),
        ({"system": [{"type": "text", "text": ""}]}, "must be non-empty"),
    ],
)
def test_what_the_api_refuses_is_refused(change: Json, said: str) -> None:
    body = {name: value for name, value in {**BODY, **change}.items() if value is not None}
    with pytest.raises(RefusedError, match=said):
        check(body, "2026-10-21")


def test_a_client_that_leaves_is_counted() -> None:
    async def leave() -> int:
        imitation = create_app(pace_s=0.001)
        sent: list[Json] = []
        begun = asyncio.Event()

        async def receive() -> Json:
            if not imitation.requests:
                return {"type": "http.request", "body": json.dumps({**BODY, "stream": True}).encode()}
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Json) -> None:
            sent.append(message)
            if len(sent) == 3:
                begun.set()

        headers = [(name.encode(), value.encode()) for name, value in {**HEADERS, "content-type": "application/json"}.items()]
        await imitation({"type": "http", "method": "POST", "path": "/v1/messages", "headers": headers}, receive, send)
        return imitation.left

    assert asyncio.run(leave()) == 1


@pytest.mark.parametrize("scenario", ["tools", "thinking", "text"])
def test_the_adapter_s_request_gets_an_answer_the_adapter_reads(scenario: str) -> None:
    imitation = create_app(scenario=scenario, piece_bytes=11)
    chat: Json = {"messages": [{"role": "user", "content": "How late?"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
    for stream in (False, True):
        made = ADAPTER.outbound({**chat, "stream": stream}, Target(upstream_model="claude-opus-5-5"))
        headers = {name.decode(): value.decode() for name, value in (*made.headers, *ADAPTER.authorize(KEY))}
        answer = post(imitation, json.loads(made.body), headers)
        assert answer.status_code == 200
        if not stream:
            assert ADAPTER.completion(answer.content).finish_reason is not None
            continue
        reader = ADAPTER.reader(Target(upstream_model="claude-opus-5-5"))
        assert reader.feed(answer.content)
        assert reader.ended


def test_signatures_are_of_the_text() -> None:
    assert sign("a") != sign("b")
