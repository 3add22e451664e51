"""The operations beside chat, each through the whole proxy: what must change is changed, every other byte arrives as it was sent."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.harness import USAGE, ask, completion, exchange, said, serving

FLEET = """
breaker: {{failures: 1000}}
models: {{auto: {{members: [small]}}}}
deployments:
  north:
    {{model: small, upstream_model: up/model-7, base_url: "{url}", privacy: local, zone: SE, parameters_b: 7, api_key: env:OTHER_UP,
      usd_per_mtok: {{input: 1, output: 2}}}}
  moderation: {{model: omni-moderation-latest, upstream_model: up/moderation, base_url: "{url}", apis: [moderations]}}
  embeds: {{model: embeds, base_url: "{url}", apis: [embeddings]}}
  gembeds: {{model: gembeds, dialect: gemini, base_url: "{url}", apis: [embeddings]}}
  answers: {{model: answers, base_url: "{url}", apis: [responses]}}
  azure:
    {{model: cloud, upstream_model: "my deployment", dialect: azure, api_version: 2024-10-21, base_url: "{root}", privacy: private,
      api_key: env:OTHER_UP}}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(
        lambda url: FLEET.format(url=url, root=url.removesuffix("/v1")), tmp_path_factory.mktemp("other"), {"OTHER_UP": "sk-other-up"}
    ) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    shared.host.answer = completion
    return shared


def replies(served, body, headers=None, status=200):
    served.host.answer = lambda _, handler: handler.reply(status, body, headers)


TEXT = {
    "id": "t",
    "object": "text_completion",
    "created": 1,
    "model": "up/model-7",
    "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop"}],
}


def test_text_completions_whole(served):
    replies(served, {**TEXT, "usage": USAGE, "kv_transfer": None})
    answer = ask(served, {"model": "small", "prompt": ["Hi", "there"], "echo": True, "suffix": "x"}, "/completions")
    found = answer.json()
    assert found["usage"].pop("greenlane")["deployment"] == "north"
    assert found == {**TEXT, "usage": USAGE, "kv_transfer": None}
    assert served.host.requests[0].json == {"model": "up/model-7", "prompt": ["Hi", "there"], "echo": True, "suffix": "x"}
    assert served.host.requests[0].path == "/v1/completions"
    assert float(answer.headers["x-carbon-g"]) > 0


def test_text_completions_streamed(served):
    def piece(text, finish=None):
        return b"data: " + json.dumps({**TEXT, "choices": [{"index": 0, "text": text, "finish_reason": finish}]}).encode() + b"\n\n"

    last = b"data: " + json.dumps({**TEXT, "choices": [], "usage": USAGE}).encode() + b"\n\n"
    pieces = [piece("Hel"), piece("lo\u2028"), piece("", "stop"), last, b"data: [DONE]\n\n"]
    served.host.answer = lambda _, handler: handler.events(pieces)
    answer = ask(served, {"model": "small", "prompt": "Hi", "stream": True}, "/completions")
    assert served.host.requests[0].json["stream_options"] == {"include_usage": True}
    assert answer.content.startswith(b"".join(pieces[:3]))
    rest = answer.content.removeprefix(b"".join(pieces[:3]))
    assert rest.startswith(b": greenlane {")
    assert rest.endswith(b"}\ndata: [DONE]\n\n")
    assert served.entry(answer.headers["x-greenlane-id"])["tokens"]["output"] == USAGE["completion_tokens"]


EMBEDDED = (
    b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1e-05, 0.50,-0.0]}],"model":"up/model-7",'
    b'"usage":{"prompt_tokens":4,"total_tokens":4}}'
)


def test_embeddings_keep_their_digits_and_are_accounted(served):
    replies(served, EMBEDDED)
    answer = ask(served, {"model": "small", "input": ["a", "b"], "dimensions": 3, "encoding_format": "float"}, "/embeddings")
    before, mark, rest = answer.content.partition(b',"greenlane":')
    assert mark
    assert before + rest[rest.index(b"}") + 1 :] == EMBEDDED
    sent = served.host.requests[0]
    assert (sent.path, sent.json["model"], sent.json["encoding_format"]) == ("/v1/embeddings", "up/model-7", "float")
    assert answer.headers["x-greenlane-cost-usd"] == "0.0000040"
    assert float(answer.headers["x-carbon-g"]) > 0
    assert "x-carbon-forecast-g" not in answer.headers


def test_what_is_embedded_counts_for_a_cap_on_its_cost(served):
    """40,000 bytes are some 10,000 tokens at 1 $ a million."""
    replies(served, EMBEDDED)
    body = {"model": "small", "input": "a" * 40_000}
    assert ask(served, body, "/embeddings", x_greenlane_max_usd="0.0111").status_code == 200
    assert ask(served, body, "/embeddings", x_greenlane_max_usd="0.0099").status_code == 422


PASSED = {
    "/moderations": (
        {"model": "small", "input": "Hi"},
        b'{"id":"m","model":"up","results":[{"flagged":false,"category_scores":{"hate":1e-09}}]}',
    ),
    "/rerank": (
        {"model": "small", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
        b'{"results": [ {"index":1,"relevance_score":0.90} ]}',
    ),
    "/images/generations": ({"model": "small", "prompt": "a bird", "n": 1, "size": "64x64"}, b'{"created":1,"data":[{"b64_json":"aGk="}]}'),
}


@pytest.mark.parametrize("path", PASSED)
def test_what_is_not_text_passes_as_it_is(served, path):
    given, answer_bytes = PASSED[path]
    replies(served, answer_bytes)
    answer = ask(served, {**given, "greenlane": {"privacy": "local"}}, path)
    assert (answer.status_code, answer.content) == (200, answer_bytes)
    sent = served.host.requests[0]
    assert (sent.path, sent.json) == ("/v1" + path, {**given, "model": "up/model-7"})
    assert answer.headers["x-greenlane-deployment"] == "north"
    # work was done, and nobody knows how much
    assert not {"x-carbon-g", "x-energy-wh", "x-greenlane-cost-usd"} & set(answer.headers)
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert (entry["outcome"], entry["account"]["carbon_g"], entry["cost_usd"]) == ("completed", None, None)


def test_moderations_without_a_model_go_to_openais_usual_one(served):
    """OpenAI's reference: `model` of a moderation may be left out."""
    replies(served, PASSED["/moderations"][1])
    assert ask(served, {"input": "Hi"}, "/moderations").status_code == 200
    assert served.host.requests[0].json == {"input": "Hi", "model": "up/moderation"}
    told = ask(served, {"prompt": "a bird"}, "/images/generations")
    assert (told.status_code, told.json()["error"]["param"]) == (400, "model")


SOUND = bytes(range(256)) * 500 + b"data: [DONE]\n\n\r\n0\r\n\r\n"


def test_sound_passes_byte_for_byte_as_it_comes(served):
    def plays(received, handler):
        handler.send_response(200)
        handler.send_header("content-type", "audio/mpeg")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(SOUND), 10_000):
            piece = SOUND[at : at + 10_000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    served.host.answer = plays
    answer = ask(served, {"model": "small", "input": "Hello", "voice": "alloy", "response_format": "mp3"}, "/audio/speech")
    assert (answer.status_code, answer.content) == (200, SOUND)
    assert answer.headers["content-type"] == "audio/mpeg"
    assert served.host.requests[0].json == {"model": "up/model-7", "input": "Hello", "voice": "alloy", "response_format": "mp3"}
    assert answer.headers["x-greenlane-deployment"] == "north"
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert 0 < entry["ttft_s"] <= entry["duration_s"]


def test_a_json_object_in_place_of_a_stream_is_read_whole(served):
    """A host that knows no streams of images: what it used is known before its answer goes out."""
    replies(served, {"created": 1, "data": [], "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}})
    answer = ask(served, {"model": "small", "prompt": "a bird", "stream": True}, "/images/generations")
    assert answer.headers["x-greenlane-cost-usd"] == "0.000050"
    assert answer.json()["usage"]["greenlane"]["cost_usd"] == pytest.approx(5e-5)


def test_an_error_of_an_event_stream_of_sound_does_not_pass_as_sound(served):
    served.host.answer = lambda _, handler: handler.events([b'data: {"error":{"message":"overloaded","code":503}}\n\n'])
    answer = ask(served, {"model": "small", "input": "Hello", "voice": "alloy", "stream_format": "sse"}, "/audio/speech")
    assert (answer.status_code, answer.json()["error"]["message"]) == (502, "overloaded")


def test_sound_that_breaks_off_is_seen_to_be_broken(served):
    """A shorter file must not look like a whole one."""

    def breaks(received, handler):
        handler.send_response(200)
        handler.send_header("content-type", "audio/mpeg")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    served.host.answer = breaks
    with pytest.raises(httpx.RemoteProtocolError):
        ask(served, {"model": "small", "input": "Hello", "voice": "alloy"}, "/audio/speech")


def test_an_error_of_a_sound_host_is_an_error(served):
    replies(served, {"error": {"message": "no such voice", "type": "invalid_request_error", "param": "voice", "code": None}}, status=400)
    answer = ask(served, {"model": "small", "input": "Hello", "voice": "x"}, "/audio/speech")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no such voice")


BOUNDARY = b"----boundary.7'()+_,-./:=?"


def form(*parts):
    """A form body; a part is (name, value) or (name, value, file name)."""
    body = b""
    for name, value, *file in parts:
        more = b'; filename="%b"\r\ncontent-type: application/octet-stream' % file[0] if file else b""
        body += b'--%b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (BOUNDARY, name, more, value)
    return body + b"--%b--\r\n" % BOUNDARY


FILE = b'\x00\xffRIFF\r\n\r\n--not a boundary\r\nname="model"\r\n\r\nsmall' * 900
FORM_TYPE = b'multipart/form-data; boundary="%b"' % BOUNDARY


def send_form(served, path, body):
    headers = {"content-type": FORM_TYPE.decode()}
    return httpx.post(served.url + path, content=body, headers=headers, timeout=10, verify=False)


@pytest.mark.parametrize("path", ["/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations"])
@pytest.mark.parametrize("order", ["model first", "model last"])
def test_of_a_form_only_the_model_changes(served, path, order):
    replies(served, b'{"text":"Hello"}')
    model, rest = (b"model", b"small"), [(b"file", FILE, b"a.wav"), (b"prompt", "é".encode()), (b"temperature", b"0")]
    parts = [model, *rest] if order == "model first" else [*rest, model]
    answer = send_form(served, path, form(*parts))
    assert (answer.status_code, answer.content) == (200, b'{"text":"Hello"}')
    sent = served.host.requests[0]
    assert sent.body == form(*(part if part != model else (b"model", b"up/model-7") for part in parts))
    assert sent.headers["content-type"] == FORM_TYPE.decode()
    assert (sent.path, sent.headers["authorization"]) == ("/v1" + path, "Bearer sk-other-up")


@pytest.mark.parametrize("n", [b"", b"2"])
def test_choices_of_a_form_may_be_left_empty(served, n):
    replies(served, {"created": 1, "data": []})
    body = form((b"model", b"small"), (b"n", n), (b"image", b"x", b"a.png"))
    assert send_form(served, "/images/edits", body).status_code == 200
    assert served.host.requests[0].body == body.replace(b"small", b"up/model-7")


def test_our_own_member_of_a_form_stays_here(served):
    replies(served, b'{"text":"Hello"}')
    ours = (b"greenlane", b'{"privacy":"local"}')
    answer = send_form(served, "/audio/transcriptions", form((b"model", b"small"), ours, (b"file", FILE, b"a.wav")))
    assert answer.status_code == 200
    assert b"greenlane" not in served.host.requests[0].body
    assert served.host.requests[0].body == form((b"model", b"up/model-7"), (b"file", FILE, b"a.wav"))
    far = send_form(served, "/audio/transcriptions", form((b"model", b"cloud"), ours, (b"file", FILE, b"a.wav")))
    assert far.status_code == 422


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/x-subrip", "text/vtt"])
def test_a_transcript_that_is_not_json_passes(served, kind):
    replies(served, "1\r\n00:00 --> 00:01\r\nHé".encode(), {"content-type": kind})
    answer = send_form(served, "/audio/transcriptions", form((b"model", b"small"), (b"response_format", b"srt"), (b"file", b"x", b"a.wav")))
    assert (answer.content, answer.headers["content-type"]) == ("1\r\n00:00 --> 00:01\r\nHé".encode(), kind)


BROKEN = {
    "no model": form((b"file", b"x", b"a.wav")),
    "two models": form((b"model", b"small"), (b"model", b"cloud"), (b"file", b"x", b"a.wav")),
    "unknown model": form((b"model", b"nonesuch"), (b"file", b"x", b"a.wav")),
    "cut short": form((b"model", b"small"), (b"file", FILE, b"a.wav"))[:-400],
    "another boundary": form((b"model", b"small")).replace(b"boundary", b"bound"),
    "ours no JSON": form((b"model", b"small"), (b"greenlane", b'{"policy":'), (b"file", b"x", b"a.wav")),
    "ours too deep": form((b"model", b"small"), (b"greenlane", b"[" * 5000), (b"file", b"x", b"a.wav")),
    "ours no object": form((b"model", b"small"), (b"greenlane", b"green"), (b"file", b"x", b"a.wav")),
    "stream no truth": form((b"model", b"small"), (b"stream", b"maybe"), (b"file", b"x", b"a.wav")),
    "empty": b"",
    "JSON": b'{"model":"small"}',
    "choices twice": form((b"model", b"small"), (b"n", b"129"), (b"n", b"1"), (b"image", b"x", b"a.png")),
    "too many choices": form((b"model", b"small"), (b"n", b"129"), (b"image", b"x", b"a.png")),
    "choices in words": form((b"model", b"small"), (b"n", b"many"), (b"image", b"x", b"a.png")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_form_that_is_wrong_is_400_or_404(served, case):
    answer = send_form(served, "/audio/transcriptions", BROKEN[case])
    assert answer.status_code == (404 if case == "unknown model" else 400)
    assert served.host.requests == []


def test_a_form_may_ask_for_several_choices(served):
    replies(served, {"created": 1, "data": []})
    assert send_form(served, "/images/edits", form((b"model", b"small"), (b"n", b"128"), (b"image", b"x", b"a.png"))).status_code == 200
    assert b'name="n"\r\n\r\n128\r\n' in served.host.requests[0].body


# generate


def test_generate_whole(served):
    answer = httpx.post(
        f"{served.base}/generate", json={"prompt": "Hi", "system": "Be brief.", "model": "small", "max_tokens": 5}, verify=False, timeout=60
    )
    found = answer.json()
    assert (found["text"], found["finish_reason"]) == ("Hello!", "stop")
    assert found["usage"]["greenlane"]["deployment"] == "north"
    assert (found["usage"]["input_tokens"], found["usage"]["output_tokens"]) == (9, 3)
    sent = served.host.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert sent.json["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert float(answer.headers["x-carbon-g"]) > 0


def test_generate_takes_auto_where_no_model_is_named(served):
    for base in (served.base, served.url):
        answer = httpx.post(f"{base}/generate", json={"prompt": "Hi"}, verify=False, timeout=60)
        assert (answer.status_code, answer.json()["text"]) == (200, "Hello!")
    assert served.entry(answer.headers["x-greenlane-id"])["model_requested"] == "auto"


def test_generate_streamed(served):
    served.host.answer = lambda _, handler: handler.events(said(["Hel", "lo"]))
    answer = httpx.post(f"{served.base}/generate", json={"prompt": "Hi", "model": "small", "stream": True}, verify=False, timeout=60)
    lines = [line for line in answer.text.split("\n") if line]
    assert [json.loads(line.removeprefix("data: ")) for line in lines[:2]] == [{"text": "Hel"}, {"text": "lo"}]
    assert lines[-1] == "data: [DONE]"
    assert lines[-2].startswith(": greenlane {")
    last = json.loads(lines[-3].removeprefix("data: "))
    assert (last["finish_reason"], last["usage"]["output_tokens"], last["usage"]["greenlane"]["deployment"]) == ("stop", 3, "north")


@pytest.mark.parametrize(
    "body", [{}, {"prompt": ""}, {"prompt": 5}, {"prompt": ["a"]}, {"prompt": "a", "tools": []}, {"prompt": "a", "system": 1}]
)
def test_generate_refuses_what_it_does_not_know(served, body):
    answer = httpx.post(f"{served.base}/generate", json={"model": "small", **body}, verify=False, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert served.host.requests == []


# Azure


AZURE = {
    "/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/embeddings": {"input": "Hi"},
    "/completions": {"prompt": "Hi"},
    "/audio/speech": {"input": "Hi", "voice": "alloy"},
    "/images/generations": {"prompt": "a bird"},
}


@pytest.mark.parametrize("path", AZURE)
def test_azure_has_urls_key_and_version_of_its_own(served, path):
    replies(served, {"choices": [], "data": [], "usage": USAGE})
    answer = ask(served, {"model": "cloud", **AZURE[path]}, path, authorization="Bearer sk-of-the-client", api_key="sk-of-the-client")
    assert answer.status_code == 200, answer.text
    sent = served.host.requests[0]
    assert sent.path == f"/openai/deployments/my%20deployment{path}?api-version=2024-10-21"
    assert sent.headers["api-key"] == "sk-other-up"
    assert "authorization" not in sent.headers
    assert "sk-of-the-client" not in str(sent)


def test_azure_streams(served):
    answer = ask(served, {"model": "cloud", "messages": [], "stream": True})
    assert answer.text.endswith("data: [DONE]\n\n")
    assert served.host.requests[0].json["stream_options"] == {"include_usage": True}


def test_what_azure_does_not_have_is_404(served):
    answer = ask(served, {"model": "cloud", "input": "Hi"}, "/moderations")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert served.host.requests == []


@pytest.mark.parametrize("model", ["embeds", "gembeds", "answers"])
def test_what_a_deployment_does_not_list_it_is_never_asked_for(served, model):
    hello = [{"role": "user", "content": "Hi"}]
    others = {"/completions": {"prompt": "Hi"}} | (
        {"/embeddings": {"input": "Hi"}} if model == "answers" else {"/responses": {"input": "Hi"}}
    )
    for path, body in {"/chat/completions": {"messages": hello}, "/messages": {"messages": hello, "max_tokens": 9}, **others}.items():
        answer = ask(served, {"model": model, **body}, path)
        assert (path, answer.status_code) == (path, 404)
    assert httpx.post(f"{served.base}/generate", json={"model": model, "prompt": "Hi"}, timeout=60).status_code == 404
    assert served.host.requests == []


PLAIN = {
    "/images/generations": ({"created": 1, "data": []}, {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}, (10, 20)),
    "/rerank": ({"results": []}, {"total_tokens": 30}, (30, 0)),
    "/rerank ": ({"results": []}, {"prompt_tokens": 30, "total_tokens": 30}, (30, 0)),
    "/embeddings": ({"data": []}, {"total_tokens": 30}, (30, 0)),
    "/images/generations ": ({"created": 1, "data": []}, {"type": "duration", "seconds": 3}, (None, None)),
    "/images/generations  ": ({"created": 1, "data": []}, {"input_tokens": "ten", "output_tokens": -1}, (None, None)),
}


@pytest.mark.parametrize("case", PLAIN)
def test_tokens_of_what_is_no_text_are_accounted_under_whatever_name(served, case):
    body, usage, (asked, made) = PLAIN[case]
    replies(served, {**body, "usage": usage})
    answer = ask(served, {"model": "small", "prompt": "a bird", "input": "Hi", "query": "q", "documents": []}, case.strip())
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert (entry["tokens"]["input"], entry["tokens"]["output"]) == (asked, made)
    assert entry["cost_usd"] == (None if asked is None else pytest.approx((asked + 2 * made) / 1e6))
    assert answer.json()["usage"]["greenlane"]["cost_usd"] == (None if asked is None else pytest.approx(entry["cost_usd"]))


@pytest.mark.parametrize("path", ["/moderations", "/rerank", "/embeddings", "/audio/speech", "/images/generations", "/completions"])
def test_each_takes_a_body_in_small_pieces_and_on_odd_paths(served, path):
    replies(served, {"data": [], "results": [], "choices": [], "usage": USAGE})
    body = json.dumps({"model": "small", "input": "Hi", "query": "q", "documents": [], "prompt": "Hi", "voice": "a"}).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    head = b"POST %b/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n" % path.encode()
    assert exchange(served.port, head + pieces + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


ASKED = {
    "/embeddings": {"input": "Hi"},
    "/moderations": {"model": "omni-moderation-latest", "input": "Hi"},
    "/images/generations": {"prompt": "A cat"},
    "/rerank": {"query": "Hi", "documents": ["Hello"]},
    "/audio/speech": {"input": "Hi", "voice": "alloy"},
}
NONE = [b"", b"<html>busy</html>", b'{"data":[{"embedding":[0.1', b'{"data":\xff}', b"{" * 5000]


@pytest.mark.parametrize("body", NONE, ids=["empty", "HTML", "cut", "not UTF-8", "deep"])
@pytest.mark.parametrize("path", ["/embeddings", "/moderations", "/images/generations", "/rerank"])
def test_what_is_no_object_is_no_answer(served, path, body):
    replies(served, body)
    answer = ask(served, {"model": "small", **ASKED[path]}, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")


@pytest.mark.parametrize("path", ["/rerank", "/audio/speech"])
def test_neither_is_nothing_at_all(served, path):
    replies(served, b"", {"content-type": "audio/mpeg"})
    assert ask(served, {"model": "small", **ASKED[path]}, path).status_code == 502


def test_a_list_of_ranks_passes(served):
    replies(served, b'[{"index":0,"score":0.5}]')
    assert ask(served, {"model": "small", **ASKED["/rerank"]}, "/rerank").content == b'[{"index":0,"score":0.5}]'


@pytest.mark.parametrize("path", ["/audio/transcriptions", "/audio/translations"])
@pytest.mark.parametrize("text", [b"", b"{laughs} Hello", b"{"])
def test_a_transcript_is_any_text(served, path, text):
    replies(served, text, {"content-type": "text/plain"})
    form = {"data": {"model": "small", "response_format": "text"}, "files": {"file": ("a.wav", b"RIFF")}}
    answer = httpx.post(served.url + path, **form, timeout=60)
    assert (answer.status_code, answer.content) == (200, text)
