"""Sounds, images and ranks by the official client: passed through to a host that has them."""

from __future__ import annotations

import asyncio
import io
import json
import re

import httpx
import openai
import pytest

from tests.conformance.samples import PIXEL_BASE64

SOUND = bytes(range(256)) * 40
FLEET = """
deployments:
  studio:
    {{model: studio, upstream_model: upstream-name, base_url: "{url}", zone: SE, parameters_b: 7, usd_per_mtok: {{input: 1, output: 2}}}}
"""
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
"""The client says so of two routes that OpenAI is about to retire."""
TRANSCRIPT = {"text": "Hello there", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}}


IMAGE_USAGE = {"total_tokens": 12, "input_tokens": 5, "output_tokens": 7, "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}
LARGE_BASE64 = "A" * 2_000_000


def pictures(kind: str) -> list[bytes]:
    """https://platform.openai.com/docs/api-reference/images-streaming: event and type are the same, there is no end marker."""
    drawn = {"created_at": 1, "size": "1024x1024", "quality": "high", "background": "opaque", "output_format": "png"}
    partial = {"type": f"{kind}.partial_image", "b64_json": LARGE_BASE64, "partial_image_index": 0, **drawn}
    last = {"type": f"{kind}.completed", "b64_json": LARGE_BASE64, **drawn, "usage": IMAGE_USAGE}
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in (partial, last)]


def studio(received, handler):
    """A host with every media route."""
    path = received.path.removeprefix("/v1")
    if path == "/audio/speech":
        if received.json.get("stream_format") == "sse":
            delta = {"type": "speech.audio.delta", "audio": "AAAA"}
            done = {"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
            handler.events([b"data: " + json.dumps(event).encode() + b"\n\n" for event in (delta, done)])
            return
        handler.reply(200, SOUND, {"content-type": "audio/mpeg"})
    elif path in ("/audio/transcriptions", "/audio/translations"):
        if b'name="stream"\r\n\r\ntrue' in received.body:
            events = [
                {"type": "transcript.text.delta", "delta": "Hello"},
                {"type": "transcript.text.done", "text": "Hello", "usage": TRANSCRIPT["usage"]},
            ]
            handler.events([b"data: " + json.dumps(event).encode() + b"\n\n" for event in events])
        elif b"\r\n\r\nsrt" in received.body:
            handler.reply(200, b"1\n00:00 --> 00:01\nHello\n", {"content-type": "text/plain; charset=utf-8"})
        else:
            handler.reply(200, TRANSCRIPT)
    elif path.startswith("/images/") and (b'name="stream"\r\n\r\ntrue' in received.body or b'"stream":true' in received.body):
        handler.events(pictures("image_edit" if path == "/images/edits" else "image_generation"))
    elif path.startswith("/images/"):
        handler.reply(
            200, {"created": 1, "data": [{"b64_json": PIXEL_BASE64}], "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}
        )
    elif path == "/rerank":
        handler.reply(200, {"results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 9}})
    else:
        handler.reply(404, {"error": {"message": "no such route", "type": "invalid_request_error", "param": None, "code": None}})


@pytest.fixture
def host(upstream):
    return upstream(studio)


@pytest.fixture
def media(proxy, host):
    with openai.OpenAI(base_url=proxy(FLEET.format(url=host.url)).url, api_key="unused", max_retries=0, timeout=10) as client:
        yield client


def form(body: bytes) -> dict[str, bytes]:
    """The fields of a form body."""
    boundary = body.split(b"\r\n", 1)[0]
    parts = [part.strip(b"\r\n") for part in body.split(boundary)[1:-1]]
    found = {}
    for part in parts:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]+)"', head)
        found[name[1].decode()] = value
    return found


def test_speech_is_the_same_bytes(media, host):
    answer = media.audio.speech.create(model="studio", voice="alloy", input="Hello")
    assert answer.read() == SOUND
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert answer.response.headers["x-greenlane-model"] == "studio"
    assert host.requests[0].json == {"model": "upstream-name", "voice": "alloy", "input": "Hello"}


def test_speech_can_be_streamed_to_a_file(media, tmp_path):
    with media.audio.speech.with_streaming_response.create(model="studio", voice="alloy", input="Hello") as answer:
        answer.stream_to_file(tmp_path / "hello.mp3")
    assert (tmp_path / "hello.mp3").read_bytes() == SOUND


def test_speech_as_events_passes(media):
    with media.audio.speech.with_streaming_response.create(model="studio", voice="alloy", input="Hello", stream_format="sse") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert json.loads(lines[0].removeprefix("data: "))["type"] == "speech.audio.delta"


@pytest.mark.parametrize("operation", ["transcriptions", "translations"])
def test_a_recording_is_written_down(media, host, operation):
    answer = getattr(media.audio, operation).create(model="studio", file=("hello.wav", SOUND, "audio/wav"))
    assert answer.text == "Hello there"
    sent = form(host.requests[0].body)
    assert sent["model"] == b"upstream-name"
    assert sent["file"] == SOUND
    assert host.requests[0].headers["content-type"].startswith("multipart/form-data; boundary=")


def test_a_transcription_takes_every_field(media, host):
    media.audio.transcriptions.create(
        model="studio",
        file=io.BytesIO(SOUND),
        language="en",
        prompt="A greeting",
        temperature=0.5,
        timestamp_granularities=["word"],
        include=["logprobs"],
    )
    sent = form(host.requests[0].body)
    assert sent["language"] == b"en"
    assert sent["prompt"] == b"A greeting"


def test_a_transcription_may_be_plain_text(media):
    assert "Hello" in media.audio.transcriptions.create(model="studio", file=("a.wav", SOUND), response_format="srt")


def test_a_transcription_is_streamed(media):
    events = list(media.audio.transcriptions.create(model="studio", file=("a.wav", SOUND), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]


def accounted(media, answer, tokens):
    """The tokens, the price and the carbon of a stream are in its entry."""
    entry = httpx.get(f"{media.base_url}greenlane/requests/{answer.headers['x-greenlane-id']}").json()
    assert (entry["tokens"]["input"], entry["tokens"]["output"], entry["outcome"]) == (*tokens, "completed")
    assert entry["cost_usd"] == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6)
    assert entry["account"]["carbon_g"] > 0
    return entry


@pytest.mark.parametrize("operation", ["generate", "edit"])
def test_a_streamed_image_is_accounted(media, operation):
    draw = getattr(media.images.with_raw_response, operation)
    more = {"image": ("a.png", SOUND, "image/png")} if operation == "edit" else {}
    answer = draw(model="studio", prompt="A river", stream=True, partial_images=1, **more)
    events = list(answer.parse())
    assert [event.type.partition(".")[2] for event in events] == ["partial_image", "completed"]
    assert [event.b64_json for event in events] == [LARGE_BASE64] * 2
    assert events[1].usage.total_tokens == 12
    entry = accounted(media, answer, (5, 7))
    assert events[1].usage.greenlane["carbon_g"] == pytest.approx(entry["account"]["carbon_g"], rel=1e-4)


def test_a_streamed_image_comes_to_the_asynchronous_client(media):
    async def draw():
        async with openai.AsyncOpenAI(base_url=media.base_url, api_key="unused", max_retries=0, timeout=10) as client:
            return [event async for event in await client.images.generate(model="studio", prompt="A river", stream=True)]

    events = asyncio.run(draw())
    assert events[-1].usage.greenlane["deployment"] == "studio"


def test_a_streamed_transcription_is_accounted(media):
    answer = media.audio.transcriptions.with_raw_response.create(model="studio", file=("a.wav", SOUND), stream=True)
    events = list(answer.parse())
    assert (events[0].delta, events[1].text) == ("Hello", "Hello")
    accounted(media, answer, (14, 3))
    assert events[1].usage.greenlane["cost_usd"] == pytest.approx(20e-6)


def test_speech_as_events_is_accounted(media):
    with media.audio.speech.with_streaming_response.create(model="studio", voice="alloy", input="Hello", stream_format="sse") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-2].startswith(": greenlane {")
    assert json.loads(lines[-1].removeprefix("data: "))["usage"]["greenlane"]["deployment"] == "studio"
    accounted(media, answer, (1, 1))


def test_a_host_that_does_not_stream_answers_as_it_does(media, host):
    """OpenAI's reference of `stream`: whisper-1 ignores it."""
    host.answer = lambda _, handler: handler.reply(200, TRANSCRIPT)
    found = httpx.post(f"{media.base_url}audio/transcriptions", data={"model": "studio", "stream": "true"}, files={"file": SOUND})
    assert found.json()["usage"]["greenlane"]["deployment"] == "studio"
    assert float(found.headers["x-carbon-g"]) > 0
    accounted(media, found, (14, 3))


def test_a_streamed_image_that_fails_is_an_error(media, host):
    error = {"type": "error", "error": {"type": "image_generation_user_error", "code": "moderation_blocked", "message": "No."}}
    failed = b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    for events, outcome in (([*pictures("image_generation")[:1], failed], "truncated"), (pictures("image_generation")[:1], "truncated")):
        host.answer = lambda _, handler, events=events: handler.events(events)
        answer = media.images.with_raw_response.generate(model="studio", prompt="A river", stream=True)
        with pytest.raises(openai.APIError):
            list(answer.parse())
        entry = httpx.get(f"{media.base_url}greenlane/requests/{answer.headers['x-greenlane-id']}").json()
        assert (entry["outcome"], entry["account"]["carbon_g"]) == (outcome, None)


def test_an_image_is_generated(media, host):
    answer = media.images.generate(model="studio", prompt="A river", size="1024x1024")
    assert answer.data[0].b64_json == PIXEL_BASE64
    assert host.requests[0].path == "/v1/images/generations"
    assert host.requests[0].json["model"] == "upstream-name"


def test_an_image_is_edited(media, host):
    answer = media.images.edit(model="studio", image=("a.png", SOUND, "image/png"), prompt="More river")
    assert answer.data[0].b64_json == PIXEL_BASE64
    assert form(host.requests[0].body)["model"] == b"upstream-name"


def test_an_image_is_varied(media, host):
    assert media.images.create_variation(model="studio", image=("a.png", SOUND, "image/png")).data
    assert host.requests[0].path == "/v1/images/variations"


def test_documents_are_ranked(media, host):
    body = {"model": "studio", "query": "rivers", "documents": ["a", "b"]}
    answer = httpx.post(f"{media.base_url}rerank", json=body, timeout=60)
    assert answer.json()["results"][0]["index"] == 1
    assert host.requests[0].json == {**body, "model": "upstream-name"}


def test_every_media_answer_has_its_entry(media):
    for answer in (
        media.audio.speech.with_raw_response.create(model="studio", voice="alloy", input="Hello"),
        media.audio.transcriptions.with_raw_response.create(model="studio", file=("a.wav", SOUND)),
        media.images.with_raw_response.generate(model="studio", prompt="A river"),
    ):
        entry = httpx.get(f"{media.base_url}greenlane/requests/{answer.headers['x-greenlane-id']}", timeout=60).json()
        assert entry["model"] == "studio"
        assert entry["outcome"] == "completed"


@pytest.mark.parametrize("operation", ["speech", "transcriptions", "images"])
def test_an_unknown_model_is_not_found(media, operation):
    calls = {
        "speech": lambda: media.audio.speech.create(model="nobody", voice="alloy", input="Hello"),
        "transcriptions": lambda: media.audio.transcriptions.create(model="nobody", file=("a.wav", SOUND)),
        "images": lambda: media.images.generate(model="nobody", prompt="A river"),
    }
    with pytest.raises(openai.NotFoundError) as caught:
        calls[operation]()
    assert caught.value.code == "model_not_found"


def test_a_form_without_a_model_is_a_bad_request(media):
    answer = httpx.post(f"{media.base_url}audio/transcriptions", files={"file": ("a.wav", SOUND)}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"


def test_a_large_recording_passes(media, host):
    recording = SOUND * 400
    assert media.audio.transcriptions.create(model="studio", file=("a.wav", recording)).text
    assert form(host.requests[0].body)["file"] == recording


@pytest.mark.parametrize("operation", ["speech", "images"])
def test_a_vendor_without_the_route_refuses(client, translated, operation):
    calls = {
        "speech": lambda: client.audio.speech.create(model=translated.model, voice="alloy", input="Hello"),
        "images": lambda: client.images.generate(model=translated.model, prompt="A river"),
    }
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        calls[operation]()
