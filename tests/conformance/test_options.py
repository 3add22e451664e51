"""What the official client can see and ask for beside the answer: headers, options, addresses."""

from __future__ import annotations

import json
import re

import httpx
import openai
import pytest

from tests.conformance.samples import HELLO

ALWAYS = (
    *("x-request-id", "x-greenlane-id", "x-greenlane-model", "x-greenlane-deployment", "x-greenlane-policy", "x-greenlane-attempts"),
    *("x-greenlane-cache", "x-greenlane-reason", "x-carbon-method", "x-carbon-confidence", "x-carbon-intensity-g-per-kwh", "x-carbon-zone"),
)
OBSERVED = ("x-carbon-g", "x-carbon-low-g", "x-carbon-high-g", "x-energy-wh", "x-energy-low-wh", "x-energy-high-wh")
FORECAST = tuple(name.replace("-carbon-", "-carbon-forecast-").replace("-energy-", "-energy-forecast-") for name in OBSERVED)
VERBOSE = ("x-carbon-basis", "x-carbon-source", "x-carbon-as-of", "x-carbon-age-s", "x-greenlane-config-version")
PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")


def raw(client, model: str, **members):
    return client.chat.completions.with_raw_response.create(model=model, messages=HELLO, **members)


@pytest.mark.parametrize("name", ALWAYS)
def test_a_whole_answer_has_the_header(client, route, name):
    assert raw(client, route.model).headers[name]


@pytest.mark.parametrize("name", ALWAYS)
def test_a_stream_has_the_header(client, route, name):
    with client.chat.completions.with_streaming_response.create(model=route.model, messages=HELLO, stream=True) as response:
        assert response.headers[name]


def test_what_a_deployment_drops_is_left_out_and_listed(client, translated):
    """Though its dialect refuses it, or its model: the operator has said so."""
    members = {"temperature": 0.2, "top_p": 0.5, "frequency_penalty": 0.5, "logit_bias": {"1": 2}}
    answer = raw(client, f"{translated.name}-lenient", **members, extra_headers={"x-greenlane-verbose": "true"})
    assert set(answer.headers["x-greenlane-ignored"].split(", ")) == set(members)
    sent = json.dumps(translated.last).lower()
    assert not any(word in sent for word in ("temperature", "topp", "top_p", "penalty", "bias"))


@pytest.mark.parametrize("name", OBSERVED)
def test_a_whole_answer_has_the_observed_figure_as_a_plain_number(client, route, name):
    headers = raw(client, route.model).headers
    assert PLAIN_NUMBER.fullmatch(headers[name])
    assert not [other for other in FORECAST if other in headers]


@pytest.mark.parametrize("name", FORECAST)
def test_a_stream_has_the_forecast_as_a_plain_number(client, route, name):
    with client.chat.completions.with_streaming_response.create(model=route.model, messages=HELLO, stream=True) as response:
        headers = response.headers
    assert PLAIN_NUMBER.fullmatch(headers[name])
    assert not [other for other in OBSERVED if other in headers]


def test_the_headers_stay_below_a_kibibyte(client, route):
    headers = raw(client, route.model, extra_headers={"x-greenlane-verbose": "true"}).headers
    ours = [(name, value) for name, value in headers.items() if name.startswith(("x-greenlane", "x-carbon", "x-energy", "x-request-id"))]
    assert sum(len(name) + len(value) + 4 for name, value in ours) < 1024


def test_headers_and_body_tell_the_same(client, route):
    answer = raw(client, route.model)
    account = answer.parse().usage.greenlane
    assert answer.headers["x-greenlane-id"] == account["id"]
    assert answer.headers["x-greenlane-deployment"] == account["deployment"]
    assert float(answer.headers["x-carbon-g"]) == pytest.approx(account["carbon_g"], rel=0.06)
    assert float(answer.headers["x-energy-wh"]) == pytest.approx(account["energy_wh"], rel=0.06)
    assert float(answer.headers["x-greenlane-cost-usd"]) == pytest.approx(account["cost_usd"], rel=0.06)


def test_the_entry_is_in_the_ledger(fleet, client, route):
    account = raw(client, route.model).parse().usage.greenlane
    entry = fleet.entry(account["id"])
    assert entry["model"] == route.model
    assert entry["outcome"] == "completed"
    assert entry["account"]["carbon_g"] == pytest.approx(account["carbon_g"], rel=1e-3)


def test_the_clients_request_id_comes_back(client, route):
    answer = raw(client, route.model, extra_headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.parse()._request_id == "mine-1"


@pytest.mark.parametrize("name", VERBOSE)
def test_more_is_told_where_it_is_asked_for(client, route, name):
    assert name in raw(client, route.model, extra_headers={"x-greenlane-verbose": "true"}).headers
    assert name in raw(client, route.model, extra_body={"greenlane": {"verbose": True}}).headers


def test_members_that_were_dropped_are_listed(client, translated):
    headers = raw(client, translated.model, metadata={"a": "b"}, store=True, extra_headers={"x-greenlane-verbose": "true"}).headers
    assert set(headers["x-greenlane-ignored"].replace(" ", "").split(",")) >= {"metadata", "store"}


@pytest.mark.parametrize(
    "wish",
    [
        {"policy": "green"},
        {"max_g": 100},
        {"max_usd": 1.5},
        {"max_g_per_kwh": 500},
        {"regions": ["EU"]},
        {"privacy": "vendor"},
        {"max_ttft_s": 10},
        {"substitute": "never"},
        {"prefer": {"max_g_per_kwh": 300}},
        {"verbose": False},
        {"task": "code"},
        {},
        None,
    ],
)
def test_a_wish_in_the_body_is_taken_and_goes_no_further(client, route, wish):
    assert raw(client, route.model, extra_body={"greenlane": wish}).parse().choices[0].message.content
    if route.name != "openai":
        assert "greenlane" not in route.last


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("policy", "green"), ("max-g", "100"), ("max-usd", "1.5"), ("max-g-per-kwh", "500"), ("regions", "EU"), ("regions", "SE, DE")),
        *(("privacy", "vendor"), ("max-ttft-s", "10"), ("substitute", "never"), ("prefer", "max-g-per-kwh=300"), ("verbose", "true")),
        ("prefer", "privacy=local, max_g=5"),
    ],
)
def test_a_wish_in_a_header_is_taken_and_goes_no_further(client, route, name, value):
    answer = raw(client, route.model, extra_headers={f"x-greenlane-{name}": value})
    assert answer.parse().choices[0].message.content
    if route.name != "openai":
        assert not [name for name in route.imitation.last.headers if name.startswith("x-greenlane")]


def test_a_policy_may_follow_the_model(client, route):
    assert raw(client, f"{route.model}/green").headers["x-greenlane-policy"] == "green"


def test_a_preference_that_nobody_meets_is_told(client, route):
    headers = raw(client, route.model, extra_body={"greenlane": {"prefer": {"max_g_per_kwh": 0.001}}}).headers
    assert headers["x-greenlane-reason"] == "preference-unmet"


def test_the_privacy_of_the_request_holds(client):
    assert raw(client, "openai", extra_headers={"x-greenlane-privacy": "local"}).parse().choices[0].message.content
    with pytest.raises(openai.UnprocessableEntityError):
        raw(client, "anthropic", extra_headers={"x-greenlane-privacy": "local"})


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "//v1", "/v1//", "/v1/v1"])
def test_the_base_url_may_be_written_in_many_ways(fleet, suffix):
    with openai.OpenAI(base_url=fleet.base + suffix, api_key="unused", max_retries=0) as client:
        assert client.chat.completions.create(model="openai", messages=HELLO).choices[0].message.content
        assert client.embeddings.create(model="openai", input="Hi").data[0].embedding
        assert client.models.list().data
        assert client.models.retrieve("openai").id == "openai"
        assert client.responses.create(model="openai", input="Hi").output_text


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/chat/completions/", "//v1//chat//completions", "/chat/completions", "/v1/chat/completions?x=1"]
)
def test_a_path_may_be_written_in_many_ways(fleet, path):
    answer = httpx.post(fleet.base + path, json={"model": "openai", "messages": HELLO}, timeout=60)
    assert answer.status_code == 200
    assert not answer.history


def test_openais_own_headers_are_taken(fleet):
    with openai.OpenAI(base_url=fleet.url, api_key="k", organization="org-1", project="proj_1", max_retries=0) as client:
        assert client.chat.completions.create(model="openai", messages=HELLO).choices


def test_an_upstream_is_told_nothing_of_the_client(faults, faulty_proxy):
    with openai.OpenAI(base_url=faulty_proxy.url, api_key="my-own-key", organization="org-1", project="p-1", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="echo", messages=HELLO, extra_headers={"cookie": "session=1", "x-forwarded-for": "10.0.0.1", "x-request-id": "mine-2"}
        )
    told = json.loads(answer.choices[0].message.content)
    assert not {"authorization", "cookie", "openai-organization", "openai-project", "x-forwarded-for"} & told["headers"].keys()
    assert not [name for name in told["headers"] if name.startswith(("x-stainless", "x-greenlane"))]
    assert told["headers"]["x-request-id"] == "mine-2"


def test_unknown_members_pass_to_a_host_of_the_same_dialect(faults):
    extra = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}, "greenlane": {"policy": "clean"}}
    answer = faults.chat.completions.create(model="echo", messages=HELLO, extra_body=extra)
    assert json.loads(answer.choices[0].message.content)["body"] == {
        "model": "echo",
        "messages": HELLO,
        "top_k": 5,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_usage_is_always_asked_of_a_stream(faults):
    text = "".join(
        chunk.choices[0].delta.content or "" for chunk in faults.chat.completions.create(model="echo", messages=HELLO, stream=True)
    )
    assert json.loads(text)["body"]["stream_options"] == {"include_usage": True}


def test_a_trace_is_continued(faults):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = faults.chat.completions.create(model="echo", messages=HELLO, extra_headers={"traceparent": parent})
    assert json.loads(answer.choices[0].message.content)["headers"]["traceparent"].split("-")[1] == parent.split("-")[1]


def test_the_raw_response_of_a_stream_can_be_parsed(client, route):
    stream = raw(client, route.model, stream=True).parse()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_a_request_may_be_packed(fleet):
    import gzip

    body = gzip.compress(json.dumps({"model": "openai", "messages": HELLO}).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert httpx.post(f"{fleet.url}/chat/completions", content=body, headers=headers, timeout=60).status_code == 200
