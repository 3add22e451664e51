"""An answer is accounted by its pace where accelerator and batch are stated, streamed or whole, and checked by the roofline."""

from __future__ import annotations

import json
import socket
import threading
import time
from itertools import chain

import pytest

from proxy.upstream.exchange import Exchange
from tests.harness import DONE, ask, chunk, heard, serving

ROUTES = ("chat", "messages", "responses")
STATED = "zone: SE, privacy: local, parameters_b: 8, batch: 64, hardware: {gpu: H100, count: 1}"
DEPLOYMENTS = {
    **dict.fromkeys(("stated", "several", "slow", "waiting", "pinged", "reported", *(f"of-{route}" for route in ROUTES)), STATED),
    "counted": STATED + ", quirks: {reports_usage: false}",
    "assumed": STATED.replace(" batch: 64,", ""),
    "closed": "zone: SE, upstream_model: gpt-4o",
}
WORDS, GAP_S, DECODE_S = 20, 0.004, 0.6
SLOT_J_PER_S, PROMPT_J = 0.83 * 700 / 64 * 1.35 * 1.15 * 1.15, 0.34
"""Of one request at the facility, by hand; and of the nine tokens of its prompt."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    def fleet(url):
        lines = [f'  {name}: {{model: {name}, base_url: "{url}", {said}}}\n' for name, said in DEPLOYMENTS.items()]
        return "deployments:\n" + "".join(lines)

    with serving(fleet, tmp_path_factory.mktemp("pace")) as made:
        yield made


def usage_of(tokens):
    return {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}


def paced(tokens, begun):
    yield chunk({"content": "word "})
    begun.wait(60)
    for _ in range(WORDS - 1):
        time.sleep(GAP_S)  # the pace is what is accounted
        yield chunk({"content": "word "})
    yield chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens})
    yield DONE


def entry(served, model, tokens=WORDS, **more):
    begun = threading.Event()
    served.host.answer = lambda _, handler: handler.events(paced(tokens, begun))
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}
    return served.entry(heard(served, body, begun).headers["x-greenlane-id"])


class Machine:
    """An upstream that takes as long for the same words whether they are streamed or not, and says how long it took."""

    def __init__(self, decode_s=DECODE_S, wait_s=0.0, usage=True, energy=None):
        self.decode_s, self.wait_s, self.usage, self.energy = decode_s, wait_s, usage, energy
        self.took_s = 0.0

    def __call__(self, received, handler):
        time.sleep(self.wait_s)
        if received.json.get("stream"):
            handler.events(self._events())
        else:
            self._writes()
            message = {"role": "assistant", "content": "word " * WORDS}
            body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "up"}
            body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
            handler.reply(200, body | ({"usage": usage_of(WORDS)} if self.usage else {}) | ({"energy": self.energy} if self.energy else {}))

    def _writes(self):
        began_s = time.perf_counter()
        time.sleep(self.decode_s)
        self.took_s = time.perf_counter() - began_s

    def _events(self):
        yield chunk({"content": "word "})
        self._writes()
        yield from (chunk({"content": "word "}) for _ in range(WORDS - 1))
        yield chunk({}, "stop", **({"usage": usage_of(WORDS)} if self.usage else {}))
        if self.energy:
            yield b": energy " + json.dumps(self.energy).encode() + b"\n\n"
        yield DONE


def made_by(served, machine, model, route="chat", **more):
    """The entry of an answer that a machine made."""
    served.host.answer = machine
    said = [{"role": "user", "content": "Hi"}]
    path, body = {
        "chat": ("/chat/completions", {"messages": said}),
        "messages": ("/messages", {"messages": said, "max_tokens": 100}),
        "responses": ("/responses", {"input": said}),
    }[route]
    return served.entry(ask(served, {"model": model, **body, **more}, path).headers["x-greenlane-id"])


def joules_of(found, took_s):
    """What it should come to, of a request that took the machine so long: the decoding, one of 64, and its prompt."""
    assert found["account"]["method"] == "runtime_power"
    return SLOT_J_PER_S * took_s * WORDS / (WORDS - 1) + PROMPT_J


def test_the_pace_of_a_stream_makes_its_account(served):
    """.83 x 700 W / 64 = 9.08 W for 20 tokens, of which 19 took at least 4 ms, and .19 J for the prompt; x 1.785."""
    found = entry(served, "stated")
    assert found["account"]["method"] == "runtime_power"
    assert found["decode_s"] >= 19 * GAP_S
    assert found["account"]["energy_j"] == pytest.approx((9.08 * found["decode_s"] * 20 / 19 + 0.19) * 1.785, rel=0.02)
    assert found["cross_check"] == {"method": "flops_roofline", "energy_j": pytest.approx(4.40, rel=0.02)}
    assert found["paced_by"] is None


@pytest.mark.parametrize("route", ROUTES)
def test_the_same_work_is_the_same_account_streamed_or_whole(served, route):
    """But for what connecting, parsing and a busy machine take: some milliseconds of 600."""
    machine, model = Machine(), f"of-{route}"
    whole = made_by(served, machine, model, route)
    assert whole["account"]["energy_j"] == pytest.approx(joules_of(whole, machine.took_s), rel=0.2)
    streamed = made_by(served, machine, model, route, stream=True)
    assert streamed["account"]["energy_j"] == pytest.approx(joules_of(streamed, machine.took_s), rel=0.2)
    assert (whole["paced_by"], streamed["paced_by"]) == ("answer", None)
    same = ("method", "confidence", "zone")
    assert [whole["account"].get(name) for name in same] == [streamed["account"].get(name) for name in same]
    assert whole["cross_check"] == streamed["cross_check"]
    assert whole["explanation"]["recomputed"] is streamed["explanation"]["recomputed"] is True
    told = {each["name"]: each["why"] for each in whole["explanation"]["assumptions"]}
    assert "waited" in told["decode_s"]


def test_without_usage_too(served):
    machine = Machine(usage=False)
    found = [made_by(served, machine, "counted", **more) for more in ({}, {"stream": True})]
    assert [each["account"]["method"] for each in found] == ["runtime_power"] * 2
    assert found[0]["tokens"] == found[1]["tokens"]
    assert found[0]["account"]["energy_j"] == pytest.approx(found[1]["account"]["energy_j"], rel=0.3)


def test_what_a_provider_reports_stays_the_account_of_both_and_is_checked_alike(served):
    machine = Machine(energy={"energy_joules": 36.0})
    found = [made_by(served, machine, "reported", **more) for more in ({}, {"stream": True})]
    assert [(each["account"]["method"], each["account"]["energy_j"]) for each in found] == [("provider_reported", 36.0)] * 2
    checks = [each["cross_check"] for each in found]
    assert [each["method"] for each in checks] == ["runtime_power"] * 2
    assert checks[0]["energy_j"] == pytest.approx(checks[1]["energy_j"], rel=0.3)


@pytest.mark.parametrize("model", ["assumed", "closed"])
def test_where_time_tells_nothing_both_are_the_very_same(served, model):
    machine = Machine(decode_s=0.05)
    found = [made_by(served, machine, model, **more) for more in ({}, {"stream": True})]
    same = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "method", "confidence")
    assert [found[0]["account"][name] for name in same] == [found[1]["account"][name] for name in same]


def test_a_request_that_waited_for_a_place_is_no_slow_machine(served):
    """A stream is timed from its first token; a whole answer goes at the pace that streams of its deployment told."""
    streamed = made_by(served, Machine(decode_s=0.4, wait_s=1.2), "waiting", stream=True)
    whole = made_by(served, Machine(decode_s=0.4, wait_s=1.2), "waiting")
    assert (whole["account"]["method"], whole["paced_by"]) == ("runtime_power", "streams")
    assert whole["account"]["energy_j"] == pytest.approx(streamed["account"]["energy_j"], rel=1e-9)
    assert "latest streams" in whole["explanation"]["assumptions"][0]["why"]


def test_what_keeps_a_connection_open_is_no_first_token(served):
    """Hosts send comments while a request waits for its place."""

    def answer(received, handler):
        def pieces():
            yield b": waiting\n\n"
            time.sleep(1.2)
            yield from machine._events()

        handler.events(pieces())

    machine = Machine(decode_s=0.3)
    found = made_by(served, answer, "pinged", stream=True)
    assert found["decode_s"] == pytest.approx(machine.took_s, rel=0.5)
    assert found["ttft_s"] >= 1.2


def test_several_answers_at_a_time_show_no_pace(served):
    """Their tokens come side by side: what is seen is not the pace of one."""
    assert entry(served, "several", n=4)["account"]["method"] == "flops_roofline"
    assert entry(served, "several", n=1)["account"]["method"] == "runtime_power"


def test_a_slow_reader_is_no_slow_machine(served, monkeypatch):
    """The client takes half a second over what the machine wrote at once."""
    pausing, paused = Exchange.pause, threading.Event()

    def pause(exchange):
        pausing(exchange)
        paused.set()

    monkeypatch.setattr(Exchange, "pause", pause)
    count = 400
    pieces = [chunk({"content": "word" * 10_000}) for _ in range(count)]
    served.host.answer = lambda _, handler: handler.events(chain(pieces, [chunk({}, "stop", usage=usage_of(count)), DONE]))
    body = json.dumps({"model": "slow", "messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.settimeout(60)
        wire.connect(("127.0.0.1", served.port))
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        wire.sendall(head % len(body) + body)
        answer = bytearray(wire.recv(4096))
        assert paused.wait(60)
        time.sleep(0.5)  # what a machine is not to be blamed for
        while not answer.endswith(b"\r\n0\r\n\r\n"):
            more = wire.recv(1 << 20)
            assert more
            answer += more
    entry_id = answer.partition(b"x-greenlane-id: ")[2].partition(b"\r\n")[0].decode()
    found = served.entry(entry_id)
    assert (found["outcome"], found["account"]["method"], found["decode_s"]) == ("completed", "flops_roofline", None)


@pytest.mark.parametrize(("model", "tokens"), [("assumed", WORDS), ("stated", 7), ("stated", 100_000)], ids=["no batch", "few", "a burst"])
def test_a_stream_without_batch_or_pace_is_accounted_without_it(served, model, tokens):
    """A hundred thousand tokens in a tenth of a second are no machine's pace."""
    found = entry(served, model, tokens)
    assert found["account"]["method"] == "flops_roofline"
    assert found.get("cross_check") is None
    assert found["decode_s"] is None
