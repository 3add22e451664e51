"""Estimates on request: a figure without routing, or of a prompt that goes through the fleet; kept, and read by the own team."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import socket
import sqlite3
import threading

import httpx
import pytest

from proxy.cli.command import run
from proxy.store.ledger import StoreUnavailableError
from tests.harness import Process, Upstream, ask, serving, until

FLEET = """
models: {{pair: {{default: pair-pl}}, mute: {{expected_output_tokens: 77}}}}
policies:
  green: {{objective: lowest_carbon}}
  home: {{require: {{privacy: local}}}}
deployments:
  stated: {{model: stated, base_url: "{url}", zone: SE, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100, count: 1}}}}
  pair-se: {{model: pair, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: SE, pue: 1.2}}
  pair-pl: {{model: pair, upstream_model: Qwen/Qwen3-32B, base_url: "{url}", zone: PL}}
  mute: {{model: mute, upstream_model: a-mystery, base_url: "{url}", zone: SE}}
"""
SECRET = "the prompt that nobody keeps"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("estimates")) as made:
        yield made


def estimate(served, body, path="/estimate", **more):
    if isinstance(body, dict):
        return httpx.post(served.base + path, json=body, timeout=20, **more)
    return httpx.post(served.base + path, content=body, timeout=20, headers={"content-type": "application/json"}, **more)


def listed(served, path="/estimates", **more):
    return httpx.get(served.base + path, timeout=20, **more)


@pytest.mark.parametrize("mode", ["simulate", "run"])
def test_a_compressed_body_is_taken(served, mode):
    body = gzip.compress(json.dumps({"model": "pair", "prompt": "Hi", "tokens_out": 5, "mode": mode}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = httpx.post(f"{served.base}/estimate", content=body, timeout=60, headers=headers)
    assert (answer.status_code, answer.json()["mode"]) == (201, mode)
    broken = httpx.post(f"{served.base}/estimate", content=body[:-1], timeout=60, headers=headers)
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_request_error")


def test_so_many_tokens_on_a_deployment_of_ours(served):
    """8B on one H100 at batch 64, 100 in and 400 out: 87.3 J, and 35.9 g/kWh in Sweden. Nothing is sent."""
    sent = len(served.host.requests)
    answer = estimate(served, {"model": "stated", "tokens_in": 100, "tokens_out": 400, "note": "for the offer"})
    assert answer.status_code == 201
    found = answer.json()
    assert answer.headers["location"] == f"/estimates/{found['id']}"
    assert (found["mode"], found["deployment"], found["entry"], found["note"]) == ("simulate", "stated", None, "for the offer")
    account = found["account"]
    assert account["energy_j"] == pytest.approx(87.324, abs=0.01)
    assert account["energy_wh"] == pytest.approx(87.324 / 3600, rel=1e-4)
    assert account["carbon_g"] == pytest.approx(87.324 / 3.6e6 * 35.9, rel=0.01)
    assert (account["method"], account["confidence"], found["zone"]) == ("flops_roofline", "medium", "SWE")
    explanation = found["explanation"]
    assert [each["method"] for each in explanation["methods"]] == ["flops_roofline", "token_proxy"]
    assert explanation["methods"][0]["formula"][-1]["result"] == pytest.approx(account["energy_j"], rel=1e-4)
    assert explanation["components"]["total_j"] == pytest.approx(account["energy_j"])
    assert explanation["intensity"]["zone"] == "SWE"
    assert len(served.host.requests) == sent


def test_a_prompt_is_counted_and_not_kept(served):
    found = estimate(served, {"model": "stated", "prompt": SECRET, "tokens_out": 5}).json()
    assert (found["tokens"]["input"], found["tokens"]["estimated"]) == (5, True)
    assert [each["code"] for each in found["explanation"]["warnings"]] == ["tokens_estimated"]
    assert SECRET not in json.dumps(listed(served, f"/estimates/{found['id']}").json())
    assert not [path for path in served.folder.iterdir() if SECRET.encode() in path.read_bytes()]


def test_the_time_it_took_makes_a_better_method_qualify(served):
    found = estimate(served, {"model": "stated", "tokens_in": 100, "tokens_out": 400, "inference_ms": 4000}).json()
    assert found["account"]["method"] == "runtime_power"
    assert [each["method"] for each in found["explanation"]["methods"]] == ["runtime_power", "flops_roofline", "token_proxy"]
    assert found["explanation"]["assumptions"][0]["name"] == "inference_ms"
    other = estimate(served, {"model": "pair", "provider": "pair-pl", "tokens_in": 100, "tokens_out": 400, "inference_ms": 4000}).json()
    assert other["account"]["method"] == "flops_roofline"
    assert other["explanation"]["assumptions"][0]["value"] == "not used"
    assert other["explanation"]["recomputed"]


@pytest.mark.parametrize(
    ("body", "deployment", "zone", "method"),
    [
        ({"model": "pair"}, "pair-pl", "POL", "flops_roofline"),
        ({"model": "pair", "provider": "pair-se"}, "pair-se", "SWE", "flops_roofline"),
        ({"model": "pair-se"}, "pair-se", "SWE", "flops_roofline"),
        ({"model": "pair", "provider": "aws:eu-central-1"}, None, "aws:eu-central-1", "flops_roofline"),
        ({"model": "gpt-4o"}, None, "WORLD", "vendor_prior"),
        ({"model": "gpt-4o", "provider": "openai"}, None, "WORLD", "vendor_prior"),
        ({"model": "Qwen/Qwen3-235B-A22B", "provider": "FR"}, None, "FRA", "flops_roofline"),
        ({"model": "wonder-70b", "provider": "aws"}, None, "WORLD", "token_proxy"),
        ({"model": "gemini-2.5-pro", "provider": "Google"}, None, "WORLD", "vendor_prior"),
        ({"model": "mute"}, "mute", "SWE", "none"),
    ],
)
def test_a_model_is_of_the_configuration_or_of_the_tables_and_a_provider_a_place(served, body, deployment, zone, method):
    found = estimate(served, {**body, "tokens_in": 10, "tokens_out": 10}).json()
    assert (found["deployment"], found["zone"], found["account"]["method"]) == (deployment, zone, method)
    assert found["explanation"]["recomputed"] == (method != "none")


def test_in_another_place_the_building_is_another_unless_stated(served):
    def pue(body):
        found = estimate(served, {**body, "tokens_in": 10, "tokens_out": 10}).json()["explanation"]["methods"][0]["formula"][-1]
        return found["expression"].split(" * ")[-1]

    assert pue({"model": "pair", "provider": "aws:eu-central-1"}) == "1.35"
    assert pue({"model": "pair-se", "provider": "aws:eu-central-1"}) == "1.2"


def test_what_is_not_said_is_assumed_and_told(served):
    found = estimate(served, {"model": "pair", "tokens_in": 10}).json()
    names = [each["name"] for each in found["explanation"]["assumptions"]]
    assert names == ["deployment", "tokens_out", "bytes_per_parameter", "batch", "gpu", "gpu_count", "host_factor", "idle_factor", "pue"]
    assert found["tokens"]["output"] == served.runtime.config.limits.expected_output_tokens
    assert estimate(served, {"model": "mute", "tokens_in": 10}).json()["tokens"]["output"] == 77


BAD = {
    "no model": ({"tokens_in": 1}, "model"),
    "nothing to estimate": ({"model": "pair"}, "prompt"),
    "both": ({"model": "pair", "prompt": "a", "tokens_in": 1}, "prompt"),
    "a member nobody knows": ({"model": "pair", "tokens_in": 1, "zone": "SE"}, "zone"),
    "too few tokens": ({"model": "pair", "tokens_in": -1}, "tokens_in"),
    "too many": ({"model": "pair", "tokens_in": 10**10}, "tokens_in"),
    "a float": ({"model": "pair", "tokens_in": 1.5}, "tokens_in"),
    "text": ({"model": "pair", "tokens_in": 1, "tokens_out": "many"}, "tokens_out"),
    "a boolean": ({"model": "pair", "tokens_in": True}, "tokens_in"),
    "no time": ({"model": "pair", "tokens_in": 1, "inference_ms": 0}, "inference_ms"),
    "a long note": ({"model": "pair", "tokens_in": 1, "note": "x" * 501}, "note"),
    "a note no database holds": ({"model": "pair", "tokens_in": 1, "note": "a\0b"}, "note"),
    "another mode": ({"model": "pair", "tokens_in": 1, "mode": SECRET}, "mode"),
    "a place nobody knows": ({"model": "pair", "tokens_in": 1, "provider": "Atlantis-9"}, "provider"),
    "a vendor that is no place for a deployment": ({"model": "pair", "tokens_in": 1, "provider": "gemini"}, "provider"),
    "a run of numbers": ({"model": "pair", "tokens_in": 1, "mode": "run"}, "prompt"),
    "a run elsewhere": ({"model": "pair", "prompt": "a", "mode": "run", "provider": "FR"}, "provider"),
    "an array": (b"[]", None),
    "no JSON": (b'{"model": ', None),
    "twice": (b'{"model": "pair", "model": "stated", "tokens_in": 1}', "model"),
    "deep": (b'{"model": "pair", "prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "half a character": (b'{"model": "pair", "prompt": "\\ud800"}', None),
    "no text": (b'{"model": "pair", "prompt": "\xff"}', None),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_as_it_must_be_is_a_400_that_names_the_member(served, name):
    body, param = BAD[name]
    answer = estimate(served, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert SECRET not in answer.text


def test_a_model_nobody_knows_is_not_found(served):
    answer = estimate(served, {"model": "a-mystery", "tokens_in": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_other_methods_and_types_are_refused(served):
    assert httpx.get(served.base + "/estimate", timeout=10).status_code == 405
    assert httpx.post(served.base + "/estimate", content=b"a=b", headers={"content-type": "text/plain"}, timeout=10).status_code == 415
    assert listed(served, "/estimates/est-none").status_code == 404


def test_they_are_listed_newest_first_page_by_page(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url))
    made = [estimate(served, {"model": "pair", "tokens_in": number}, "/v1/greenlane/estimate").json()["id"] for number in range(5)]
    first = listed(served, "/estimates?limit=2").json()
    assert [each["id"] for each in first["data"]] == made[:2:-1]
    assert first["has_more"]
    assert "explanation" not in first["data"][0]
    second = listed(served, f"/v1/greenlane/estimates?limit=3&before={made[3]}").json()
    assert ([each["id"] for each in second["data"]], second["has_more"]) == (made[2::-1], False)
    for query in ("limit=0", "limit=101", "limit=x", "before=est-none"):
        assert listed(served, f"/estimates?{query}").status_code == 400
    one = listed(served, f"/estimates/{made[4]}").json()
    assert one["tokens"]["input"] == 4
    assert one["explanation"]["recomputed"]


def test_a_run_goes_through_the_fleet_and_links_to_its_entry(served):
    answer = estimate(served, {"model": "pair/green", "prompt": "Hi", "tokens_out": 50, "mode": "run", "note": "n"})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    sent = served.host.requests[-1].json
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]
    assert 50 in (sent.get("max_completion_tokens"), sent.get("max_tokens"))
    assert found["response"]["choices"][0]["message"]["content"] == "Hello!"
    entry = served.entry(found["entry"])
    assert (entry["deployment"], entry["policy"], entry["api"], entry["reason"]) == ("pair-se", "green", "chat", "lowest-carbon")
    same = ("energy_j", "energy_low_j", "energy_high_j", "carbon_g", "method", "confidence")
    assert [found["account"][name] for name in same] == [entry["account"][name] for name in same]
    assert found["explanation"]["methods"] == entry["explanation"]["methods"]
    again = listed(served, f"/estimates/{found['id']}").json()
    assert "response" not in again
    assert again["explanation"] == found["explanation"]


def test_a_run_obeys_the_callers_constraints(served):
    refused = estimate(served, {"model": "pair", "prompt": SECRET, "mode": "run"}, headers={"x-greenlane-policy": "home"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no_eligible_deployment")
    assert estimate(served, {"model": "nobody", "prompt": "Hi", "mode": "run"}).json()["error"]["code"] == "model_not_found"


def test_a_run_that_fails_is_answered_as_the_completion_would_be(served):
    good = served.host.answer
    served.host.answer = lambda _, handler: handler.reply(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
    try:
        found = estimate(served, {"model": "stated", "prompt": "Hi", "mode": "run"})
    finally:
        served.host.answer = good
    assert (found.status_code, found.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_when_the_caller_of_a_run_leaves_the_upstream_is_stopped(served):
    good, begun = served.host.answer, threading.Event()

    def slow(_, handler):
        begun.set()
        with contextlib.suppress(OSError):
            if handler.connection.recv(1) == b"":
                handler.upstream.gone.set()
        handler.close_connection = True

    served.host.answer = slow
    served.host.gone.clear()
    try:
        body = b'{"model": "stated", "prompt": "Hi", "mode": "run"}'
        with socket.create_connection(("127.0.0.1", served.port)) as wire:
            wire.sendall(b"POST /estimate HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            assert begun.wait(60)
        assert served.host.gone.wait(60)
    finally:
        served.host.answer = good
    until(lambda: any(each.outcome == "client_gone" for each in served.entries()))


KEYS = """
teams: {{search: {{}}, chat: {{}}}}
keys:
  a: {{team: search, key: env:KEY_A}}
  b: {{team: chat, key: env:KEY_B, models: [pair]}}
"""


def test_a_team_reads_its_own_and_a_key_knows_its_own_models(proxy, upstream):
    served = proxy(FLEET.format(url=upstream().url) + KEYS.format(), environ={"KEY_A": "sk-a", "KEY_B": "sk-b"})
    a, b = ({"authorization": f"Bearer sk-{name}"} for name in "ab")
    made = estimate(served, {"model": "stated", "tokens_in": 1, "tokens_out": 9}, headers=a).json()
    assert (made["team"], made["key"]) == ("search", "a")
    assert listed(served, f"/estimates/{made['id']}", headers=b).status_code == 404
    assert listed(served, headers=b).json()["data"] == []
    assert listed(served, f"/estimates?before={made['id']}", headers=b).status_code == 400
    assert [each["id"] for each in listed(served, headers=a).json()["data"]] == [made["id"]]
    assert (listed(served).status_code, estimate(served, {"model": "pair", "tokens_in": 1}).status_code) == (401, 401)
    # what its models are not is not there for it
    assert estimate(served, {"model": "stated", "tokens_in": 1}, headers=b).json()["error"]["code"] == "model_not_found"
    assert estimate(served, {"model": "mute", "prompt": "Hi", "mode": "run"}, headers=b).json()["error"]["code"] == "model_not_found"
    ran = estimate(served, {"model": "pair", "prompt": "Hi", "mode": "run"}, headers=b).json()
    assert httpx.get(f"{served.url}/greenlane/requests/{ran['entry']}", headers=b, timeout=10).json()["key"] == "b"


def test_while_the_store_takes_nothing_it_says_so(proxy, monkeypatch):
    host = Upstream()
    served = proxy(FLEET.format(url=host.url))
    assert estimate(served, {"model": "pair", "tokens_in": 1}).status_code == 201
    monkeypatch.setattr("proxy.controlplane.estimates.DEADLINE_S", 0.3)  # the first word may take a slow machine longer
    with contextlib.closing(sqlite3.connect(served.folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = estimate(served, {"model": "pair", "tokens_in": 1})
        assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")
        other.execute("ROLLBACK")
    served.entries(0)
    assert ask(served, {"model": "pair", "messages": [{"role": "user", "content": "Hi"}]}).status_code == 200
    host.close()


def test_while_the_store_is_away_nothing_is_spent_on_a_run(proxy, upstream, monkeypatch):
    host = upstream()
    served = proxy(FLEET.format(url=host.url))

    async def away(*_):
        raise StoreUnavailableError("08006")

    monkeypatch.setattr("proxy.store.ledger.Ledger.rows", away)
    answers = [
        estimate(served, {"model": "pair", "prompt": "Hi", "mode": "run"}),
        listed(served),
        listed(served, "/estimates/est-1"),
    ]
    assert [(each.status_code, each.json()["error"]["code"]) for each in answers] == [(503, "unavailable")] * 3
    assert host.requests == []


def test_a_prompt_beyond_all_bounds_is_refused(served):
    answer = estimate(served, {"model": "pair", "prompt": "x" * 11_000_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_the_command_explains_an_estimate_too(served, capsys):
    found = estimate(served, {"model": "gpt-4o", "tokens_in": 100, "tokens_out": 400}).json()
    capsys.readouterr()
    assert run(["explain-carbon", found["id"], "--url", served.base]) == 0
    out = capsys.readouterr().out
    for text in (found["id"], "vendor_prior", "best case", "worst case", "geometric mean", "Grid WORLD", "zone = WORLD"):
        assert text in out


def test_a_run_that_does_not_come_in_the_time_to_drain_is_accounted_as_failed(tmp_path, upstream):
    """Its upstream is let go and its entry says whose fault it was, as of any other exchange."""
    let = threading.Event()
    host = upstream(lambda _, handler: let.wait(60))
    process = Process(FLEET.format(url=host.url), tmp_path / "process", server="{port: 0, drain_s: 1}")
    try:
        body = b'{"model": "stated", "prompt": "Hi", "mode": "run"}'
        with socket.create_connection(("127.0.0.1", process.port)) as wire:
            wire.sendall(b"POST /estimate HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            until(lambda: host.requests)
            process.popen.send_signal(signal.SIGTERM)
            wire.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                b"".join(iter(lambda: wire.recv(65536), b""))
        assert process.ended() == 0
        with contextlib.closing(sqlite3.connect(process.folder / "ledger.db")) as store:
            assert store.execute("SELECT outcome FROM ledger").fetchall() == [("failed",)]
    finally:
        let.set()
        process.close()
