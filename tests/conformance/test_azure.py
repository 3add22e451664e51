"""Azure's official client, which is given the proxy's address as its `azure_endpoint` and nothing else of it."""

from __future__ import annotations

import asyncio
import io
import socket

import httpx
import openai
import pytest

from tests.conformance.samples import HELLO
from tests.conformance.test_media import SOUND, TRANSCRIPT, studio
from tests.harness import serving

KEY, OTHER_KEY, VERSION = "azure-key-0123456789", "other-key-0123456789", "2024-10-21"
FLEET = """
deployments:
  sim: {{model: small, base_url: "sim://one?ttft_s=0&tokens_per_s=1000000", zone: SE, parameters_b: 8, privacy: local}}
  named: {{model: org/small, base_url: "sim://two?ttft_s=0&tokens_per_s=1000000", zone: SE, parameters_b: 8}}
  host: {{model: studio, upstream_model: upstream-name, base_url: "{url}", zone: SE}}
policies: {{local: {{require: {{privacy: local}}}}}}
teams: {{azure: {{}}, other: {{}}}}
keys:
  azure: {{team: azure, key: env:AZURE_CLIENT}}
  other: {{team: other, key: env:AZURE_OTHER, models: [org/small]}}
"""
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(
        lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("azure"), {"AZURE_CLIENT": KEY, "AZURE_OTHER": OTHER_KEY}
    ) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    shared.host.answer = studio
    return shared


def azure(served, **options) -> openai.AzureOpenAI:
    given = {"api_key": KEY, "api_version": VERSION, "azure_endpoint": served.base, "max_retries": 0, "timeout": 10, **options}
    return openai.AzureOpenAI(**{name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize("model", ["small", "small/local", "org/small"])
def test_the_model_is_the_deployment_of_the_path(served, model):
    with azure(served) as client:
        raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    assert raw.parse().choices[0].message.content
    assert raw.headers["x-greenlane-model"] == model.removesuffix("/local")
    assert raw.headers["x-greenlane-policy"] == ("local" if model.endswith("/local") else "default")
    assert float(raw.headers["x-carbon-g"]) > 0


def test_the_deployment_of_the_path_wins_over_the_model_of_the_body(served):
    """Azure routes by the path alone: clients that have a deployment put another name, often the vendor's, into the body."""
    with azure(served, azure_deployment="small") as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert raw.headers["x-greenlane-model"] == "small"
    with azure(served, azure_deployment="studio") as client:
        client.images.generate(model="upstream-name", prompt="a bird")
    assert served.host.requests[0].json["model"] == "upstream-name"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("small/chat/completions", "small"),
        ("org/small/chat/completions/", "org/small"),
        ("/org%2Fsmall/chat//completions", "org/small"),
    ],
)
def test_a_body_without_a_model_is_enough(served, path, model):
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    answer = httpx.post(f"{served.base}/openai/deployments/{path}?api-version={VERSION}", json=body, headers={"api-key": KEY}, timeout=60)
    assert (answer.status_code, answer.headers["x-greenlane-model"]) == (200, model)


def test_a_stream(served):
    with azure(served) as client, client.chat.completions.create(model="small", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_asynchronous_client(served):
    async def ask() -> str | None:
        async with openai.AsyncAzureOpenAI(api_key=KEY, api_version=VERSION, azure_endpoint=served.base, max_retries=0) as client:
            return (await client.chat.completions.create(model="small", messages=HELLO)).choices[0].message.content

    assert asyncio.run(ask())


def test_text_completions_and_embeddings(served):
    with azure(served) as client:
        assert client.completions.create(model="small", prompt="Once", max_tokens=5).choices[0].text
        assert client.embeddings.create(model="small", input="Hello", dimensions=8).data[0].embedding


@pytest.mark.parametrize("deployment", [None, "studio"])
def test_sounds_and_images(served, deployment):
    with azure(served, azure_deployment=deployment) as client:
        assert client.audio.speech.create(model="studio", voice="alloy", input="Hello").read() == SOUND
        sound = ("a.wav", io.BytesIO(b"RIFF"), "audio/wav")
        assert client.audio.transcriptions.create(model="studio", file=sound).text == TRANSCRIPT["text"]
        assert client.audio.translations.create(model="studio", file=sound).text == TRANSCRIPT["text"]
        assert client.images.generate(model="studio", prompt="a bird").data
        assert client.images.edit(model="studio", image=("a.png", b"\x89PNG", "image/png"), prompt="a hat").data
    paths = ["/audio/speech", "/audio/transcriptions", "/audio/translations", "/images/generations", "/images/edits"]
    assert [each.path for each in served.host.requests] == [f"/v1{path}" for path in paths]
    for each in served.host.requests:
        assert b"upstream-name" in each.body
        assert b"studio" not in each.body
        assert "api-key" not in each.headers


def test_a_form_without_a_model_is_given_the_deployment(served):
    answer = httpx.post(
        f"{served.base}/openai/deployments/studio/audio/transcriptions?api-version={VERSION}",
        files={"file": ("a.wav", b"RIFF\r\n--", "audio/wav")},
        data={"language": "en"},
        headers={"api-key": KEY},
        timeout=60,
    )
    assert answer.json()["text"] == TRANSCRIPT["text"]
    [sent] = served.host.requests
    assert b'name="model"\r\n\r\nupstream-name\r\n' in sent.body
    assert b"RIFF\r\n--\r\n" in sent.body
    assert b'name="language"\r\n\r\nen\r\n' in sent.body


def test_what_has_no_deployment_in_its_path(served):
    for deployment in (None, "small"):
        with azure(served, azure_deployment=deployment) as client:
            assert client.responses.create(model="small", input="Hello").output_text
            assert "small" in [model.id for model in client.models.list()]
            assert client.models.retrieve("org/small").id == "org/small"
    with azure(served) as client:
        assert client.moderations.create(model="small", input="kind words").results[0].flagged is False


@pytest.mark.parametrize("base", ["/openai/v1", "/openai/v1/"])
def test_the_v1_form_with_either_client(served, base):
    with openai.OpenAI(base_url=served.base + base, api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model="small", messages=HELLO).choices[0].message.content
        assert client.responses.create(model="small", input="Hello").output_text
        assert client.models.retrieve("small").id == "small"
    query = {"api-version": "preview"}
    with openai.OpenAI(
        base_url=served.base + base, api_key="unused", default_headers={"Authorization": "", "api-key": KEY}, default_query=query
    ) as client:
        assert client.chat.completions.create(model="small", messages=HELLO).choices[0].message.content


@pytest.mark.parametrize("version", ["2023-05-15", "2031-01-01-preview", "latest", "x" * 200])
def test_any_api_version_will_do(served, version):
    with azure(served, api_version=version) as client:
        assert client.chat.completions.create(model="small", messages=HELLO).choices[0].message.content


def test_a_token_of_entra_is_a_key_as_well(served):
    for options in ({"azure_ad_token": KEY}, {"azure_ad_token_provider": lambda: KEY}):
        with azure(served, api_key=None, **options) as client:
            assert client.chat.completions.create(model="small", messages=HELLO).choices[0].message.content
    with azure(served, api_key=None, azure_ad_token="wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="small", messages=HELLO)


def test_errors_are_what_the_client_knows(served):
    with azure(served, api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="small", messages=HELLO)
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    with azure(served) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="nothing", messages=HELLO)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as malformed:
            client.chat.completions.create(model="small", messages=HELLO, n=1000)
        assert malformed.value.param == "n"
    with azure(served, api_key=OTHER_KEY) as client:
        assert client.chat.completions.create(model="org/small", messages=HELLO).choices
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="small", messages=HELLO)


def test_a_wrong_key_is_answered_before_the_body_is_sent(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as wire:
        wire.sendall(
            b"POST /openai/deployments/small/chat/completions HTTP/1.1\r\nhost: localhost\r\napi-key: wrong\r\n"
            b"expect: 100-continue\r\ncontent-length: 9000000\r\n\r\n"
        )
        assert wire.recv(65536).startswith(b"HTTP/1.1 401 ")


NOT_OURS = [
    "/openai/deployments/small",
    "/openai/deployments/small/messages",
    "/openai/deployments/small/generate",
    "/openai/deployments/small/nothing",
    "/openai/health/live",
    "/openai/metrics",
    "/openai",
]


@pytest.mark.parametrize("path", NOT_OURS)
def test_nothing_else_is_reached_under_azures_paths(served, path):
    for method in ("GET", "POST"):
        answer = httpx.request(method, served.base + path, headers={"api-key": KEY}, timeout=60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_get_of_an_inference_path_is_not_allowed(served):
    answer = httpx.get(f"{served.base}/openai/deployments/small/chat/completions", headers={"api-key": KEY}, timeout=60)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
