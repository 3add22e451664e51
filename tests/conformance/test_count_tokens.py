"""`/v1/messages/count_tokens` by Anthropic's official client: asked of who has it, and counted here where nobody does."""

from __future__ import annotations

import asyncio

import anthropic
import httpx
import openai
import pytest

from tests.conformance.samples import HELLO, PIXEL_BASE64, WEATHER, claude_tool
from tests.harness import ask, completion, serving
from tests.imitations.anthropic import COUNTED, KEY

TOOL = claude_tool(WEATHER)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL_BASE64}}
SAID = {"anthropic-version": "2023-06-01", "anthropic-beta": "token-counting-2024-11-01"}
PATH = "/messages/count_tokens"
NO_WORK = ("x-carbon-g", "x-carbon-low-g", "x-carbon-high-g", "x-energy-wh", "x-energy-low-wh", "x-energy-high-wh")


def count(client, model: str, **members):
    return client.messages.with_raw_response.count_tokens(**{"model": model, "messages": HELLO, **members})


def test_a_deployment_of_anthropics_dialect_is_asked(fleet, claude, imitations):
    imitation = imitations["anthropic"][0]
    raw = count(claude, "anthropic", system="Be brief.", tools=[TOOL], extra_headers=SAID)
    assert raw.parse().input_tokens == COUNTED
    last = imitation.last
    assert last.path == "/v1/messages/count_tokens"
    assert last.body == {"model": "claude-haiku-4-5", "messages": HELLO, "system": "Be brief.", "tools": [TOOL]}
    assert {name: last.headers[name] for name in SAID} == SAID
    assert last.headers["x-api-key"] == KEY
    assert raw.headers["x-greenlane-deployment"] == "anthropic"
    assert raw.headers["x-greenlane-reason"] == "only"
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    free(raw, "0")
    entry = fleet.entry(raw.headers["x-greenlane-id"])
    assert (entry["api"], entry["deployment"], entry["account"]["energy_wh"]) == ("count_tokens", "anthropic", 0)


def free(raw, cost: str | None) -> None:
    """What no work was done for costs nothing, and says so."""
    assert {raw.headers[name] for name in NO_WORK} == {"0"}
    assert raw.headers["x-carbon-method"] == raw.headers["x-carbon-confidence"] == "none"
    assert raw.headers.get("x-greenlane-cost-usd") == cost


@pytest.mark.parametrize("model", ["openai", "gemini"])
def test_it_is_counted_here_for_any_other_and_says_so(fleet, claude, model):
    raw = count(claude, model)
    assert 5 <= raw.parse().input_tokens <= 25
    assert raw.headers["x-greenlane-reason"] == "estimated"
    assert raw.headers["x-greenlane-policy"] == "default"
    assert raw.headers["x-greenlane-attempts"] == "0"
    assert "x-greenlane-deployment" not in raw.headers
    free(raw, None)
    entry = fleet.entry(raw.headers["x-greenlane-id"])
    assert (entry["api"], entry["reason"], entry["status"], entry["outcome"]) == ("count_tokens", "estimated", 200, "completed")


def test_nothing_is_sent_to_count_here(claude, imitations):
    before = imitations["gemini"][0].received
    count(claude, "gemini")
    assert imitations["gemini"][0].received == before


def counted(claude, **members) -> int:
    return count(claude, "openai", **members).parse().input_tokens


def test_everything_a_model_reads_counts(claude):
    plain = counted(claude)
    words = "The quick brown fox jumps over the lazy dog. " * 20
    assert 180 <= counted(claude, system=words) - plain <= 240
    assert counted(claude, system=[{"type": "text", "text": words}]) == counted(claude, system=words)
    assert counted(claude, tools=[TOOL]) > plain + 20
    said = [*HELLO, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "get_weather", "input": {"city": "Oslo"}}]}]
    assert counted(claude, messages=said) > plain + 4
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": words}]}
    assert counted(claude, messages=[*said, {"role": "user", "content": [result]}]) > counted(claude, messages=said) + 180
    assert counted(claude, messages=[{"role": "user", "content": [IMAGE]}]) > 500
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words}, "title": "Foxes"}
    assert counted(claude, messages=[{"role": "user", "content": [document]}]) > 180
    thought = [*HELLO, {"role": "assistant", "content": [{"type": "thinking", "thinking": words, "signature": "s"}]}]
    assert counted(claude, messages=thought) < plain + 20


def test_the_beta_client_and_the_asynchronous_one(fleet, claude):
    assert claude.beta.messages.count_tokens(model="openai", messages=HELLO, betas=["token-counting-2024-11-01"]).input_tokens > 0

    async def ask_it() -> int:
        async with anthropic.AsyncAnthropic(base_url=fleet.base, api_key="unused", max_retries=0) as client:
            return (await client.messages.count_tokens(model="anthropic", messages=HELLO)).input_tokens

    assert asyncio.run(ask_it()) == COUNTED


WRONG = {
    "no messages": {"messages": []},
    "a string": {"messages": "Hi"},
    "content": {"messages": [{"role": "user", "content": 5}]},
    "message": {"messages": [5]},
    "tools": {"tools": [5]},
    "unknown model": {"model": "nothing"},
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("model", ["openai", "anthropic"])
def test_what_is_wrong_is_an_error_of_anthropics_shape(fleet, case, model):
    answer = httpx.post(f"{fleet.url}{PATH}", json={"model": model, "messages": HELLO, **WRONG[case]}, timeout=60)
    expected = (404, "not_found_error") if case == "unknown model" else (400, "invalid_request_error")
    assert (answer.status_code, answer.json()["error"]["type"]) == expected
    assert answer.json()["type"] == "error"


@pytest.mark.parametrize("scenario", ["overloaded", "rate_limited", "unauthorized", "server_error", "not_found", "timeout"])
def test_a_vendor_in_trouble_is_counted_for(claude, scenario):
    raw = count(claude, f"anthropic-{scenario}")
    assert raw.parse().input_tokens != COUNTED
    assert raw.headers["x-greenlane-reason"] == "estimated"
    assert raw.headers["x-greenlane-attempts"] == "1"
    assert "sk-ant" not in str(raw.headers)


@pytest.mark.parametrize(("scenario", "status"), [("invalid", 400), ("too_large", 413)])
def test_what_the_vendor_says_of_the_request_is_told(claude, scenario, status):
    with pytest.raises(anthropic.APIStatusError) as caught:
        count(claude, f"anthropic-{scenario}")
    assert caught.value.status_code == status


# who may be asked

FLEET = """
models: {{alone: {{substitutes: [small]}}}}
deployments:
  claude: {{model: small, upstream_model: claude-x, dialect: anthropic, base_url: "{url}", privacy: vendor, zone: US, api_key: env:COUNT_UP,
            usd_per_mtok: {{input: 1000, output: 1000}}, context_tokens: 10}}
  own: {{model: mixed, base_url: "sim://own?ttft_s=0", privacy: local, zone: SE, concurrency: 1}}
  far: {{model: mixed, dialect: anthropic, base_url: "{url}", privacy: vendor, zone: US, api_key: env:COUNT_UP}}
  alone: {{model: alone, base_url: "sim://alone?ttft_s=0", privacy: local, zone: SE}}
  vllm: {{model: vllm, base_url: "{url}", privacy: local, apis: [chat, messages], zone: SE}}
policies:
  local: {{require: {{privacy: local}}}}
  cheap: {{require: {{max_usd: 0.001}}}}
breaker: {{failures: 2, open_s: 60}}
teams: {{count: {{}}, poor: {{budget: {{per: month, usd: 0.000001}}}}}}
keys:
  count: {{team: count, key: env:COUNT_KEY}}
  narrow: {{team: count, key: env:COUNT_NARROW, models: [mixed]}}
"""
GOOD = {"authorization": "Bearer count-key-0123456789"}
ENVIRON = {"COUNT_UP": "sk-count-up", "COUNT_KEY": "count-key-0123456789", "COUNT_NARROW": "narrow-key-0123456789"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("count"), ENVIRON) as made:
        yield made


@pytest.fixture
def served(shared):
    shared.host.requests.clear()
    shared.host.answer = lambda _, handler: handler.reply(200, b'{ "input_tokens": 7, "context_management": null }')
    return shared


def hello(model: str, text: str = "Hello", **members):
    return {"model": model, "messages": [{"role": "user", "content": text}], **members}


def test_an_answer_keeps_its_bytes(served):
    answer = ask(served, hello("small", greenlane={"policy": "cheap"}), PATH, **GOOD)
    assert (answer.status_code, answer.content) == (200, b'{ "input_tokens": 7, "context_management": null }')
    assert [each.path for each in served.host.requests] == ["/v1/messages/count_tokens"]
    assert served.host.requests[0].json == hello("claude-x")


def test_length_and_price_of_the_prompt_stand_in_no_counts_way(served):
    answer = ask(served, hello("small", "word " * 5000, greenlane={"policy": "cheap"}), PATH, **GOOD)
    assert answer.json()["input_tokens"] == 7


def test_a_deployment_that_is_not_allowed_is_not_asked(served):
    """The model's message may be served locally, so its tokens are counted here; nothing goes to the vendor."""
    for wish in ({"x_greenlane_privacy": "local"}, {"x_greenlane_policy": "local"}):
        answer = ask(served, hello("mixed"), PATH, **GOOD, **wish)
        assert (answer.status_code, answer.headers["x-greenlane-reason"]) == (200, "estimated")
    assert served.host.requests == []
    assert ask(served, hello("mixed"), PATH, **GOOD).headers["x-greenlane-deployment"] == "far"


def test_a_substitute_is_not_asked(served):
    """It would see a prompt that its model was not asked for, and count other tokens."""
    answer = ask(served, hello("alone"), PATH, **GOOD)
    assert (answer.status_code, answer.headers["x-greenlane-reason"]) == (200, "estimated")
    assert served.host.requests == []


def test_where_no_deployment_may_serve_the_message_nothing_is_counted(served):
    answer = ask(served, hello("small"), PATH, **GOOD, x_greenlane_privacy="local")
    assert answer.status_code == 422
    assert "privacy" in answer.json()["error"]["message"]
    assert served.host.requests == []


def test_keys_are_asked_for_and_keep_to_their_models(served):
    assert ask(served, hello("mixed"), PATH).status_code == 401
    assert ask(served, hello("small"), PATH, x_api_key=ENVIRON["COUNT_NARROW"]).status_code == 404
    assert ask(served, hello("mixed"), PATH, x_api_key=ENVIRON["COUNT_NARROW"]).status_code == 200


def test_a_server_of_openais_dialect_that_has_messages_is_asked_as_well(served):
    answer = ask(served, hello("vllm"), PATH, **GOOD)
    assert (answer.json()["input_tokens"], answer.headers["x-greenlane-deployment"]) == (7, "vllm")


@pytest.mark.parametrize("status", [404, 405, 500, 501])
def test_one_that_has_no_such_operation_keeps_its_other_work(served, status):
    """Claude Code counts dozens of times as it starts: that may not look like a deployment that is down."""
    served.host.answer = lambda _, handler: handler.reply(status, {"detail": "Not Found"})
    for _ in range(4):
        answer = ask(served, hello("vllm"), PATH, **GOOD)
        assert (answer.status_code, answer.headers["x-greenlane-reason"]) == (200, "estimated")
    served.host.answer = completion
    with openai.OpenAI(base_url=served.url, api_key=ENVIRON["COUNT_KEY"], max_retries=0) as client:
        assert client.chat.completions.create(model="vllm", messages=HELLO).choices[0].message.content
    [entry] = [each for each in served.entries() if each.id == answer.headers["x-greenlane-id"]]
    assert entry.status == 200


def test_an_answer_that_is_no_count_passes_as_it_is(served):
    served.host.answer = lambda _, handler: handler.reply(200, b"[]")
    assert ask(served, hello("vllm"), PATH, **GOOD).json() == []


def test_a_long_text_is_counted_by_its_beginning(served):
    long, short = (ask(served, hello("mixed", "word " * words), PATH, **GOOD, x_greenlane_privacy="local") for words in (200_000, 200))
    assert long.json()["input_tokens"] == pytest.approx(1000 * short.json()["input_tokens"], rel=0.05)


def test_the_sums_of_the_ledger_are_not_moved(served):
    def sums():
        found = httpx.get(f"{served.url}/greenlane/usage?group_by=team", headers=GOOD, timeout=60).json()["data"]
        return next((row for row in found if row["team"] == "count"), {"requests": 0})

    before = sums()
    for wish in ({}, {"x_greenlane_privacy": "local"}):
        answer = ask(served, hello("mixed"), PATH, **GOOD, **wish)
        entry = httpx.get(f"{served.url}/greenlane/requests/{answer.headers['x-greenlane-id']}", headers=GOOD, timeout=60).json()
        assert {entry["tokens"][name] for name in ("input", "cached", "cache_write", "output", "reasoning")} == {0}
        assert (entry["account"]["energy_j"], entry["account"]["carbon_g"], entry["account"]["cost_usd"]) == (0, 0, 0)
    after = sums()
    assert after.pop("requests") == before.pop("requests") + 2
    assert {name: value for name, value in after.items() if before} == before
