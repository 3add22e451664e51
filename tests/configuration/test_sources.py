"""Every source of intensities can be written in the file: the schema knows its settings, the check tells what is wrong with them."""

from __future__ import annotations

import copy

import jsonschema
import msgspec
import pytest
import yaml

from carbon.sources import SOURCES
from proxy.configuration import examine
from proxy.configuration.schema import json_schema

EXAMPLES = {
    "carbon_aware_sdk": '{base_url: "http://carbon.internal", basis: lifecycle, signal: average, key: "env:K", locations: {SE: sweden}}',
    "electricity_maps": '{token: "env:K", version: v3, zones: {SE: {lat: 59.3, lon: 18.1}, DK: DK-DK2}, granularity: hourly, every_s: 600}',
    "energy_charts": "{basis: lifecycle, countries: {GB: uk}}",
    "prometheus": '{base_url: "http://prom:9090", query: "max(grid{zone=\\"{zone}\\"})", basis: direct, licence: ours, token: "env:K"}',
    "static": "{basis: direct}",
    "uk_neso": '{regional: false, regions: {"aws:eu-west-2": 13}, every_s: 1800}',
    "watttime": '{username: "env:K", password: "env:K", regions: {"aws:us-west-1": CAISO_NORTH}, signals: [co2_moer]}',
}


def written(name):
    return f"carbon: {{sources: [{name}: {EXAMPLES[name]}, static]}}\ndeployments: {{a: {{model: m, base_url: 'sim://a', zone: SE}}}}\n"


def test_each_source_has_an_example():
    assert set(EXAMPLES) == set(SOURCES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_example_of_a_source_is_good_for_the_schema_and_for_the_check(name):
    jsonschema.validate(yaml.safe_load(written(name)), json_schema())
    assert examine(written(name), {"K": "a secret"}).problems == []


WRONG = {"colour": "green", "every_s": 1, "base_url": "ftp://x", "basis": "both"}


def settings(name):
    return {field.encode_name for field in msgspec.structs.fields(SOURCES[name])}


@pytest.mark.parametrize(
    ("name", "change"), [(name, each) for name in sorted(EXAMPLES) for each in WRONG if each == "colour" or each in settings(name)]
)
def test_what_is_no_setting_or_no_value_of_one_is_refused_by_both(name, change):
    tree = copy.deepcopy(yaml.safe_load(written(name)))
    tree["carbon"]["sources"][0][name][change] = WRONG[change]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, json_schema())
    problems = examine(yaml.safe_dump(tree), {"K": "a secret"}).problems
    assert [problem.path for problem in problems] == [f"carbon.sources[0].{name}.{change}"]


@pytest.mark.parametrize("name", [name for name, text in EXAMPLES.items() if "env:K" in text])
def test_a_secret_that_is_missing_is_told_with_its_place_and_no_value(name):
    problems = examine(written(name), {"OTHER": "a secret"}).problems
    assert problems
    assert all(problem.path.startswith(f"carbon.sources[0].{name}.") and "K" in problem.message for problem in problems)
