"""Energy that a provider reports, in whole answers and in streams: it is the account, for every client's dialect.

Shapes: Neuralwatt's `energy` as langchain-neuralwatt 0.1.0 reads it; GreenPT's `impact` as llm-greenpt 0.0.2 does, in streams
beside the usage, in a chunk without choices.
"""

from __future__ import annotations

import json

import pytest

from tests.harness import DONE, USAGE, ask, chunk, serving

FLEET = """
deployments:
  only: {{model: small, upstream_model: a-mystery, base_url: "{url}", zone: SE, privacy: local}}
  known: {{model: known, base_url: "{url}", zone: SE, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100}}}}
"""
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
MESSAGES = {**CHAT, "max_tokens": 100}
ENERGY = {"energy": {"energy_joules": 36.0, "duration_seconds": 1.2, "attribution_method": "prorated"}}
KWH = {"energy": {"energy_joules": None, "energy_kwh": 1e-5}}
IMPACT = {
    "impact": {
        "version": "20250922",
        "inferenceTime": {"total": 165, "unit": "ms"},
        "energy": {"total": 36_000, "unit": "Wms"},
        "emissions": {"total": 300, "unit": "ugCO2e"},
    }
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("reports")) as made:
        yield made


def bare(**members):
    """A chunk without choices."""
    return (
        b"data: "
        + json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": [], **members}).encode()
        + b"\n\n"
    )


SAID = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hello"})]
STREAMS = {
    "neuralwatt's comment": [
        *SAID,
        chunk({}, "stop"),
        bare(usage=USAGE),
        b": energy " + json.dumps(ENERGY["energy"]).encode() + b"\n\n",
        DONE,
    ],
    "neuralwatt without joules": [
        *SAID,
        chunk({}, "stop"),
        bare(usage=USAGE),
        b": energy " + json.dumps(KWH["energy"]).encode() + b"\n\n",
        DONE,
    ],
    "greenpt beside the usage": [*SAID, chunk({}, "stop"), bare(usage=USAGE, **IMPACT), DONE],
    "greenpt after the usage": [*SAID, chunk({}, "stop"), bare(usage=USAGE), bare(**IMPACT), DONE],
    "greenpt without usage": [*SAID, chunk({}, "stop"), bare(**IMPACT), DONE],
    "greenpt beside the reason": [*SAID, chunk({}, "stop", **IMPACT), bare(usage=USAGE), DONE],
    "greenpt beside the reason and usage": [*SAID, chunk({}, "stop", usage=USAGE, **IMPACT), DONE],
}


@pytest.mark.parametrize("report", [ENERGY, KWH, IMPACT], ids=["neuralwatt", "neuralwatt without joules", "greenpt"])
@pytest.mark.parametrize("path", ["/chat/completions", "/messages"])
def test_the_report_in_a_whole_answer_is_the_account(served, report, path):
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": choices, "usage": USAGE, **report}
    served.host.answer = lambda _, handler: handler.reply(200, body)
    answer = ask(served, MESSAGES, path)
    assert (answer.headers["x-carbon-method"], answer.headers["x-energy-wh"]) == ("provider_reported", "0.010")
    assert answer.json()["usage"]["greenlane"]["energy_wh"] == 0.01


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("asked", [False, True])
def test_the_report_in_a_stream_is_the_account(served, stream, asked):
    served.host.answer = lambda _, handler: handler.events(STREAMS[stream])
    wanted = {"stream_options": {"include_usage": True}} if asked else {}
    answer = ask(served, {**CHAT, "stream": True, **wanted})
    told = json.loads(answer.text.split(": greenlane ")[1].split("\n")[0])
    assert (told["method"], told["energy_wh"], told["confidence"]) == ("provider_reported", 0.01, "medium")
    assert served.entry(told["id"])["provider_report"]


def test_the_report_in_a_translated_stream_is_the_account(served):
    for pieces in STREAMS.values():
        served.host.answer = lambda _, handler, pieces=pieces: handler.events(pieces)
        answer = ask(served, {**MESSAGES, "stream": True}, "/messages")
        entry = served.entry(answer.headers["x-greenlane-id"])
        assert (entry["account"]["method"], entry["account"]["energy_j"]) == ("provider_reported", 36.0)


def test_what_we_make_of_it_ourselves_is_kept_beside_the_report(served):
    """8B on an H100 at batch 64, 9 tokens in and 3 out: 0.114 J a token and 0.19 J for the prompt at the GPU, 1.79 times that in all."""
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": choices, "usage": USAGE, **ENERGY}
    served.host.answer = lambda _, handler: handler.reply(200, body)
    entry = served.entry(ask(served, {**CHAT, "model": "known"}).headers["x-greenlane-id"])
    assert entry["account"]["energy_j"] == 36.0
    assert entry["cross_check"] == {"method": "flops_roofline", "energy_j": pytest.approx(0.95, rel=0.02)}
    assert entry["warnings"] == ["boundary_unknown", "method_disagreement"]
