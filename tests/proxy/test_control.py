"""What is beside inference: health, models, entries, sums; and what holds for every response of the server."""

from __future__ import annotations

import datetime as dt
import json
import time

import httpx
import pytest

from tests.harness import Served, Upstream, ask, completion, exchange, serving

FLEET = """
models: {{auto: {{members: [small, org/large]}}, small: {{substitutes: [org/large]}}}}
deployments:
  north: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", privacy: local, zone: SE, usd_per_mtok: {{input: 1, output: 2}}}}
  south: {{model: org/large, base_url: "{url}", zone: PL}}
policies: {{green: {{objective: lowest_carbon}}}}
limits: {{body_bytes: 4096}}
"""
BODY = b'{"model":"small","messages":[]}'
ALWAYS = ("x-request-id", "x-greenlane-id", "x-greenlane-attempts", "x-greenlane-cache", "x-greenlane-reason")
NO_WORK = {"x-carbon-g": "0", "x-energy-wh": "0", "x-carbon-method": "none", "x-carbon-confidence": "none"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("control")) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    shared.host.answer = completion
    return shared


def call(served, method, path, content=None, **headers):
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, served.base + path, content=content, headers=given, timeout=10, verify=False)


def test_health_is_told(served):
    assert call(served, "GET", "/health/live").json() == {"status": "live"}
    assert call(served, "GET", "/health/ready").json() == {"status": "ready"}


def test_without_a_usable_deployment_it_is_not_ready(proxy):
    answer = call(proxy("deployments: {}\n"), "GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unready"


GETS = ["/health/live", "/health/ready", "/metrics", "/v1/models", "/v1/models/small", "/v1/greenlane/usage"]


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_its_body(served, path):
    got, head = call(served, "GET", path), call(served, "HEAD", path)
    assert got.status_code == head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == str(len(got.content))


@pytest.mark.parametrize("path", ["/models", "/v1/models/", "//v1//models", "/v1/v1/models", "/v1/models?limit=1"])
def test_models_are_listed_under_odd_paths(served, path):
    assert call(served, "GET", path).json()["object"] == "list"


def test_models_are_openais_list_and_more(served):
    answer = call(served, "GET", "/v1/models").json()
    assert [each["id"] for each in answer["data"]] == ["auto", "small", "org/large"]
    assert all({"id", "object", "created", "owned_by"} <= set(each) and each["object"] == "model" for each in answer["data"])
    assert all(abs(each["created"] - time.time()) < 3600 for each in answer["data"])
    small = answer["data"][1]["greenlane"]
    assert small["substitutes"] == ["org/large"]
    [place] = small["deployments"]
    assert (place["name"], place["zone"], place["privacy"], place["up"], place["simulated"]) == ("north", "SWE", "local", True, False)


@pytest.mark.parametrize("path", ["/v1/models/org/large", "/v1/models/org%2Flarge", "/models/org/large", "/v1/models/org/large/"])
def test_a_models_name_may_hold_slashes(served, path):
    assert call(served, "GET", path).json()["id"] == "org/large"


@pytest.mark.parametrize("name", ["nonesuch", "org", "org/large/x", "..%2f..", "small%00", "%F0%9F%98%80"])
def test_a_model_that_is_not_here_is_404(served, name):
    answer = call(served, "GET", f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


NOT_HERE = {
    ("GET", "/"): 404,
    ("GET", "/v1"): 404,
    ("GET", "/v1/nothing"): 404,
    ("POST", "/v1/nothing"): 404,
    ("POST", "/v1/chat/completions/x"): 404,
    ("GET", "/v1/chat/completionsx"): 404,
    ("GET", "/schema"): 404,
    ("GET", "/v1/greenlane/requests/none"): 404,
    ("GET", "/v1/chat/completions"): 405,
    ("PUT", "/v1/chat/completions"): 405,
    ("DELETE", "/v1/messages"): 405,
    ("POST", "/v1/models"): 405,
    ("DELETE", "/v1/models/small"): 405,
    ("POST", "/health/live"): 405,
    ("POST", "/metrics"): 405,
    ("PATCH", "/v1/greenlane/usage"): 405,
}


@pytest.mark.parametrize("case", NOT_HERE)
def test_404_and_405_are_openais_object(served, case):
    method, path = case
    answer = call(served, method, path, b"{}" if method == "POST" else None)
    assert answer.status_code == NOT_HERE[case]
    if path != "/v1/messages":
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["code"]) == (
            "invalid_request_error",
            "not_found" if answer.status_code == 404 else "method_not_allowed",
        )
    else:
        assert answer.json()["type"] == "error"
    if answer.status_code == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/messages/batches", {}),
        ("/v1/models/nothing", {"anthropic-version": "2026-10-21"}),
        ("/v1/files", {"anthropic-version": "2026-10-21"}),
    ],
)
def test_anthropics_clients_get_its_object_everywhere(served, path, headers):
    answer = call(served, "GET", path, **headers)
    error = answer.json()
    assert (answer.status_code, error["type"], error["error"]["type"]) == (404, "error", "not_found_error")


@pytest.mark.parametrize(("path", "methods"), [("/v1/chat/completions", "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS")])
def test_options_names_the_methods_that_a_path_takes(served, path, methods):
    assert call(served, "OPTIONS", path).headers["allow"] == methods


@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/metrics", "/nothing"])
def test_answers_beside_the_inference_routes_have_one_date(served, path):
    assert len(call(served, "GET", path).headers.get_list("date")) == 1


POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
EVERY = {
    "404": b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "405": b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "400": POST + b"content-length: 2\r\n\r\n{}",
    "400 framing": POST + b"content-length: x\r\n\r\n",
    "404 model": POST + b'content-length: 27\r\n\r\n{"model":"x","messages":[]} ',
    "413": POST + b"content-length: 99999\r\n\r\n",
    "414": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "415": POST + b"content-type: text/html\r\ncontent-length: 2\r\n\r\n{}",
    "417": POST + b"expect: tea\r\ncontent-length: 2\r\n\r\n{}",
    "422": POST + b"x-greenlane-max-g-per-kwh: 1\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "431": POST + b"x: " + b"a" * 60000 + b"\r\n\r\n",
    "403": b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
    "403 inference": POST.replace(b"localhost", b"evil.example") + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "204 options": b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "204 options of models": b"OPTIONS /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "200 health": b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "200 models": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "200 metrics": b"HEAD /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
}


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    return int(start.split()[1]), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.parametrize("case", EVERY)
def test_every_response_has_its_ids_and_says_that_no_work_was_done(served, case):
    status, headers, _ = parsed(exchange(served.port, EVERY[case]))
    assert status == int(case.split()[0])
    assert set(ALWAYS) <= set(headers)
    assert {name: headers.get(name) for name in NO_WORK} == NO_WORK


def test_429_of_an_upstream_has_them_too(served):
    served.host.answer = lambda _, handler: handler.reply(429, {"error": {"message": "slow down"}}, {"retry-after": "3"})
    answer = ask(served, {"model": "org/large", "messages": []})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert {name: answer.headers.get(name) for name in NO_WORK} == NO_WORK
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


# CORS


@pytest.fixture(scope="module")
def browsed(tmp_path_factory):
    host = Upstream()
    server = "{port: 0, cors: {origins: [https://app.example], max_age_s: 60}, hosts: [localhost, 127.0.0.1]}"
    made = Served(FLEET.format(url=host.url), tmp_path_factory.mktemp("cors") / "proxy", server=server)
    yield made
    made.close()
    host.close()


PATHS = [
    ("POST", "/v1/chat/completions", BODY),
    ("GET", "/v1/models", None),
    ("GET", "/v1/nothing", None),
    ("POST", "/v1/responses", b"{}"),
]


@pytest.mark.parametrize("case", PATHS)
def test_a_page_of_a_configured_origin_may_read_every_answer_and_its_headers(browsed, case):
    method, path, content = case
    answer = call(browsed, method, path, content, origin="https://app.example")
    assert answer.status_code in (200, 400, 404)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "origin" in answer.headers["vary"].lower()
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {name for name in answer.headers if name.startswith(("x-greenlane", "x-carbon", "x-energy", "x-request"))} <= set(exposed)


@pytest.mark.parametrize(
    "too_much", [b"cookie: " + b"a" * 60000 + b"\r\n", b"".join(b"x-%d: 1\r\n" % n for n in range(200))], ids=["long", "many"]
)
def test_a_page_may_read_that_its_headers_are_too_large(browsed, too_much):
    """Cookies of the same site are what makes a page's headers grow."""
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\norigin: https://app.example\r\n" + too_much + b"\r\n"
    status, headers, _ = parsed(exchange(browsed.port, request))
    assert (status, headers.get("access-control-allow-origin")) == (431, "https://app.example")


def test_a_stream_may_be_read_with_its_headers(browsed):
    answer = ask(browsed, {"model": "small", "messages": [], "stream": True}, origin="https://app.example", x_greenlane_verbose="true")
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {name for name in answer.headers if name.startswith(("x-greenlane", "x-carbon", "x-energy", "x-request"))} <= set(exposed)


def test_a_preflight_grants_what_clients_send(browsed):
    wanted = "authorization, content-type, x-stainless-lang, x-stainless-retry-count, x-greenlane-policy"
    answer = call(
        browsed, "OPTIONS", "/v1/chat/completions", origin="https://app.example", access_control_request_method="POST",
        access_control_request_headers=wanted,
    )  # fmt: skip
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert set(wanted.split(", ")) <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert answer.headers["access-control-max-age"] == "60"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"])
def test_pages_of_other_origins_get_no_grant(browsed, origin):
    for answer in (
        call(browsed, "OPTIONS", "/v1/chat/completions", origin=origin, access_control_request_method="POST"),
        call(browsed, "POST", "/v1/chat/completions", BODY, origin=origin),
        call(browsed, "GET", "/v1/models", origin=origin),
    ):
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_without_a_configured_origin_there_is_no_cors(served):
    answer = call(served, "OPTIONS", "/v1/chat/completions", origin="http://localhost:3000", access_control_request_method="POST")
    assert answer.status_code == 204
    assert not any(name.startswith("access-control") for name in answer.headers)


# ids and traces


def test_a_clean_request_id_is_echoed_forwarded_and_kept_and_the_entrys_is_ours(served):
    answer = ask(served, x_request_id="req-of.the/client_1")
    assert answer.headers["x-request-id"] == "req-of.the/client_1"
    assert served.host.requests[0].headers["x-request-id"] == "req-of.the/client_1"
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert entry["request_id"] == "req-of.the/client_1"
    assert entry["id"] == answer.headers["x-greenlane-id"] != "req-of.the/client_1"


@pytest.mark.parametrize("sent", [b"a" * 129, b"with space", b"tab\there", b"\xe9", b"", b"a\x7fb"])
def test_a_request_id_that_is_not_clean_is_replaced(served, sent):
    request = POST + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (sent, len(BODY), BODY)
    status, headers, _ = parsed(exchange(served.port, request))
    if status == 200:
        assert headers["x-request-id"] == headers["x-greenlane-id"]
        assert served.host.requests[0].headers["x-request-id"] == headers["x-greenlane-id"]
    else:
        assert status == 400


def test_ids_of_entries_are_never_given_twice_although_request_ids_are(served):
    found = {ask(served, x_request_id="same").headers["x-greenlane-id"] for _ in range(5)}
    assert len(found) == 5


def test_the_trace_goes_on(served):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ask(served, traceparent=trace, tracestate="a=b", baggage="secret=1", cookie="c=d")
    sent = served.host.requests[0].headers
    trace_id, flags = sent["traceparent"].split("-")[1], sent["traceparent"].split("-")[3]
    assert (trace_id, flags, sent["tracestate"]) == ("0af7651916cd43dd8448eb211c80319c", "01", "a=b")
    assert not {"baggage", "cookie"} & set(sent)


# entries and sums


GROUPS = {
    "model": {"small", "org/large"},
    "deployment": {"north", "south"},
    "policy": {"default", "green"},
    "task": {None, "code"},
    "team": {None},
    "key": {None},
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    host = Upstream()
    made = Served(FLEET.format(url=host.url), tmp_path_factory.mktemp("counted") / "proxy")
    for _ in range(2):
        ask(made, x_greenlane_policy="green", x_greenlane_task="code")
    ask(made, {"model": "org/large", "messages": []})
    yield made
    made.close()
    host.close()


def usage(served, query=""):
    answer = call(served, "GET", f"/v1/greenlane/usage{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize("group", GROUPS)
def test_sums_are_grouped(counted, group):
    found = {row[group]: row["requests"] for row in usage(counted, f"?group_by={group}")}
    assert set(found) == GROUPS[group]
    assert sum(found.values()) == 3


def test_a_sum_tells_what_is_unknown_beside_what_is_known(counted):
    small, large = sorted(usage(counted), key=lambda row: -row["requests"])
    assert (small["model"], small["input_tokens"], small["output_tokens"]) == ("small", 18, 6)
    assert small["cost_usd"] == pytest.approx(2 * 15e-6)
    assert small["carbon_low_g"] < small["carbon_g"] < small["carbon_high_g"]
    assert (small["carbon_g_unknown"], large["carbon_g_unknown"]) == (0, 1)
    assert (large["carbon_g"], large["cost_usd"], large["cost_usd_unknown"]) == (None, None, 1)


def test_days_and_bounds_of_time(counted):
    today = dt.datetime.now(dt.UTC).date()
    tomorrow, yesterday = today + dt.timedelta(days=1), today - dt.timedelta(days=1)
    assert sum(row["requests"] for row in usage(counted, "?group_by=day")) == 3
    assert usage(counted, "?group_by=day")[0]["day"] in {today.isoformat(), yesterday.isoformat()}
    assert sum(row["requests"] for row in usage(counted, f"?from={yesterday}&to={tomorrow}T00:00:00Z")) == 3
    assert usage(counted, f"?from={tomorrow}T12:00:00Z") == []
    assert usage(counted, f"?to={yesterday}") == []


@pytest.mark.parametrize("plus", ["%2B", "+"])
def test_an_instant_may_have_an_offset_whose_plus_is_not_escaped(counted, plus):
    """In a query `+` is a space, and nobody who writes `+02:00` into an address means one."""
    midday = dt.datetime.now(dt.UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    east = dt.timezone(dt.timedelta(hours=14))
    since, until_then = (midday - dt.timedelta(days=1)).astimezone(east), (midday + dt.timedelta(days=1)).astimezone(east)
    span = f"?from={since.isoformat()}&to={until_then.isoformat()}".replace("+", plus)
    assert sum(row["requests"] for row in usage(counted, span)) == 3
    later = f"?from={until_then.isoformat()}".replace("+", plus)
    assert usage(counted, later) == []


@pytest.mark.parametrize("query", ["?group_by=nothing", "?group_by=id;drop", "?from=yesterday", "?to=2026-13-01", "?group_by="])
def test_a_wrong_query_is_400_naming_the_parameter(counted, query):
    answer = call(counted, "GET", f"/v1/greenlane/usage{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query[1:].partition("=")[0]


ASKED = "from=2026-11-01&to=2026-11-02&group_by=day"
QUERIES = [
    ("usage", "?form=2026-11-01", "form", "`form` is not known here (did you mean `from`?)."),
    ("savings", "?until=2026-11-01&group_by=day", "until", "`until` is not known here; there are `from`, `to` and `group_by`."),
    ("usage", "?team=other", "team", "`team` is not known here; there are `from`, `to` and `group_by`."),
    ("usage", f"?{ASKED}&group_by=model", "group_by", "`group_by` may be given once."),
    ("savings", "?from=2026-11-01&from=2026-11-01", "from", "`from` may be given once."),
    ("usage", "?a%20secret=1", None, "A member of the query is not known here; there are `from`, `to` and `group_by`."),
    ("usage", "?from=2026-11-02&to=2026-11-01", "to", "`to` must not be before `from`."),
    ("savings", "?to=2026-11-01T00:59:59Z&from=2026-11-01T01:00:00%2B00:00", "to", "`to` must not be before `from`."),
    ("intensity", "?zone=SE&horizn=24h", "horizn", "`horizn` is not known here (did you mean `horizon`?)."),
    ("intensity", "?zone=SE&zone=PL", "zone", "`zone` may be given once."),
    ("estimates", "?limits=5", "limits", "`limits` is not known here (did you mean `limit`?)."),
]


@pytest.mark.parametrize(("path", "query", "param", "message"), QUERIES, ids=[f"{path}{query}" for path, query, *_ in QUERIES])
def test_a_query_is_never_passed_over(counted, path, query, param, message):
    """What is misspelt, given twice or the wrong way round would otherwise be sums of something else."""
    answer = call(counted, "GET", f"/v1/greenlane/{path}{query}")
    assert (answer.status_code, answer.json()["error"]["param"], answer.json()["error"]["message"]) == (400, param, message)


def test_a_span_may_be_empty(counted):
    for path in ("usage", "savings"):
        assert call(counted, "GET", f"/v1/greenlane/{path}?from=2026-11-01&to=2026-11-01").json()["data"] == []


def test_an_entry_tells_how_it_came_about(served):
    served.host.answer = lambda received, handler: (
        handler.reply(500, {}) if received.json["model"] == "Qwen/Qwen3-8B" else completion(received, handler)
    )
    answer = ask(
        served, {"model": "auto", "messages": [{"role": "user", "content": "a prompt to forget"}]}, x_greenlane_prefer="privacy=local"
    )
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert entry["object"] == "greenlane.request"
    assert [(each["deployment"], each["status"], each["kind"]) for each in entry["attempts"]] == [
        ("north", 500, "status"),
        ("south", 200, "ok"),
    ]
    assert (entry["order"], entry["reason"], entry["outcome"]) == (["north", "south"], "fallback", "completed")
    assert (entry["model_requested"], entry["model"]) == ("auto", "org/large")
    assert "a prompt to forget" not in json.dumps(entry)
    assert "Hello!" not in json.dumps(entry)
