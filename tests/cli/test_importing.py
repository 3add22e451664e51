"""`greenlane import litellm`."""

from __future__ import annotations

from proxy.cli.command import run
from proxy.configuration import loads


def test_our_yaml_goes_to_output_and_what_needs_a_look_to_errors(tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text("model_list: [{model_name: m, litellm_params: {model: groq/llama, api_key: sk-hidden}}]")
    assert run(["import", "litellm", str(file)]) == 0
    captured = capsys.readouterr()
    assert loads(captured.out).deployments["m"].base_url == "https://api.groq.com/openai/v1"
    assert captured.err == "greenlane: m: the key in the file is not copied; put it into M_API_KEY\n"
    assert "sk-hidden" not in captured.out


def test_a_file_that_is_no_yaml_is_told(tmp_path, capsys):
    file = tmp_path / "config.yaml"
    file.write_text("a: [")
    assert run(["import", "litellm", str(file)]) == 1
    assert "not YAML" in capsys.readouterr().err
