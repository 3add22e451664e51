"""LiteLLM's configuration in, ours out: what it says, what it tells, and that no key is in it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.configuration import ConfigurationError, examine, loads
from proxy.configuration.litellm_import import import_litellm
from proxy.configuration.litellm_providers import PROVIDERS

SOURCE = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: azure/gpt-4o-eu, api_base: "https://my.openai.azure.com/", api_key: os.environ/AZURE_EU,
                     api_version: "2024-10-21", rpm: 6}
  - model_name: gpt-4o
    litellm_params: {model: azure/gpt-4o-ca, api_base: os.environ/AZURE_CA, api_key: "sk-very-secret", temperature: 0.2}
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
    model_info: {input_cost_per_token: 0.000003, output_cost_per_token: 1.5e-05, cache_read_input_token_cost: 3.0e-07,
                 max_input_tokens: 200000, max_output_tokens: 64000}
  - {model_name: local, litellm_params: {model: ollama_chat/llama3.2, api_base: "http://localhost:11434"}}
  - model_name: vllm
    litellm_params: {model: openai/facebook/opt-125m, api_base: "http://gpu:4000/v1", api_key: none, max_parallel_requests: 8, timeout: 300,
                     stream_timeout: 60, extra_headers: {x-tenant: blue, x-secret-token: s3cret}, weight: 2}
  - {model_name: "openai/*", litellm_params: {model: "openai/*"}}
  - {model_name: br, litellm_params: {model: bedrock/anthropic.claude-v2}}
  - {model_name: emb, litellm_params: {model: mistral/mistral-embed}, model_info: {mode: embedding}}
litellm_settings: {drop_params: true, fallbacks: [{gpt-4o: [claude, nowhere]}]}
router_settings: {routing_strategy: latency-based-routing, model_group_alias: {gpt-4: gpt-4o}, num_retries: 2}
general_settings: {master_key: sk-1234, database_url: "postgresql://u:dbpass@h/db"}
environment_variables: {A: b}
"""

GOLDEN = """\
models:
  gpt-4: {substitutes: [gpt-4o]}
  gpt-4o: {substitutes: [claude]}
deployments:
  gpt-4o-1: {model: gpt-4o, dialect: azure, upstream_model: gpt-4o-eu, base_url: "https://my.openai.azure.com", api_key: env:AZURE_EU,
             api_version: "2024-10-21"}
  gpt-4o-2: {model: gpt-4o, dialect: azure, upstream_model: gpt-4o-ca, base_url: "https://ca.openai.azure.com",
             api_key: env:GPT_4O_2_API_KEY, api_version: "2024-10-21"}
  claude: {model: claude, dialect: anthropic, upstream_model: claude-sonnet-4-5, base_url: "https://api.anthropic.com/v1",
           api_key: env:ANTHROPIC_API_KEY, usd_per_mtok: {input: 3.0, output: 15.0, cached: 0.3}, context_tokens: 200000,
           max_output_tokens: 64000}
  local: {model: local, upstream_model: llama3.2, base_url: "http://localhost:11434/v1", privacy: local}
  vllm: {model: vllm, upstream_model: facebook/opt-125m, base_url: "http://gpu:4000/v1", concurrency: 8, weight: 2,
         timeouts: {total_s: 300, first_byte_s: 60}, headers: {x-tenant: blue}}
  emb: {model: emb, upstream_model: mistral-embed, base_url: "https://api.mistral.ai/v1", api_key: env:MISTRAL_API_KEY,
        apis: [embeddings]}
policy: fast
policies: {fast: {objective: fastest}}
teams: {admin: {}}
keys: {master: {team: admin, key: env:LITELLM_MASTER_KEY, explain: true}}
"""

WARNINGS = [
    "gpt-4o-2: the key in the file is not copied; put it into GPT_4O_2_API_KEY",
    "gpt-4o-2: has no api_version; 2024-10-21 is written",
    "gpt-4o-2: not carried over: temperature",
    "vllm: the header x-secret-token is left out",
    "openai/*: wildcards have no equal here; name each model. Left out",
    "br: the provider bedrock is not supported; left out",
    "fallbacks of gpt-4o: some are not models of this file; left out",
    "router_settings: not carried over: num_retries",
    "litellm_settings: not carried over: drop_params",
    "general_settings.master_key: is not copied; put it into LITELLM_MASTER_KEY",
    "general_settings: not carried over: database_url",
    "environment_variables: is not carried over",
]


def test_a_whole_file_is_carried_over_and_what_is_not_is_told():
    imported = import_litellm(SOURCE, {"AZURE_CA": "https://ca.openai.azure.com/"})
    assert loads(imported.yaml) == loads(GOLDEN)
    assert imported.warnings == WARNINGS
    head = imported.yaml.split("models:")[0]
    assert all(f"# - {warning}" in head for warning in WARNINGS)
    assert "# rpm: 6" in imported.yaml


def test_no_secret_of_the_file_is_in_the_result():
    imported = import_litellm(SOURCE, {})
    for secret in ("sk-very-secret", "sk-1234", "s3cret", "dbpass"):
        assert secret not in imported.yaml + "".join(imported.warnings)


def test_an_address_that_is_in_an_unset_variable_is_left_to_the_reader():
    imported = import_litellm(SOURCE, {})
    assert loads(imported.yaml).deployments["gpt-4o-2"].base_url == "https://azure-ca.invalid/v1"
    assert "gpt-4o-2: its address is in AZURE_CA, which is not set here; set base_url" in imported.warnings


def one(params: str, name: str = "m") -> tuple[str, str, str | None, str | None]:
    config = loads(import_litellm(f"model_list: [{{model_name: {name}, litellm_params: {{{params}}}}}]", {}).yaml)
    (deployment,) = config.deployments.values()
    return deployment.dialect, deployment.base_url, deployment.upstream_model, deployment.api_key


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("model: gpt-4o", ("openai", "https://api.openai.com/v1", "gpt-4o", "env:OPENAI_API_KEY")),
        ("model: claude-haiku-4-5", ("anthropic", "https://api.anthropic.com/v1", "claude-haiku-4-5", "env:ANTHROPIC_API_KEY")),
        ("model: anthropic/c, api_base: 'https://x'", ("anthropic", "https://x/v1", "c", "env:ANTHROPIC_API_KEY")),
        (
            "model: gemini/gemini-2.5-flash",
            ("gemini", "https://generativelanguage.googleapis.com/v1beta", "gemini-2.5-flash", "env:GEMINI_API_KEY"),
        ),
        ("model: groq/llama-3.3-70b", ("openai", "https://api.groq.com/openai/v1", "llama-3.3-70b", "env:GROQ_API_KEY")),
        ("model: openrouter/a/b", ("openai", "https://openrouter.ai/api/v1", "a/b", "env:OPENROUTER_API_KEY")),
        ("model: hosted_vllm/Qwen/Q, api_base: 'http://h:8000/v1'", ("openai", "http://h:8000/v1", "Qwen/Q", None)),
        ("model: Qwen/Q, api_base: 'http://h/v1', api_key: EMPTY", ("openai", "http://h/v1", "Qwen/Q", None)),
        ("model: ollama/l", ("openai", "http://127.0.0.1:11434/v1", "l", None)),
        ("model: x, custom_llm_provider: deepseek", ("openai", "https://api.deepseek.com/v1", "x", "env:DEEPSEEK_API_KEY")),
        ("model: openai/x, api_base: 'http://u:p@h/v1/chat/completions?k=v'", ("openai", "http://h/v1", "x", "env:OPENAI_API_KEY")),
    ],
)
def test_providers_are_told_apart_as_litellm_does(params, expected):
    assert one(params) == expected


@pytest.mark.parametrize(
    "model", ["bedrock/x", "vertex_ai/x", "gemini-pro", "replicate/a/b", "huggingface/BAAI/b, api_base: 'http://tei:8080'"]
)
def test_a_provider_we_do_not_speak_is_left_out_with_a_word(model):
    """Whatever address is given: nor is a key of OpenAI's sent there."""
    imported = import_litellm(f"model_list: [{{model_name: m, litellm_params: {{model: {model}}}}}]", {})
    assert loads(imported.yaml).deployments == {}
    assert "is not supported" in imported.warnings[0]


@pytest.mark.parametrize(
    ("params", "privacy"),
    [
        ("model: ollama_chat/llama3.2, api_base: 'http://localhost:11434'", "local"),
        ("model: ollama_chat/gpt-oss:120b-cloud, api_base: 'http://localhost:11434'", "vendor"),
        ("model: litellm_proxy/gpt-4o, api_base: 'http://localhost:4000'", "vendor"),
        ("model: openai/x, api_base: 'http://gpu:8000/v1'", "vendor"),
    ],
)
def test_what_is_asked_here_and_answered_elsewhere_is_not_local(params, privacy):
    imported = import_litellm(f"model_list: [{{model_name: m, litellm_params: {{{params}}}}}]", {})
    assert loads(imported.yaml).deployments["m"].privacy == privacy


@pytest.mark.parametrize(
    ("params", "model", "apis"),
    [
        ("model: openai/responses/gpt-5.1-codex", "gpt-5.1-codex", ("responses",)),
        ("model: azure/responses/mine, api_base: 'https://h', api_version: v1", "mine", ("responses",)),
        ("model: text-completion-openai/gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct", ("completions",)),
    ],
)
def test_what_serves_one_operation_alone_says_so(params, model, apis):
    imported = import_litellm(f"model_list: [{{model_name: m, litellm_params: {{{params}}}}}]", {})
    found = loads(imported.yaml).deployments["m"]
    assert (found.upstream_model, found.apis) == (model, apis)
    assert ("serves /v1/responses alone" in "".join(imported.warnings)) == (apis == ("responses",))


@pytest.mark.parametrize("mode", ["[chat]", "{chat: 1}", "5"])
def test_a_mode_that_is_no_word_is_told(mode):
    imported = import_litellm(f"model_list: [{{model_name: m, litellm_params: {{model: gpt-4o}}, model_info: {{mode: {mode}}}}}]", {})
    assert imported.warnings == ["m: cannot be read here: model_info.mode"]


def test_figures_may_be_text_and_one_that_cannot_be_read_is_told():
    params = 'model: gpt-4o, timeout: "300", stream_timeout: os.environ/WAIT, max_parallel_requests: "20", weight: heavy'
    imported = import_litellm(f"model_list: [{{model_name: m, litellm_params: {{{params}}}, model_info: {{mode: cloud}}}}]", {})
    found = loads(imported.yaml).deployments["m"]
    assert (found.timeouts.total_s, found.concurrency, found.weight) == (300, 20, 1)
    assert imported.warnings == ["m: cannot be read here: weight, stream_timeout, model_info.mode"]


@pytest.mark.parametrize(("written", "usd_per_mtok"), [("1e-6", 1.0), ('"0.0000025"', 2.5), ('"free"', None), ('".inf"', None)])
def test_a_price_may_be_written_as_text(written, usd_per_mtok):
    """PyYAML, and so LiteLLM's users, have `1e-6` for text."""
    text = f"model_list: [{{model_name: m, litellm_params: {{model: gpt-4o, input_cost_per_token: {written}}}}}]"
    found = yaml.safe_load(import_litellm(text, {}).yaml)["deployments"]["m"].get("usd_per_mtok")
    assert found == (None if usd_per_mtok is None else {"input": usd_per_mtok})


@pytest.mark.parametrize(
    ("written", "usd"),
    [("{search_context_size_low: 0.03, search_context_size_medium: 0.035}", 0.035), ("0.01", 0.01), ("{}", None), ("[1]", None)],
)
def test_the_price_of_a_search_is_that_of_the_usual_size(written, usd):
    text = f"model_list: [{{model_name: m, litellm_params: {{model: gpt-4o}}, model_info: {{search_context_cost_per_query: {written}}}}}]"
    imported = import_litellm(text, {})
    assert yaml.safe_load(imported.yaml)["deployments"]["m"].get("usd_per_search") == usd
    assert "search_context" not in " ".join(imported.warnings)


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2"])
def test_a_file_that_cannot_be_read_is_a_configuration_error(text):
    with pytest.raises(ConfigurationError):
        import_litellm(text, {})


@pytest.mark.parametrize("text", ["", "5", "model_list: 7", "model_list: [1, {}, {litellm_params: 5}]"])
def test_a_file_with_nothing_to_import_says_so(text):
    imported = import_litellm(text, {})
    assert loads(imported.yaml).deployments == {}
    assert imported.warnings


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["1e3", "yes", "null", "2024-01-01", "a b", "x/y"]
)
SCALARS = WORDS | st.integers(-5, 10**6) | st.floats(0, 10) | st.booleans() | st.none()
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.builds("{}/{}".format, st.sampled_from(sorted(PROVIDERS)), WORDS) | SCALARS,
        "api_base": st.sampled_from(["http://h/v1", "os.environ/BASE", "os.environ/BAD NAME"]),
        "api_key": st.sampled_from(["sk-hidden", "os.environ/KEY", "os.environ/1 bad", "none"]) | st.none(),
        **dict.fromkeys(("api_version", "weight", "timeout", "stream_timeout", "max_parallel_requests", "rpm", "organization"), SCALARS),
        "extra_headers": st.dictionaries(WORDS, SCALARS, max_size=2) | SCALARS,
        "input_cost_per_token": SCALARS,
    },
)
INFO = st.dictionaries(
    st.sampled_from(["mode", "max_input_tokens", "max_output_tokens", "output_cost_per_token", "id"]), SCALARS, max_size=4
)
ROWS = st.fixed_dictionaries({}, optional={"model_name": SCALARS, "litellm_params": PARAMS | SCALARS, "model_info": INFO | SCALARS})
FILES = st.fixed_dictionaries(
    {"model_list": st.lists(ROWS, max_size=4)},
    optional={
        "router_settings": st.fixed_dictionaries(
            {}, optional={"model_group_alias": st.dictionaries(WORDS, WORDS, max_size=2), "routing_strategy": SCALARS, "fallbacks": SCALARS}
        ),
        "litellm_settings": st.fixed_dictionaries(
            {}, optional={"fallbacks": st.lists(st.dictionaries(WORDS, st.lists(WORDS)), max_size=2)}
        ),
        "general_settings": st.fixed_dictionaries({}, optional={"master_key": st.just("sk-hidden") | st.integers(1, 9)}),
    },
)


@given(FILES)
@settings(max_examples=200, deadline=None)
def test_whatever_the_file_holds_the_result_is_a_sound_configuration_without_its_keys(tree):
    imported = import_litellm(yaml.safe_dump(tree, allow_unicode=True), {})
    errors = [problem for problem in examine(imported.yaml).problems if not problem.warning]
    assert errors == []
    assert "sk-hidden" not in imported.yaml
