"""What pages show as configuration can be loaded; commands they show exist."""

from __future__ import annotations

import re
import shlex

import msgspec
import pytest

from proxy.cli import command
from proxy.config import Config
from proxy.configuration import examine
from proxy.configuration.document import parse
from tests.docs.pages import PAGES, ROOT, blocks

YAML = [(page.name, block) for page in PAGES for block in blocks(page.read_text(), "yaml")]
SHELL = [line for page in PAGES for block in blocks(page.read_text(), "") for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in SHELL if re.match(r"(\.venv/bin/)?greenlane ", line)]
ENVIRON = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "SEARCH_KEY": "c", "GREENLANE_KEY": "d"}


@pytest.mark.parametrize(("page", "block"), YAML, ids=lambda value: value if value.endswith(".md") else "")
def test_every_yaml_block_is_a_configuration(page, block):
    document = parse(block)
    assert document.problems == []
    msgspec.convert(document.tree, Config)


@pytest.mark.parametrize("file", ["greenlane.example.yaml", "deploy/greenlane.yaml", "deploy/image.yaml"])
def test_every_configuration_that_ships_is_good(file):
    assert examine((ROOT / file).read_text(), ENVIRON).problems == []


def test_the_readmes_configuration_is_good():
    (block,) = blocks((ROOT / "README.md").read_text(), "yaml")
    assert examine(block, ENVIRON).problems == []


@pytest.mark.parametrize("line", COMMANDS)
def test_every_greenlane_command_is_understood(line):
    words = shlex.split(line.partition(">")[0].partition("|")[0], comments=True)[1:]
    parsed = command.parser().parse_args(words)
    assert callable(parsed.answer)


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert named <= targets
    assert {"run", "test", "check"} <= named
