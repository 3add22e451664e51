"""docs/policies.md tells everything that a policy can say, and its examples are configurations."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest
import yaml

from policies._base import Limits
from policies.decide import REFUSED
from policies.objectives import OBJECTIVES
from proxy.config import Config

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
LIMITS = set(Limits.__struct_fields__) - {"and_regions"}
REASONS = re.findall(r"^\| ((?:`[a-z-]+` ?)+) \|", PAGE.split("## Reasons")[1].split("## What")[0], re.MULTILINE)


@pytest.mark.parametrize("word", sorted({*OBJECTIVES, *LIMITS, "never", "down", "greener", "cheaper", "any", "substitute", "full"}))
def test_every_name_of_a_policy_is_on_its_page(word: str) -> None:
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(example: str) -> None:
    config = msgspec.convert(yaml.safe_load(example), Config)
    assert {policy.objective for policy in config.policies.values()} <= {*OBJECTIVES, None}


def test_the_page_tells_the_reasons_that_the_sources_give_and_no_other() -> None:
    given = {REFUSED}
    for path in (Path(__file__).parents[2] / "policies").rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and function.name in {"reason", "_reason", "_stood_in"}:
                returned = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
                given |= {
                    node.value
                    for each in returned
                    for node in ast.walk(each)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                }
    assert {reason for row in REASONS for reason in re.findall(r"`([a-z-]+)`", row)} == given
