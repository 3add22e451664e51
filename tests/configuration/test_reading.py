"""Files and texts in, a Config or every Problem out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from proxy.config import Config, Deployment, Limits, Prices
from proxy.configuration import ConfigurationError, Problem, examine, load, loads, version

ROOT = Path(__file__).parents[2]
SECRETS = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "SEARCH_KEY": "sk-3"}

CONTRACT = """
carbon: {basis: lifecycle, sources: [static]}
models:
  qwen3-32b: {substitutes: [gpt-5-mini]}      # used only when every qwen3-32b is full or down
  auto: {members: [qwen3-32b, gpt-5-mini], min_quality: 0.6}
deployments:
  vllm-eu: &vllm
    model: qwen3-32b
    dialect: openai
    upstream_model: Qwen/Qwen3-32B            # known: its energy profile is built in
    base_url: http://vllm.eu.internal:8000/v1
    zone: aws:eu-north-1
    privacy: local
    hardware: {gpu: H100, count: 2}
    usd_per_mtok: {input: 0.10, output: 0.40}
    concurrency: 64
  vllm-us: {<<: *vllm, base_url: "http://vllm.us.internal:8000/v1", zone: aws:us-east-1}
  openai: {model: gpt-5-mini, dialect: openai, base_url: "https://api.openai.com/v1", api_key: env:OPENAI_API_KEY,
           privacy: vendor, usd_per_mtok: {input: 0.25, cached: 0.025, output: 2.00}}
policies:
  green: {objective: lowest_carbon, prefer: {max_g_per_kwh: 300}, require: {max_usd: 0.02}}
  private: {extends: green, require: {privacy: local, regions: [EU]}}
teams:
  search: {policy: green, budget: {per: month, g: 500, usd: 200}}
keys:
  search-prod: {team: search, key: env:SEARCH_KEY}
"""


def test_the_contracts_example_is_read_whole():
    examination = examine(CONTRACT, SECRETS)
    assert [(problem.path, problem.warning) for problem in examination.problems] == [("models.auto.min_quality", True)]
    config = examination.config
    assert config.deployments["vllm-us"] == msgspec.structs.replace(
        config.deployments["vllm-eu"], base_url="http://vllm.us.internal:8000/v1", zone="aws:us-east-1"
    )
    assert config.deployments["openai"] == Deployment(
        model="gpt-5-mini",
        base_url="https://api.openai.com/v1",
        api_key="env:OPENAI_API_KEY",
        usd_per_mtok=Prices(input=0.25, cached=0.025, output=2.0),
    )
    assert config.models["auto"].members == ("qwen3-32b", "gpt-5-mini")
    assert config.policies["private"].require.regions == ("EU",)


def test_the_example_that_ships_can_be_served():
    examination = examine((ROOT / "greenlane.example.yaml").read_text(), SECRETS)
    assert examination.problems == []
    assert load(ROOT / "greenlane.example.yaml", SECRETS) == examination.config


def test_an_empty_file_is_all_defaults():
    assert loads("") == Config()
    assert loads("").limits == Limits()


def test_all_problems_are_told_at_once_in_the_order_of_the_file():
    text = """\
carbon: {basis: lifecycel}
deployments:
  a:
    modle: m
    base_url: http://h/v1
    hardware: {gpu: H100, count: 0}
    usd_per_mtok: {input: "0.1"}
    residency: [DE, 5]
    concurrency: true
  b: []
limits: {n: many}
polices: {}
"""
    with pytest.raises(ConfigurationError) as caught:
        loads(text, "x.yaml")
    assert caught.value.problems == [
        Problem(path="carbon.basis", message="must be one of lifecycle, direct", suggestion="lifecycle", line=1),
        Problem(path="deployments.a.model", message="is missing", line=3),
        Problem(path="deployments.a.modle", message="is not a setting", suggestion="model", line=4),
        Problem(path="deployments.a.hardware.count", message="expected a whole number >= 1 (0)", line=6),
        Problem(path="deployments.a.usd_per_mtok.input", message="expected a number, got text", line=7),
        Problem(path="deployments.a.residency[1]", message="expected text, got a whole number", line=8),
        Problem(path="deployments.a.concurrency", message="expected a whole number, got true or false (True)", line=9),
        Problem(path="deployments.b", message="expected a mapping, got a list", line=10),
        Problem(path="limits.n", message="expected a whole number, got text", line=11),
        Problem(path="polices", message="is not a setting of the file", suggestion="policies", line=12),
    ]
    assert str(caught.value).splitlines()[0] == "x.yaml:1: carbon.basis: must be one of lifecycle, direct (did you mean lifecycle?)"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("5", ""),
        ("[]", ""),
        ("deployments: 5", "deployments"),
        ("deployments: {a: null}", "deployments.a"),
        ("deployments: {a: {model: m, base_url: 'http://h', quality: {default: 2}}}", "deployments.a.quality.default"),
        ("deployments: {a: {model: m, base_url: 'http://h', parameters_b: {total: -1}}}", "deployments.a.parameters_b.total"),
        ("deployments: {a: {model: m, base_url: 'http://h', parameters_b: big}}", "deployments.a.parameters_b"),
        ("deployments: {a: {model: m, base_url: 'http://h', quirks: {stream: false}}}", "deployments.a.quirks.stream"),
        ("policies: {p: {weights: {carbn: 1}}}", "policies.p.weights.carbn"),
    ],
)
def test_a_wrong_shape_is_told_with_its_path(text, path):
    assert [problem.path for problem in examine(text).problems] == [path]


def test_a_secret_that_was_pasted_into_the_file_is_not_repeated():
    text = "deployments: {a: {model: m, base_url: 'http://h', api_key: sk-live-77}}\nkeys: {k: {team: t, key: 5550123}}\nteams: {t: {}}"
    with pytest.raises(ConfigurationError) as caught:
        loads(text)
    told = str(caught.value)
    assert "env:NAME" in told
    assert "sk-live" not in told
    assert "5550123" not in told


def test_secrets_must_be_present_where_they_are_looked_for():
    text = "deployments: {a: {model: m, base_url: 'https://h', api_key: env:NOWHERE}}"
    assert loads(text).deployments["a"].api_key == "env:NOWHERE"
    with pytest.raises(ConfigurationError, match=r"deployments.a.api_key: the environment variable NOWHERE is not set"):
        loads(text, environ={})
    lenient = examine(text, {}, missing_is_error=False)
    assert [problem.warning for problem in lenient.problems] == [True]
    assert lenient.config is not None


@pytest.mark.parametrize(("content", "word"), [(b"\xff\xfe", "UTF-8"), (None, "cannot be read")])
def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path, content, word):
    path = tmp_path / "greenlane.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=word):
        load(path)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "greenlane.yaml"
    path.write_bytes(b"\xef\xbb\xbfserver: {port: 1}")
    assert load(path, {}).server.port == 1


def test_the_version_changes_with_any_setting_and_with_the_order_of_deployments_but_not_with_the_writing():
    one = loads("deployments: {a: {model: m, base_url: 'http://h'}, b: {model: m, base_url: 'http://i'}}")
    same = loads("# note\ndeployments:\n  a: {base_url: 'http://h', model: m, weight: 1}\n  b: {model: m, base_url: 'http://i'}\n")
    other = loads("deployments: {b: {model: m, base_url: 'http://i'}, a: {model: m, base_url: 'http://h'}}")
    assert version(one) == version(same) != version(other)
    assert version(one) != version(msgspec.structs.replace(one, policy="x"))
    assert len(version(one)) == 12
