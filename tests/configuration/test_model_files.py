"""`hf_config`: a deployment's parameters from the config.json beside its weights."""

from __future__ import annotations

import json

import pytest

from carbon.energy import Proportional
from carbon.sources.static import Static
from proxy.configuration import examine, loads
from proxy.runtime import compiled

QWEN = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
SETTINGS = "deployments: {{ours: {{model: wonder, base_url: 'http://127.0.0.1:9/v1', privacy: local, {more}hf_config: '{path}'}}}}"


TABLE = Static().table()


@pytest.fixture
def config_json(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN))
    return path


def test_a_model_nobody_knows_is_estimated_by_its_own_file(config_json):
    """8.19B in bf16, 36 layers of 8 heads of 128, key and value: 147,456 bytes a token."""
    served = compiled(loads(SETTINGS.format(path=config_json, more="hardware: {gpu: H100}, batch: 64, ")), TABLE).served["ours"]
    assert isinstance(served.estimator, Proportional)
    assert served.estimator.method == "flops_roofline"
    assert served.profile is not None
    assert served.profile["total_b"] == pytest.approx(8.19, rel=0.01)
    assert (served.profile["kv_bytes"], served.profile["d_model"], served.profile["gpu_count"]) == (147456, 4096, 1)


def test_what_is_stated_stands_above_the_file(config_json):
    served = compiled(loads(SETTINGS.format(path=config_json, more="parameters_b: {total: 12, bytes_per_parameter: 1}, ")), TABLE).served[
        "ours"
    ]
    assert served.profile is not None
    assert (served.profile["total_b"], served.profile["active_b"], served.profile["bytes_per_parameter"]) == (12, 12, 1)
    assert served.profile["kv_bytes"] == 147456


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("[]", "is not a model's config.json: expected a JSON object"),
        ("{", "is not a model's config.json: expected a JSON object"),
        ("\udcff", "is not a model's config.json: expected a JSON object"),
        ('{"model_type": "llama"}', "num_hidden_layers: expected a whole number above 0"),
        ('{"model_type": "bamba", "mamba_d_state": 128}', "mamba_d_state: the parameters of bamba cannot be counted"),
    ],
)
def test_a_file_that_tells_no_shape_is_an_error_that_names_it(tmp_path, content, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    (problem,) = examine(SETTINGS.format(path=path, more="")).problems
    assert problem.path == "deployments.ours.hf_config"
    assert str(path) in problem.message
    assert message in problem.message
    assert not problem.warning


def test_a_folder_is_no_file(tmp_path):
    (problem,) = examine(SETTINGS.format(path=tmp_path, more="")).problems
    assert problem.message == f"{tmp_path} cannot be read: Is a directory"
