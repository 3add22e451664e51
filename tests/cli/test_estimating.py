"""`greenlane estimate`: the library's figures, with the formula, from what is stated."""

from __future__ import annotations

import json

import pytest

from carbon.energy import estimator
from carbon.profile import Serving, profile_of
from proxy.cli.command import run

MIXTURE = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4,
    "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}  # fmt: skip


def answer(capsys, *arguments):
    assert run(["estimate", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_is_what_the_library_says(capsys):
    found = answer(capsys, "--model", "Qwen/Qwen3-32B", "--gpu", "H100", "--gpus", "2", "--batch", "16", "--zone", "aws:eu-north-1")
    profile = profile_of(
        Serving(upstream_model="Qwen/Qwen3-32B", gpu="H100", gpu_count=2, batch=16, zone="aws:eu-north-1", privacy="local")
    )
    assert found["account"]["energy_j"] == pytest.approx(estimator(profile).energy_j(1000, 0, 500))
    assert found["account"]["carbon_g"] == pytest.approx(found["account"]["energy_j"] / 3.6e6 * 34.9)
    assert [each["method"] for each in found["explanation"]["methods"]] == ["flops_roofline", "token_proxy"]


def test_a_models_own_file_tells_its_experts(capsys, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MIXTURE))
    found = answer(capsys, "--model", "ours", "--hf-config", str(path), "--gpu", "H100")
    assert found["account"]["method"] == "flops_roofline"
    assert "3.3" in json.dumps(found["explanation"]["methods"][0]["formula"])


def test_an_observed_pace_qualifies_for_the_power_of_the_machine(capsys):
    given = ("--model", "Qwen/Qwen3-8B", "--gpu", "H100", "--batch", "8", "--decode-s", "5")
    assert answer(capsys, *given)["account"]["method"] == "runtime_power"


def test_all_that_is_not_stated_is_listed(capsys):
    def assumed(*more):
        return {each["name"] for each in answer(capsys, "--model", "meta-llama/Llama-3.1-70B", *more)["explanation"]["assumptions"]}

    bare = {"bytes_per_parameter", "batch", "gpu", "gpu_count", "host_factor", "idle_factor", "pue", "zone"}
    assert assumed() == bare
    assert assumed("--gpu", "H100", "--batch", "16") == bare - {"gpu", "batch"}
    stated = ("--gpu", "H100", "--gpus", "4", "--batch", "16", "--pue", "1.2", "--zone", "SE")
    assert assumed(*stated) == {"bytes_per_parameter", "host_factor", "idle_factor"}


def test_people_get_a_sheet(capsys):
    assert run(["estimate", "--model", "gpt-4o", "--tokens-in", "100", "--tokens-out", "400"]) == 0
    told = capsys.readouterr().out
    assert "vendor_prior" in told
    assert "Assumed" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "foo"), "nothing is known of foo"),
        (("--model", "gpt-4o", "--zone", "Narnia"), "unknown zone 'Narnia'"),
        (("--model", "ours", "--hf-config", "/no/such/file"), "cannot be read"),
        (("--model", "gpt-4o", "--tokens-in", "10", "--tokens-cached", "11"), "--tokens-cached is more than --tokens-in"),
    ],
)
def test_what_tells_nothing_is_told(capsys, arguments, told):
    assert run(["estimate", *arguments]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--parameters", "3:4"), ("--parameters", "x"), ("--batch", "0"), ("--tokens-in", "-1"), ("--pue", "0.9")]
)
def test_arguments_that_cannot_be_are_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        run(["estimate", "--model", "foo", *arguments])
