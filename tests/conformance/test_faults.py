"""What goes wrong, as the classes of the official client see it."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from tests.conformance.samples import HELLO
from tests.harness import until

CLASSES = {
    400: (400, openai.BadRequestError),
    401: (502, openai.InternalServerError),
    402: (502, openai.InternalServerError),
    403: (502, openai.InternalServerError),
    404: (404, openai.NotFoundError),
    408: (502, openai.InternalServerError),
    409: (409, openai.ConflictError),
    413: (413, openai.APIStatusError),
    422: (422, openai.UnprocessableEntityError),
    429: (429, openai.RateLimitError),
    500: (502, openai.InternalServerError),
    501: (502, openai.InternalServerError),
    502: (502, openai.InternalServerError),
    503: (502, openai.InternalServerError),
    504: (502, openai.InternalServerError),
    529: (502, openai.InternalServerError),
}
OURS = ("x-request-id", "x-greenlane-id", "x-greenlane-reason", "x-greenlane-attempts", "x-greenlane-cache")


def failing(client, model: str, **members) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(**{"model": model, "messages": HELLO, **members})
    return caught.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", CLASSES)
def test_an_upstreams_status_becomes_the_clients_class(faults, status, stream):
    error = failing(faults, f"status-{status}", stream=stream)
    told, kind = CLASSES[status]
    assert type(error) is kind
    assert error.status_code == told
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert "sk-secret" not in str(error.body)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429])
def test_the_upstreams_own_words_and_code_are_kept(faults, status):
    error = failing(faults, f"status-{status}")
    assert f"Upstream says {status}" in error.body["message"]
    assert error.code == f"code_{status}"


@pytest.mark.parametrize("status", [401, 403])
def test_trouble_with_our_own_key_is_not_the_clients(faults, status):
    error = failing(faults, f"status-{status}")
    assert error.code == "upstream_error"
    assert "Upstream says" not in error.body["message"]


@pytest.mark.parametrize("status", CLASSES)
def test_every_error_carries_our_headers(faults, status):
    headers = failing(faults, f"status-{status}").response.headers
    assert all(headers.get(name) for name in OURS)
    assert headers["content-type"] == "application/json"


def test_a_rate_limit_tells_when_to_come_back(faults):
    headers = failing(faults, "status-429").response.headers
    assert headers["retry-after"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "0"


def test_the_clients_own_retry_gets_through(faults, faulty):
    answer = faults.with_options(max_retries=2).chat.completions.create(model="once-429", messages=HELLO)
    assert answer.choices[0].message.content == "Hello!"
    assert faulty.seen["once-429"] % 2 == 0


@pytest.mark.parametrize("model", ["garbage", "empty", "html", "cut", "reset", "error-in-200"])
def test_rubbish_from_upstream_is_a_502(faults, model):
    error = failing(faults, model)
    assert isinstance(error, openai.InternalServerError)
    assert error.status_code == 502
    assert error.code == "upstream_error"
    assert "secret-internal-host" not in error.response.text


@pytest.mark.parametrize("model", ["garbage", "empty", "html", "cut", "reset", "error-in-200"])
def test_rubbish_in_place_of_a_stream_is_a_502(faults, model):
    error = failing(faults, model, stream=True)
    assert error.status_code == 502


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_silence_from_upstream_is_a_504(faults, stream):
    error = failing(faults, "hang", stream=stream)
    assert isinstance(error, openai.InternalServerError)
    assert error.status_code == 504
    assert error.code == "upstream_timeout"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_nobody_there_is_a_502(faults, stream):
    error = failing(faults, "nowhere", stream=stream)
    assert error.status_code == 502


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "fault",
    [
        *(f"status-{status}" for status in (401, 403, 429, 500, 502, 503)),
        "garbage",
        "empty",
        "html",
        "cut",
        "reset",
        "hang",
        "error-in-200",
    ],
)
def test_another_deployment_answers_where_the_first_fails(faults, fault, stream):
    raw = faults.chat.completions.with_raw_response.create(
        model=f"rescued-{fault}", messages=HELLO, stream=stream, extra_body={"greenlane": {"policy": "clean"}}
    )
    answer = raw.parse()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) if stream else answer.choices[0].message.content
    assert raw.headers["x-greenlane-attempts"] == "2"
    assert raw.headers["x-greenlane-reason"] == "fallback"
    assert raw.headers["x-greenlane-deployment"] == f"second-{fault}"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_request_at_fault_is_not_tried_elsewhere(faults, status):
    error = failing(faults, f"rescued-status-{status}", extra_body={"greenlane": {"policy": "clean"}})
    assert error.status_code == status
    assert error.response.headers["x-greenlane-attempts"] == "1"


@pytest.mark.parametrize("model", ["broken", "error-midstream", "error-beside-words", "no-end"])
def test_a_stream_that_breaks_raises_after_what_was_said(faults, model):
    said, failure = "", None
    try:
        for chunk in faults.chat.completions.create(model=model, messages=HELLO, stream=True):
            said += chunk.choices[0].delta.content or ""
            assert chunk.choices[0].finish_reason is None
    except openai.APIError as error:
        failure = error
    assert said == "Hello"
    assert failure is not None
    assert not isinstance(failure, openai.APIConnectionError)


def test_the_words_of_an_error_in_a_stream_are_kept(faults):
    with pytest.raises(openai.APIError, match="It broke in the middle"):
        list(faults.chat.completions.create(model="error-midstream", messages=HELLO, stream=True))


def test_a_stream_without_an_end_marker_is_complete_after_its_reason(faults):
    with faults.chat.completions.with_streaming_response.create(model="no-done", messages=HELLO, stream=True) as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines.count("data: [DONE]") == 1


def test_the_helper_raises_where_a_stream_breaks(faults):
    with pytest.raises(openai.APIError), faults.chat.completions.stream(model="broken", messages=HELLO) as stream:
        stream.get_final_completion()


@pytest.mark.parametrize("model", ["no-such-model", "gpt-5", "echo/no-such-policy", " echo", "ECHO", "a/b/c", "ü"])
def test_an_unknown_model_is_not_found(faults, model):
    error = failing(faults, model)
    assert type(error) is openai.NotFoundError
    assert error.code == "model_not_found"
    assert error.param == "model"
    assert (f"`{model}`" in error.body["message"]) == (model not in (" echo", "ü"))


@pytest.mark.parametrize("model", ["", None, 5, ["echo"]])
def test_a_model_that_is_no_name_is_a_bad_request(faults, model):
    error = failing(faults, model)
    assert type(error) is openai.BadRequestError
    assert error.param == "model"


def test_auto_without_a_group_is_not_found(faults):
    assert failing(faults, "auto").code == "model_not_found"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "wish", [{"policy": "impossible"}, {"max_g": 0}, {"max_usd": 0}, {"regions": ["US"]}, {"privacy": "local"}, {"zero_retention": True}]
)
def test_a_constraint_that_nobody_meets_is_unprocessable(faults, wish, stream):
    error = failing(faults, "echo", stream=stream, extra_body={"greenlane": wish})
    assert type(error) is openai.UnprocessableEntityError
    assert error.code == "no_eligible_deployment"
    assert error.body["deployments"] == [{"deployment": "echo", "constraint": error.body["deployments"][0]["constraint"]}]


@pytest.mark.parametrize(
    "wish",
    [
        {"max_g": -1},
        {"max_g": "much"},
        {"privacy": "secret"},
        {"regions": ["Atlantis"]},
        {"policy": "none-such"},
        {"unknown": 1},
        {"substitute": "any"},
        5,
        [],
    ],
)
def test_a_wish_that_cannot_be_read_is_a_bad_request(faults, wish):
    error = failing(faults, "echo", extra_body={"greenlane": wish})
    assert type(error) is openai.BadRequestError
    assert "greenlane" in f"{error.param} {error.body['message']}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-greenlane-max-g", "much"),
        ("x-greenlane-privacy", "secret"),
        ("x-greenlane-regions", "Atlantis"),
        ("x-greenlane-policy", "none-such"),
        ("x-greenlane-unknown", "1"),
        ("x-greenlane-verbose", "perhaps"),
    ],
)
def test_a_header_that_cannot_be_read_is_a_bad_request(faults, name, value):
    assert type(failing(faults, "echo", extra_headers={name: value})) is openai.BadRequestError


def test_the_context_windows_error_keeps_its_code(client):
    error = failing(client, "openai-tiny", messages=[{"role": "user", "content": "word " * 200}])
    assert type(error) is openai.BadRequestError
    assert error.code == "context_length_exceeded"


VENDORS = {
    "anthropic-invalid": (400, None),
    "anthropic-too_long": (400, "context_length_exceeded"),
    "anthropic-unauthorized": (502, "upstream_error"),
    "anthropic-wrong-key": (502, "upstream_error"),
    "anthropic-billing": (502, "upstream_error"),
    "anthropic-forbidden": (502, "upstream_error"),
    "anthropic-not_found": (404, "model_not_found"),
    "anthropic-too_large": (413, None),
    "anthropic-rate_limited": (429, "rate_limit_exceeded"),
    "anthropic-server_error": (502, "upstream_error"),
    "anthropic-timeout": (502, "upstream_error"),
    "anthropic-overloaded": (502, "upstream_error"),
    "anthropic-html_500": (502, "upstream_error"),
    "gemini-invalid": (400, None),
    "gemini-too_long": (400, "context_length_exceeded"),
    "gemini-location": (400, None),
    "gemini-wrong-key": (502, "upstream_error"),
    "gemini-suspended": (502, "upstream_error"),
    "gemini-not_found": (404, "model_not_found"),
    "gemini-exhausted": (429, "rate_limit_exceeded"),
    "gemini-internal": (502, "upstream_error"),
    "gemini-unavailable": (502, "upstream_error"),
    "gemini-deadline": (502, "upstream_error"),
    "gemini-html_500": (502, "upstream_error"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", VENDORS)
def test_a_vendors_error_becomes_openais(client, model, stream):
    error = failing(client, model, stream=stream)
    status, code = VENDORS[model]
    assert error.status_code == status
    assert error.body["message"]
    assert "imitation-0123456789" not in error.response.text
    assert "AIzaImitation" not in error.response.text
    if code is not None:
        assert error.code == code


@pytest.mark.parametrize(("model", "seconds_s"), [("anthropic-rate_limited", "7"), ("gemini-exhausted", "37")])
def test_a_vendors_rate_limit_tells_when_to_come_back(client, model, seconds_s):
    error = failing(client, model)
    assert type(error) is openai.RateLimitError
    assert error.response.headers["retry-after"] == seconds_s


def test_no_key_is_an_authentication_error(keyed):
    for key in ("wrong", "sk-" + "x" * 40, "' OR 1=1 --"):
        with openai.OpenAI(base_url=keyed.url, api_key=key, max_retries=0) as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="echo", messages=HELLO)
        assert caught.value.code == "invalid_api_key"
        assert key not in str(caught.value.body)
        assert all(caught.value.response.headers.get(name) for name in OURS)


def test_a_known_key_is_let_in(keyed):
    with openai.OpenAI(base_url=keyed.url, api_key="search-key-0123456789", max_retries=0) as client:
        assert client.chat.completions.create(model="echo", messages=HELLO).choices[0].message.content
        assert client.models.list().data


def test_a_model_that_the_key_may_not_use_is_not_found(keyed):
    with openai.OpenAI(base_url=keyed.url, api_key="narrow-key-0123456789", max_retries=0) as client:
        assert failing(client, "slow").code == "model_not_found"
        assert [model.id for model in client.models.list().data] == ["echo"]


def test_a_foreign_host_is_forbidden(faults):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        faults.chat.completions.create(model="echo", messages=HELLO, extra_headers={"host": "evil.example"})
    assert caught.value.code == "forbidden"


def test_a_foreign_page_is_forbidden(faults):
    with pytest.raises(openai.PermissionDeniedError):
        faults.chat.completions.create(model="echo", messages=HELLO, extra_headers={"origin": "https://evil.example"})


def test_the_clients_timeout_is_its_own_error_and_the_proxy_goes_on(faults):
    with pytest.raises(openai.APITimeoutError):
        faults.with_options(timeout=0.1).chat.completions.create(model="slow", messages=HELLO)
    assert faults.chat.completions.create(model="echo", messages=HELLO).choices[0].message.content


def test_a_client_that_leaves_is_noted(faults, faulty_proxy):
    noted = set()

    def leaves():
        """Some time after it came, or before that where the machine is busy."""
        impatient, named = faults.with_options(timeout=0.1), {"x-request-id": "leaver-1"}
        with pytest.raises(openai.APITimeoutError):
            impatient.chat.completions.create(model="slow", messages=HELLO, extra_headers=named)
        noted.update((entry.outcome, entry.status) for entry in faulty_proxy.entries() if entry.request_id == "leaver-1")
        return noted

    until(leaves)
    assert noted == {("client_gone", 499)}


def test_nothing_listening_is_a_connection_error():
    with (
        openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="unused", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()


def test_the_async_client_raises_the_same(faulty_proxy):
    async def ask() -> list[type]:
        async with openai.AsyncOpenAI(base_url=faulty_proxy.url, api_key="unused", max_retries=0) as client:
            made = [client.chat.completions.create(model=f"status-{status}", messages=HELLO) for status in CLASSES]
            return [type(each) for each in await asyncio.gather(*made, return_exceptions=True)]

    assert asyncio.run(ask()) == [kind for _, kind in CLASSES.values()]


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/v1/chat", "/v1/chat/completions/x", "/v2/chat/completions"])
def test_an_unknown_path_is_not_found_in_openais_form(faulty_proxy, path):
    answer = httpx.post(faulty_proxy.base + path, json={}, timeout=60)
    assert answer.status_code == 404
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_not_allowed(faulty_proxy, method):
    answer = httpx.request(method, f"{faulty_proxy.url}/chat/completions", timeout=60)
    assert answer.status_code == 405
    assert answer.json()["error"]["message"]
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"5",
        b"{}",
        b'{"model": "echo"}',
        b"\xff\xfe",
        b'{"model":"echo","model":"slow","messages":[]}',
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
    ],
    ids=[
        "nothing",
        "half",
        "array",
        "null",
        "text",
        "number",
        "empty",
        "no messages",
        "no text",
        "two models",
        "deep array",
        "deep object",
    ],
)
def test_a_body_that_is_no_request_is_a_bad_request(faulty_proxy, body):
    answer = httpx.post(f"{faulty_proxy.url}/chat/completions", content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_another_content_type_is_refused(faulty_proxy):
    answer = httpx.post(
        f"{faulty_proxy.url}/chat/completions",
        content=b"model=echo",
        headers={"content-type": "application/x-www-form-urlencoded"},
        timeout=60,
    )
    assert answer.status_code == 415
