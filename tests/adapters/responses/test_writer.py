"""Hub chunks as the Responses API's event stream: https://platform.openai.com/docs/api-reference/responses-streaming"""

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from adapters._base import Fault, Usage
from adapters.responses import DOOR

REQUEST: dict[str, Any] = {"model": "qwen3-32b", "input": "Hi"}
ACCOUNT = b'{"id":"gl_1","carbon_g":0.00011}'
USAGE = Usage(input_tokens=12, cached_tokens=4, output_tokens=7)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-7f",
        "object": "chat.completion.chunk",
        "created": 17,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, **choice}],
    }


def call(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    head = {} if call_id is None else {"id": call_id, "type": "function"}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


def streamed(*chunks: dict[str, Any], usage: Usage | None = USAGE, account: bytes | None = ACCOUNT, **request: Any) -> bytes:
    writer = DOOR.writer(REQUEST | request)
    return b"".join([writer.write(one) for one in chunks]) + writer.close(usage, account)


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events' data, after checking the rules every stream keeps."""
    found: list[dict[str, Any]] = []
    items: dict[int, str] = {}
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith(": greenlane "):
            lines.pop(0)
        assert len(lines) == 2
        data = json.loads(lines[1].removeprefix("data: "))
        assert f"event: {data['type']}" == lines[0]
        assert data["sequence_number"] == len(found)
        EVENT.validate_json(lines[1].removeprefix("data: "), strict=True)
        if data["type"] == "response.output_item.added":
            assert data["output_index"] == len(items)
            items[data["output_index"]] = data["item"]["id"]
        elif "item_id" in data:
            assert items[data["output_index"]] == data["item_id"]
        elif data["type"] == "response.output_item.done":
            assert items[data["output_index"]] == data["item"]["id"]
        found.append(data)
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    last = found[-1]["response"]
    assert found[-1]["type"] == f"response.{last['status']}"
    done = {event["output_index"]: event["item"] for event in found if event["type"] == "response.output_item.done"}
    assert last["output"] == [done[index] for index in sorted(items)]
    Response.model_validate_json(json.dumps(last), strict=True)
    return found


def accumulated(stream: bytes) -> Response:
    """What the official client makes of the stream."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=stream, headers={"content-type": "text/event-stream"}))
    with httpx2.Client(transport=transport) as http:
        client = openai.OpenAI(api_key="k", base_url="http://t", http_client=http, max_retries=0)
        with client.responses.stream(model="m", input="Hi") as live:
            return live.get_final_response()


def test_a_text_stream_has_exactly_these_events() -> None:
    found = events(
        streamed(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"))
    )
    item = {"id": "msg_7f_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    place = {"item_id": "msg_7f_0", "output_index": 0, "content_index": 0}
    whole = {**part, "text": "Hello"}
    assert found[2:-1] == [
        {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item},
        {"type": "response.content_part.added", "sequence_number": 3, **place, "part": part},
        {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", "sequence_number": 5, **place, "delta": "lo", "logprobs": []},
        {"type": "response.output_text.done", "sequence_number": 6, **place, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", "sequence_number": 7, **place, "part": whole},
        {
            "type": "response.output_item.done",
            "sequence_number": 8,
            "output_index": 0,
            "item": {**item, "status": "completed", "content": [whole]},
        },
    ]
    assert (found[0]["response"]["status"], found[0]["response"]["output"], found[0]["response"]["usage"]) == ("in_progress", [], None)


def test_the_account_is_in_the_last_event_and_beside_it() -> None:
    stream = streamed(chunk({"content": "A"}), chunk({}, "stop"))
    last = stream.split(b"\n\n")[-2]
    assert last.startswith(b': greenlane {"id":"gl_1","carbon_g":0.00011}\nevent: response.completed\ndata: {')
    assert events(stream)[-1]["response"]["usage"]["greenlane"] == {"id": "gl_1", "carbon_g": 0.00011}
    assert b"[DONE]" not in stream


def test_the_whole_answer_and_the_end_of_the_stream_agree() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    message = {"role": "assistant", "content": "So", "reasoning_content": "Hm", "tool_calls": calls}
    whole = {"id": "chatcmpl-7f", "created": 17, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    stream = streamed(
        chunk({"role": "assistant", "reasoning_content": "Hm"}),
        chunk({"content": "So"}),
        chunk(call(0, '{"a":1}', "c1", "f")),
        chunk({}, "tool_calls"),
    )
    assert events(stream)[-1]["response"] == json.loads(DOOR.reply(whole, USAGE, ACCOUNT, REQUEST))


def test_the_official_client_accumulates_the_response() -> None:
    response = accumulated(streamed(chunk({"role": "assistant"}), chunk({"content": "Hello"}), chunk({}, "stop")))
    assert (response.id, response.output_text, response.status) == ("resp_7f", "Hello", "completed")
    assert response.usage is not None
    assert (response.usage.total_tokens, response.usage.greenlane) == (19, {"id": "gl_1", "carbon_g": 0.00011})  # type: ignore[attr-defined]


def test_text_is_written_as_it_comes() -> None:
    writer = DOOR.writer(REQUEST)
    assert writer.write(chunk({"role": "assistant"})).count(b"event: ") == 2
    assert b'"delta":"Hel"' in writer.write(chunk({"content": "Hel"}))
    assert writer.write(chunk({})) == b""


@pytest.mark.parametrize(
    ("request_members", "kinds", "item"),
    [
        (
            {},
            ["content_part.added", "reasoning_text.delta", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
            {"summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        ),
        (
            {"reasoning": {"summary": "auto"}},
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
            {"summary": [{"type": "summary_text", "text": "Hm"}]},
        ),
    ],
)
def test_reasoning_is_text_or_a_summary(request_members: dict[str, Any], kinds: list[str], item: dict[str, Any]) -> None:
    stream = streamed(chunk({"reasoning_content": "H"}), chunk({"reasoning_content": "m"}), chunk({}, "stop"), **request_members)
    found = events(stream)
    assert [event["type"].removeprefix("response.") for event in found[2:-1]] == ["output_item.added", *kinds, "output_item.done"]
    done = {"id": "rs_7f_0", "type": "reasoning", "status": "completed", "encrypted_content": None, **item}
    assert found[-2]["item"] == done
    accumulated(stream)


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([{"reasoning_content": "Hm"}], id="after its text"),
        pytest.param([], id="without text before"),
    ],
)
def test_signed_thinking_comes_back_through_the_client(deltas: list[dict[str, Any]]) -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    stream = streamed(
        *[chunk(delta) for delta in deltas], *[chunk({"thinking_blocks": [block]}) for block in blocks], chunk({"content": "A"}, "stop")
    )
    events(stream)
    items = [item.to_dict() for item in accumulated(stream).output]
    assert DOOR.hub(REQUEST | {"input": items})["messages"] == [
        {"role": "assistant", "content": "A", "reasoning_content": "Hm", "thinking_blocks": blocks}
    ]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        pytest.param(
            [
                {"content": "So"},
                call(0, "", "c1", "f"),
                call(0, '{"a"'),
                call(0, ":1}"),
                call(0, " "),
                call(1, "{}", "c2", "g"),
                call(0, " "),
            ],
            [("c1", "f", '{"a":1} '), ("c2", "g", "{}")],
            id="one after the other",
        ),
        pytest.param(
            [call(0, '{"a"', "c1", "f"), call(1, '{"b"', "c2", "g"), call(0, ":1}"), call(1, ":2}")],
            [("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}')],
            id="interleaved",
        ),
        pytest.param(
            [call(0, "{}", "c1", "f"), call(0, "{}", "c2", "g")], [("c1", "f", "{}"), ("c2", "g", "{}")], id="every call has index 0"
        ),
        pytest.param([call(0, '{"a"', "c1"), call(0, ":1}", None, "f")], [("c1", "f", '{"a":1}')], id="the name comes late"),
        pytest.param([call(0, "{}", None, "f")], [("call_7f_0", "f", "{}")], id="no id"),
        pytest.param([call(0, "", "c1", "f")], [("c1", "f", "{}")], id="no arguments"),
    ],
)
def test_tool_calls_reach_the_client(deltas: list[dict[str, Any]], calls: list[tuple[str, str, str]]) -> None:
    stream = streamed(*[chunk(delta) for delta in deltas], chunk({}, "tool_calls"))
    found = events(stream)
    told: dict[int, str] = {}
    for event in found:
        if event["type"] == "response.function_call_arguments.delta":
            told[event["output_index"]] = told.get(event["output_index"], "") + event["delta"]
    response = accumulated(stream)
    assert [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"] == calls
    assert [told[index] for index in sorted(told)] == [arguments for *_, arguments in calls]


def test_a_custom_tool_gets_its_free_text() -> None:
    stream = streamed(
        chunk(call(0, '{"input":"sel', "c1", "sql")),
        chunk(call(0, 'ect 1"}')),
        chunk({}, "tool_calls"),
        tools=[{"type": "custom", "name": "sql"}],
    )
    found = events(stream)
    assert [(event["type"], event.get("delta", event.get("input"))) for event in found[3:5]] == [
        ("response.custom_tool_call_input.delta", "select 1"),
        ("response.custom_tool_call_input.done", "select 1"),
    ]
    assert found[-1]["response"]["output"] == [
        {"id": "ctc_7f_0", "type": "custom_tool_call", "status": "completed", "call_id": "c1", "name": "sql", "input": "select 1"}
    ]


def test_refusal_follows_text_in_one_message() -> None:
    stream = streamed(chunk({"content": "Well."}), chunk({"refusal": "I will"}), chunk({"refusal": " not."}), chunk({}, "stop"))
    found = events(stream)
    assert found[-1]["response"]["output"][0]["content"] == [
        {"type": "output_text", "text": "Well.", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "I will not."},
    ]
    assert [event["content_index"] for event in found if event["type"] == "response.content_part.done"] == [0, 1]


def test_logprobs_are_told_in_deltas_and_at_the_end() -> None:
    entry = {"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": []}
    stream = streamed(chunk({"content": "A"}, None, logprobs={"content": [entry]}), chunk({"content": "B"}), chunk({}, "stop"))
    found = {event["type"]: event for event in events(stream)}
    assert found["response.output_text.done"]["logprobs"] == [entry]
    assert found["response.completed"]["response"]["output"][0]["content"][0]["logprobs"] == [entry]


@pytest.mark.parametrize(
    ("finish_reason", "details", "item_status"),
    [
        ("length", {"reason": "max_output_tokens"}, "incomplete"),
        ("content_filter", {"reason": "content_filter"}, "incomplete"),
        (None, None, "completed"),
    ],
)
def test_a_cut_answer_ends_incomplete(finish_reason: str | None, details: Any, item_status: str) -> None:
    last = events(streamed(chunk({"content": "A"}), chunk({}, finish_reason)))[-1]
    assert last["type"] == "response.incomplete"
    assert (last["response"]["incomplete_details"], last["response"]["output"][0]["status"]) == (details, item_status)


def test_other_choices_are_left_out() -> None:
    second = {**chunk({}), "choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}
    assert events(streamed(chunk({"content": "A"}), second, chunk({}, "stop")))[-1]["response"]["output"][0]["content"][0]["text"] == "A"


def test_an_empty_stream_is_an_empty_response() -> None:
    found = events(streamed(usage=None, account=None))
    assert (found[-1]["response"]["output"], found[-1]["response"]["usage"]) == ([], None)


@pytest.mark.parametrize("before", [[], [chunk({"content": "A"})]])
def test_a_broken_stream_ends_in_an_error_that_the_client_raises(before: list[dict[str, Any]]) -> None:
    """openai-python raises on a nested `error`, openai-node on `event: error`, typed clients read the flat members.

    Codex knows `response.failed` alone, and shows its message.
    """
    writer = DOOR.writer(REQUEST)
    start = b"".join([writer.write(one) for one in before])
    end = writer.fail(Fault(message="The upstream broke off.", code="upstream_error"))
    events_ = [json.loads(line.removeprefix("data: ")) for line in (start + end).decode().split("\n") if line.startswith("data: ")]
    ended, error = events_[-2:]
    assert [each["sequence_number"] for each in events_] == list(range(len(events_)))
    assert ended["type"] == "response.failed"
    assert (ended["response"]["id"], ended["response"]["status"]) == (events_[0]["response"]["id"], "failed")
    assert ended["response"]["error"] == {"code": "upstream_error", "message": "The upstream broke off."}
    assert end.endswith(b"\n\n")
    assert b"event: error\n" in end
    assert error == {
        "type": "error",
        "sequence_number": len(events_) - 1,
        "code": "upstream_error",
        "message": "The upstream broke off.",
        "param": None,
        "error": {"message": "The upstream broke off.", "type": "upstream_error", "param": None, "code": "upstream_error"},
    }
    with pytest.raises(openai.APIError, match="The upstream broke off"):
        accumulated(start + end)


ARGUMENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=4), max_size=2).map(json.dumps)
TEXTS = st.text(min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(ARGUMENTS, max_size=3), st.lists(TEXTS, max_size=3), st.lists(TEXTS, max_size=2), st.randoms(use_true_random=False))
def test_whatever_the_interleaving_nothing_is_lost(arguments: list[str], texts: list[str], thoughts: list[str], random: Any) -> None:
    """Pieces of several calls, text and reasoning come mixed; each call keeps its arguments, text and reasoning their order."""
    lanes: list[list[dict[str, Any]]] = [[{"content": text} for text in texts], [{"reasoning_content": text} for text in thoughts]]
    for index, whole in enumerate(arguments):
        cut = random.randint(0, len(whole))
        lanes.append([call(index, whole[:cut], f"c{index}", f"f{index}"), call(index, whole[cut:])])
    deltas = []
    while any(lanes):
        deltas.append(random.choice([lane for lane in lanes if lane]).pop(0))
    stream = streamed(*[chunk(delta) for delta in deltas], chunk({}, "stop"))
    output = events(stream)[-1]["response"]["output"]
    assert "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"]) == "".join(texts)
    assert "".join(part["text"] for item in output if item["type"] == "reasoning" for part in item["content"]) == "".join(thoughts)
    told = {item["call_id"]: item["arguments"] for item in output if item["type"] == "function_call"}
    assert told == {f"c{index}": whole for index, whole in enumerate(arguments)}
    assert accumulated(stream).output_text == "".join(texts)
