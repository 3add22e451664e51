"""The JSON Schema and the reference say what the code takes, no more and no less."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from proxy.configuration.schema import descriptions, json_schema, reference, sections, settings

ROOT = Path(__file__).parents[2]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_example_meets_the_schema():
    jsonschema.validate(yaml.safe_load((ROOT / "greenlane.example.yaml").read_text()), json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"polices": {}},
        {"deployments": {"a": {"model": "m"}}},
        {"deployments": {"a": {"model": "m", "base_url": "http://h", "privacy": "secret"}}},
        {"deployments": {"a": {"model": "m", "base_url": "http://h", "api_key": "sk-1"}}},
        {"server": {"port": 70000}},
        {"limits": {"n": 0}},
        {"policies": {"p": {"objective": "weighted", "weights": {"carbn": 1}}}},
    ],
    ids=str,
)
def test_what_is_wrong_does_not_meet_the_schema(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())


def test_editors_are_told_what_every_setting_means():
    schema = json_schema()
    deployment = schema["$defs"]["Deployment"]
    assert deployment["properties"]["zone"]["description"].startswith("Where the machines are")
    assert deployment["properties"]["usd_per_mtok"]["description"]
    assert deployment["description"] == "One place that serves a model."


@pytest.mark.parametrize("struct", sections().values(), ids=lambda struct: struct.__name__)
def test_every_setting_is_documented(struct):
    texts = descriptions(struct)
    assert [setting.name for setting in settings(struct) if not texts.get(setting.name)] == []


@pytest.mark.parametrize("struct", sections().values(), ids=lambda struct: struct.__name__)
def test_every_quantity_has_a_unit(struct):
    endings = ("_s", "_bytes", "_tokens", "_g", "_usd", "_kwh", "_b")
    numbers = [setting for setting in settings(struct) if setting.name.endswith(endings) or setting.name.startswith("usd")]
    assert [setting.name for setting in numbers if not setting.unit and "number" in setting.kind] == []


def test_the_documentation_holds_the_reference_as_the_code_has_it():
    text = (ROOT / "docs" / "configuration.md").read_text()
    begin, end = text.index("<!-- reference: begin"), text.index("<!-- reference: end -->")
    assert text[text.index("\n", begin) + 1 : end].strip() == reference().strip()


def test_links_within_the_reference_lead_to_its_headings():
    text = reference()
    headings = {line[4:].lower().replace(" ", "-").replace(".", "") for line in text.splitlines() if line.startswith("### ")}
    linked = {part.split(")")[0] for part in text.split("](#")[1:]}
    assert linked <= headings
