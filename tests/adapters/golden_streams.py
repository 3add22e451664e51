"""How the vendors stream a whole answer, and what a client makes of the stream it gets. Written apart from the adapters, to judge them.

References: https://platform.openai.com/docs/api-reference/chat-streaming, https://platform.openai.com/docs/api-reference/responses-streaming,
https://platform.claude.com/docs/en/build-with-claude/streaming, https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent

The sequences were compared with streams that public projects keep as recorded (which: ../imitations/anthropic_says.py, gemini_says.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_PIECE = 3
"""Characters of a text's or an argument's piece."""


def wire(upstream: str, events: list[Json]) -> bytes:
    """The events as that vendor writes them."""
    if upstream == "gemini":
        return b"".join(b"data: " + _json(event) + b"\r\n\r\n" for event in events)
    if upstream == "anthropic":
        return b"".join(b"event: " + event["type"].encode() + b"\ndata: " + _json(event) + b"\n\n" for event in events)
    done = b"" if events and "error" in events[-1] else b"data: [DONE]\n\n"
    return b"".join(b"data: " + _json(event) + b"\n\n" for event in events) + done


def events_of(upstream: str, answer: Json) -> list[Json]:
    """The whole answer as the vendor would have streamed it."""
    return list({"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}[upstream](answer))


def _openai(answer: Json) -> Iterator[Json]:
    head = {name: value for name, value in answer.items() if name not in ("choices", "usage", "object")} | {
        "object": "chat.completion.chunk"
    }

    def chunk(index: int, delta: Json, reason: str | None = None, **more: Any) -> Json:
        return {**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason, **more}]}

    for choice in answer["choices"]:
        message, index = choice["message"], choice["index"]
        calls = message.get("tool_calls") or ()
        silent = bool(calls) and not any(message.get(name) for name in ("content", "reasoning_content", "reasoning", "refusal"))
        if not silent:
            yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
        for name in ("reasoning_content", "reasoning"):
            for piece in _pieces(message.get(name) or ""):
                yield chunk(index, {name: piece})
        logprobs = (choice.get("logprobs") or {}).get("content")
        for entry in logprobs or ():
            yield chunk(index, {"content": entry["token"]}, logprobs={"content": [entry], "refusal": None})
        for piece in _content(message.get("content") or "") if not logprobs else ():
            yield chunk(index, {"content": piece})
        for piece in _pieces(message.get("refusal") or ""):
            yield chunk(index, {"refusal": piece})
        older = message.get("function_call")
        if older:
            yield chunk(index, {"function_call": {"name": older["name"], "arguments": ""}})
        for piece in _pieces(older["arguments"]) if older else ():
            yield chunk(index, {"function_call": {"arguments": piece}})
        for entry in message.get("annotations") or ():
            yield chunk(index, {"annotations": [entry]})
        for number, call in enumerate(calls):
            begun = {"tool_calls": [{"index": number, **call, "function": {**call["function"], "arguments": ""}}]}
            yield chunk(index, {"role": "assistant", "content": None, **begun, "refusal": None} if silent and number == 0 else begun)
            for piece in _pieces(call["function"]["arguments"]):
                yield chunk(index, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs", "finish_reason")}
        yield chunk(index, {}, choice["finish_reason"], **rest)
    if answer.get("usage"):
        yield {**head, "choices": [], "usage": answer["usage"]}


def _content(content: str | list[Json]) -> Iterator[Any]:
    """Mistral streams the text of a content of parts as a plain string, and its other parts, thinking piece by piece, in lists."""
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        match part["type"]:
            case "text":
                yield from _pieces(part["text"])
            case "thinking":
                yield from ([{**part, "thinking": [piece]}] for piece in part["thinking"])
            case _:
                yield [part]


def _anthropic(answer: Json) -> Iterator[Json]:
    usage = answer["usage"]
    empty = {"content": [], **{name: None for name in answer if name.startswith("stop_")}}
    yield {"type": "message_start", "message": {**answer, **empty, "usage": {**usage, "output_tokens": 1}}}
    if not answer["content"]:
        yield {"type": "ping"}
    for index, block in enumerate(answer["content"]):
        start, deltas = _block(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    delta = {name: answer[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in answer}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _block(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "text":
            cited = [{"type": "citations_delta", "citation": each} for each in block.get("citations") or ()]
            return {**block, "text": "", **({"citations": []} if cited else {})}, cited + [
                {"type": "text_delta", "text": piece} for piece in _pieces(block["text"])
            ]
        case "thinking":
            thought = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            return {**block, "thinking": "", "signature": ""}, [*thought, {"type": "signature_delta", "signature": block["signature"]}]
        case "tool_use":
            pieces = ["", *_pieces(json.dumps(block["input"], separators=(",", ":"), ensure_ascii=False))] if block["input"] else []
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            return block, []


def _gemini(answer: Json) -> Iterator[Json]:
    head = {name: answer[name] for name in ("modelVersion", "responseId") if name in answer}
    usage = answer.get("usageMetadata")
    if "promptFeedback" in answer:
        yield {**head, "promptFeedback": answer["promptFeedback"], "usageMetadata": usage}
        return
    last = len(answer["candidates"]) - 1
    for number, candidate in enumerate(answer["candidates"]):
        rest = {name: value for name, value in candidate.items() if name not in ("content", "finishReason", "index")}
        index = candidate["index"]
        parts = (candidate.get("content") or {}).get("parts") or []
        if parts and all("id" not in part.get("functionCall", {"id"}) for part in parts):
            # as Gemini 2.5 does, whose calls have no ids
            yield {**head, "candidates": [candidate], **({"usageMetadata": usage} if number == last else {})}
            continue
        for part in parts:
            for piece in _parts(part):
                told = {"content": {"role": "model", "parts": [piece]}, "index": index}
                yield {**head, "candidates": [told], "usageMetadata": {**usage, "candidatesTokenCount": 1}}
        ended = {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": candidate["finishReason"], "index": index, **rest}
        yield {**head, "candidates": [ended], **({"usageMetadata": usage} if number == last else {})}


def _parts(part: Json) -> Iterator[Json]:
    text = part.get("text")
    if text is None:
        yield part
        return
    for piece in _pieces(text):
        yield {**part, "text": piece}


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


# what a client makes of its stream


def told(client: str, stream: bytes) -> Json:
    """The whole answer that the client puts together, by the rules its vendor's reference gives."""
    return {"chat": _chat, "responses": _responses, "messages": _messages}[client](stream)


def blocks(stream: bytes) -> Iterator[tuple[str, Json]]:
    """Name and data of each event; a comment must stand in a block with data."""
    for block in stream.split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
        assert len(data) == (1 if block else 0), block
        if data and data[0] != b"[DONE]":
            names = [line.removeprefix(b"event: ").decode() for line in lines if line.startswith(b"event: ")]
            yield (names[0] if names else ""), json.loads(data[0])


def _chat(stream: bytes) -> Json:
    assert stream.endswith(b"data: [DONE]\n\n")
    answer: Json = {}
    choices: dict[int, Json] = {}
    for _, chunk in blocks(stream):
        assert chunk["object"] == "chat.completion.chunk"
        head = {name: value for name, value in chunk.items() if name not in ("choices", "usage", "object")}
        assert all(answer.get(name, value) == value for name, value in head.items())
        answer |= head | ({"usage": chunk["usage"]} if chunk.get("usage") else {})
        for choice in chunk["choices"]:
            fresh: Json = {"index": choice["index"], "message": {"refusal": None, "content": None}, "logprobs": None, "finish_reason": None}
            _add(choices.setdefault(choice["index"], fresh), choice)
    return {**answer, "object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}


def _add(whole: Json, choice: Json) -> None:
    assert whole["finish_reason"] is None, "a choice went on after its end"
    whole |= {name: value for name, value in choice.items() if name not in ("delta", "logprobs")}
    for entry in (choice.get("logprobs") or {}).get("content") or ():
        whole["logprobs"] = whole["logprobs"] or {"content": [], "refusal": None}
        whole["logprobs"]["content"].append(entry)
    message = whole["message"]
    for name, value in choice["delta"].items():
        match name:
            case "role":
                message["role"] = value
            case "tool_calls":
                for call in value:
                    _add_call(message.setdefault("tool_calls", []), call)
            case "function_call":
                made = message.setdefault("function_call", {"name": "", "arguments": ""})
                made |= {"name": made["name"] + value.get("name", ""), "arguments": made["arguments"] + value.get("arguments", "")}
            case "thinking_blocks" | "annotations" | "images":
                message.setdefault(name, []).extend({key: one for key, one in each.items() if key != "index"} for each in value)
            case _ if value is not None:
                message[name] = (message.get(name) or "") + value


def _add_call(calls: list[Json], delta: Json) -> None:
    call = {name: value for name, value in delta.items() if name != "index"}
    if delta["index"] == len(calls):
        kind, text = ("custom", "input") if call.get("type") == "custom" else ("function", "arguments")
        calls.append({**call, kind: {text: "", **call[kind]}})
        return
    [(kind, more)] = call.items()
    for name, text in more.items():
        calls[delta["index"]][kind][name] += text


def _messages(stream: bytes) -> Json:
    found: Json = {}
    opened = None
    for name, event in blocks(stream):
        assert name == event["type"]
        match name:
            case "message_start":
                found = event["message"]
                assert (found["content"], found["stop_reason"]) == ([], None)
            case "content_block_start":
                assert opened is None
                assert event["index"] == len(found["content"])
                opened = event["index"]
                found["content"].append(event["content_block"])
            case "content_block_delta":
                assert event["index"] == opened
                _grow(found["content"][-1], event["delta"])
            case "content_block_stop":
                assert event["index"] == opened
                opened = None
                block = found["content"][-1]
                if "json" in block:
                    block["input"] = _input(block.pop("json"))
            case "message_delta":
                assert opened is None
                found |= {**event["delta"], "usage": {**found["usage"], **event["usage"]}}
            case "message_stop":
                return found
            case _:
                assert name == "ping"
    raise AssertionError("the stream has no end")


def _input(text: str) -> Json:
    """What was cut off is kept as it is."""
    try:
        found: Json = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {"unparsed_arguments": text}
    return found


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case kind:
            assert kind == "input_json_delta"
            block["json"] = block.get("json", "") + delta["partial_json"]


def _responses(stream: bytes) -> Json:
    """The last event's Response, which must be what the events before it add up to."""
    items: dict[int, Json] = {}
    texts: dict[tuple[str, str], str] = {}
    last: Json = {}
    for number, (name, event) in enumerate(blocks(stream)):
        assert (name, event["sequence_number"]) == (event["type"], number)
        if name == "response.output_item.added":
            assert event["output_index"] == len(items)
            items[event["output_index"]] = event["item"]
        elif name.endswith(".delta"):
            place = (event["item_id"], name.removesuffix(".delta"))
            texts[place] = texts.get(place, "") + event["delta"]
        elif name == "response.output_item.done":
            assert items[event["output_index"]]["id"] == event["item"]["id"]
            items[event["output_index"]] = event["item"]
            _check_item(event["item"], texts)
        last = event
    assert last["type"] == f"response.{last['response']['status']}"
    assert last["response"]["output"] == [items[index] for index in sorted(items)]
    found: Json = last["response"]
    return found


def _check_item(item: Json, texts: dict[tuple[str, str], str]) -> None:
    def said(kind: str) -> str:
        return texts.get((item["id"], f"response.{kind}"), "")

    match item["type"]:
        case "message":
            assert said("output_text") == "".join(part["text"] for part in item["content"] if part["type"] == "output_text")
            assert said("refusal") == "".join(part["refusal"] for part in item["content"] if part["type"] == "refusal")
        case "function_call":
            assert said("function_call_arguments") == item["arguments"]
        case "custom_tool_call":
            assert said("custom_tool_call_input") == item["input"]
        case "web_search_call":
            pass
        case _:
            assert said("reasoning_summary_text") == "".join(part["text"] for part in item["summary"])
            assert said("reasoning_text") == "".join(part["text"] for part in item.get("content") or ())
