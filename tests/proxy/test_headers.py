"""The headers that every response carries: which, how large, and in what form their figures are."""

from __future__ import annotations

import re

import pytest

from tests.harness import ask, completion, exchange, serving

LONG = "n" * 100
FLEET = """
deployments:
  known: &known
    {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: SE, usd_per_mtok: {{input: 1, output: 2}}}}
  other: {{<<: *known, privacy: vendor, zone: PL}}
  dark: {{model: unknown, base_url: "{url}", privacy: local, zone: SE}}
  nowhere: {{model: nowhere, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local}}
  giant: {{model: giant, parameters_b: 5000, base_url: "{url}", privacy: local, zone: IN, usd_per_mtok: {{input: 0.0001, output: 90000}}}}
  {long}: {{model: {long}, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: aws:us-east-1,
    usd_per_mtok: {{input: 0.0001, output: 0.0001}}}}
policies:
  {long}: {{objective: lowest_carbon}}
"""
PLAIN = re.compile(r"\d+(\.\d+)?")
OURS = ("x-request-id", "x-greenlane-", "x-carbon-", "x-energy-")
ALWAYS = {"x-request-id", "x-greenlane-id", "x-greenlane-attempts", "x-greenlane-cache", "x-greenlane-reason"}
BY_A_DEPLOYMENT = {"x-greenlane-model", "x-greenlane-deployment", "x-greenlane-policy"}
WHERE = {"x-carbon-intensity-g-per-kwh", "x-carbon-zone"}
METHOD = {"x-carbon-method", "x-carbon-confidence"}
OBSERVED = {"x-carbon-g", "x-carbon-low-g", "x-carbon-high-g", "x-energy-wh", "x-energy-low-wh", "x-energy-high-wh"}
FORECAST = {name.replace("x-carbon-", "x-carbon-forecast-").replace("x-energy-", "x-energy-forecast-") for name in OBSERVED}
COST = {"x-greenlane-cost-usd"}
VERBOSE = {"x-carbon-basis", "x-carbon-source", "x-carbon-as-of", "x-carbon-age-s", "x-greenlane-config-version", "x-carbon-avoided-g"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url, long=LONG), tmp_path_factory.mktemp("headers")) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.answer = completion
    return shared


def ours(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith(OURS)}


def body(model, **more):
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], **more}


def test_a_whole_answer_has_what_was_observed(served):
    found = ours(ask(served, body("small")))
    assert set(found) == ALWAYS | BY_A_DEPLOYMENT | WHERE | METHOD | OBSERVED | COST
    assert found["x-greenlane-cost-usd"] == "0.000015"
    assert (found["x-greenlane-attempts"], found["x-greenlane-cache"]) == ("1", "none")
    low, middle, high = (float(found[f"x-carbon-{band}g"]) for band in ("low-", "", "high-"))
    assert 0 < low < middle < high
    assert found["x-carbon-confidence"] in {"very-low", "low", "medium", "high"}


def test_a_stream_has_the_forecast_instead(served):
    found = ours(ask(served, body("small", stream=True)))
    assert set(found) == ALWAYS | BY_A_DEPLOYMENT | WHERE | METHOD | FORECAST


def test_what_is_unknown_is_absent_and_never_zero(served):
    """Nothing tells the size of the model: no energy, no grams, no method of getting them; nor a price."""
    for more in ({}, {"stream": True}):
        found = ours(ask(served, body("unknown", **more)))
        assert set(found) == ALWAYS | BY_A_DEPLOYMENT | WHERE
        assert found["x-carbon-zone"] == "SWE"
    account = ask(served, body("unknown")).json()["usage"]["greenlane"]
    unknown = {"energy_wh", "energy_low_wh", "energy_high_wh", "carbon_g", "carbon_low_g", "carbon_high_g", "cost_usd"}
    unknown |= {"method", "confidence"}
    assert {name for name, value in account.items() if value is None} == unknown


def test_a_deployment_without_a_zone_says_the_world(served):
    found = ours(ask(served, body("nowhere")))
    assert found["x-carbon-zone"] == "WORLD"
    entry = served.entry(found["x-greenlane-id"])
    assert entry["account"]["intensity"]["assumed"] is True


REFUSED = {
    "unknown model": (body("nonesuch"), 404),
    "constraint": ({**body("small"), "greenlane": {"max_g_per_kwh": 1}}, 422),
    "malformed": ({"model": "small"}, 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_for_which_no_work_was_done_says_zero_by_no_method(served, case):
    given, status = REFUSED[case]
    answer = ask(served, given)
    found = ours(answer)
    assert answer.status_code == status
    assert set(found) - {"x-greenlane-policy"} == ALWAYS | METHOD | OBSERVED
    assert {found[name] for name in OBSERVED} == {"0"}
    assert (found["x-carbon-method"], found["x-carbon-confidence"], found["x-greenlane-attempts"]) == ("none", "none", "0")
    assert found["x-greenlane-reason"] == "refused"


def test_work_that_was_done_in_vain_is_not_said_to_be_none(served):
    served.host.answer = lambda _, handler: handler.reply(200, b"<html>")
    found = ours(ask(served, body("nowhere")))
    assert not set(found) & (OBSERVED | METHOD)
    assert found["x-greenlane-attempts"] == "1"


def test_figures_are_plain_decimals_of_two_digits(served):
    """From a fraction of a millionth of a dollar to thousands."""

    def huge(received, handler):
        usage = {"prompt_tokens": 7, "completion_tokens": 3_000_000, "total_tokens": 3_000_007}
        handler.reply(200, {"id": "c", "object": "chat.completion", "model": "m", "choices": [], "usage": usage})

    figures = []
    for answer in (huge, completion):
        served.host.answer = answer
        for model in ("small", "giant", LONG):
            for stream in (False, True) if answer is completion else (False,):
                figures += ours(ask(served, body(model, stream=stream))).items()
    numbers = [(name, value) for name, value in figures if name in OBSERVED | FORECAST | COST | {"x-carbon-intensity-g-per-kwh"}]
    assert len(numbers) > 60
    for name, value in numbers:
        assert PLAIN.fullmatch(value), (name, value)
        assert len(value.replace(".", "").strip("0")) <= 2, (name, value)
    assert any(float(value) < 1e-5 for _, value in numbers)
    assert any(float(value) > 1000 for _, value in numbers)


def test_verbose_headers_come_when_asked_for(served):
    for answer in (ask(served, body("small"), x_greenlane_verbose="true"), ask(served, body("small", greenlane={"verbose": True}))):
        found = ours(answer)
        assert set(found) == ALWAYS | BY_A_DEPLOYMENT | WHERE | METHOD | OBSERVED | COST | VERBOSE
        assert found["x-carbon-basis"] == "lifecycle"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["x-carbon-as-of"])
        assert int(found["x-carbon-age-s"]) > 0
        # 80 characters at most, cut between words
        assert found["x-carbon-source"] == "Ember Yearly Electricity Data, via thegreenwebfoundation/co2.js@27cbe83"
        assert found["x-greenlane-config-version"] == served.call(lambda runtime: runtime.snapshot().version)
    assert (
        ours(ask(served, body("small"), x_greenlane_verbose="true", x_greenlane_privacy="local"))["x-greenlane-rejected"] == "other=privacy"
    )
    assert not set(ours(ask(served, body("small"), x_greenlane_verbose="false"))) & VERBOSE


def test_verbose_headers_by_configuration_and_what_is_ignored_is_listed(proxy, upstream):
    text = f'deployments: {{only: {{model: small, base_url: "{upstream().url}", quirks: {{drops: [user, metadata]}}}}}}\n'
    served = proxy(text, server="{port: 0, verbose: true}")
    found = ours(ask(served, body("small", user="me")))
    assert found["x-greenlane-config-version"]
    assert found["x-greenlane-ignored"] == "user"


def head(answer: bytes) -> bytes:
    """The header lines that are ours."""
    lines = answer.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    return b"".join(line + b"\r\n" for line in lines if line.lower().startswith(tuple(name.encode() for name in OURS)))


def raw(method: str, path: str, more: bytes = b"", given: bytes = b"") -> bytes:
    start = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: {'r' * 128}\r\n".encode()
    return start + more + b"content-length: %d\r\n\r\n" % len(given) + given


VERBOSELY = b"x-greenlane-verbose: true\r\n"
CHAT = b'{"model":"%b","messages":[{"role":"user","content":"Hi"}]%b}'
SIZES = {
    "whole": raw("POST", "/v1/chat/completions", given=CHAT % (LONG.encode(), b"")),
    "stream": raw("POST", "/v1/chat/completions", given=CHAT % (LONG.encode(), b',"stream":true')),
    "with policy": raw(
        "POST", "/v1/chat/completions", b"x-greenlane-policy: %b\r\n" % LONG.encode(), CHAT % (LONG.encode(), b',"stream":true')
    ),
    "verbose": raw("POST", "/v1/chat/completions", VERBOSELY, CHAT % (b"small", b"")),
    "verbose stream": raw("POST", "/v1/chat/completions", VERBOSELY, CHAT % (b"small", b',"stream":true')),
    "404": raw("GET", "/v1/nothing"),
    "405": raw("GET", "/v1/chat/completions"),
    "refused": raw("POST", "/v1/chat/completions", b"x-greenlane-max-g: 0\r\n", CHAT % (LONG.encode(), b"")),
    "options": raw("OPTIONS", "/v1/chat/completions", b"origin: https://x.example\r\n"),
    "models": raw("GET", "/v1/models"),
}


@pytest.mark.parametrize("case", SIZES)
def test_our_headers_are_under_a_kibibyte(served, case):
    answer = exchange(served.port, SIZES[case])
    assert answer.startswith(b"HTTP/1.1 ")
    assert len(head(answer)) < 1024, len(head(answer))
    assert b"x-greenlane-id: " in head(answer)


def test_all_of_them_with_the_longest_names_are_under_a_kibibyte(proxy, upstream):
    """Verbose, and every other deployment rejected."""
    lines = "\n".join(f'  {"d" * 90}-{number}: {{model: small, base_url: "{upstream().url}", privacy: vendor}}' for number in range(8))
    own = (
        f'  {"l" * 100}: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{upstream().url}", privacy: local, zone: aws:us-east-1}}'
    )
    served = proxy(f"deployments:\n{lines}\n{own}\npolicies: {{{'p' * 100}: {{}}}}\n")
    more = VERBOSELY + b"x-greenlane-privacy: local\r\nx-greenlane-policy: %b\r\n" % (b"p" * 100)
    answer = exchange(served.port, raw("POST", "/v1/chat/completions", more, CHAT % (b"small", b',"stream":true')))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(head(answer)) < 1024, len(head(answer))


def test_nothing_of_the_upstreams_headers_passes_but_what_is_meant_to(served):
    passes = {"x-ratelimit-remaining-tokens": "5", "openai-processing-ms": "12", "retry-after-ms": "100"}
    private = {"set-cookie": "a=b", "server": "up", "alt-svc": "h3", "strict-transport-security": "max-age=1", "connection": "keep-alive"}
    of_ours = {"x-request-id": "theirs", "x-carbon-g": "9", "x-greenlane-id": "theirs", "access-control-allow-origin": "*"}
    sent = {**passes, **private, **of_ours}

    def answer(received, handler):
        message = {"role": "assistant", "content": "Hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        handler.reply(200, {"id": "c", "object": "chat.completion", "model": "m", "choices": choices}, sent)

    served.host.answer = answer
    found = ask(served, body("small")).headers
    passed = {name for name in sent if found.get(name) == sent[name]}
    assert passed == set(passes)
    assert len(found.get_list("x-carbon-g")) == len(found.get_list("x-greenlane-id")) == len(found.get_list("x-request-id")) == 1
    assert not set(private) & set(found)
    assert served.entry(found["x-greenlane-id"])["upstream_id"] == "theirs"


ODD = """
deployments: {{"50%-off%s": {{model: "m%d", upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: SE{price}}}}}
policies: {{"%b": {{objective: lowest_carbon}}}}
"""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("price", ["", ", usd_per_mtok: {input: 1, output: 2}"])
def test_a_name_with_a_percent_sign_is_told_as_it_is(proxy, upstream, stream, price):
    """Figures are filled into forms that are made of names."""
    served = proxy(ODD.format(url=upstream().url, price=price))
    for _ in range(2):
        answer = ask(served, body("m%d", stream=stream), x_greenlane_policy="%b")
        assert answer.status_code == 200
        found = [answer.headers[f"x-greenlane-{name}"] for name in ("deployment", "model", "policy")]
        assert found == ["50%-off%s", "m%d", "%b"]
        assert '"model":"m%d","deployment":"50%-off%s","policy":"%b"' in answer.text
