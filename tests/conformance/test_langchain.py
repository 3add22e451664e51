"""LangChain's standard chat-model tests against the running proxy, in an environment of their own (their plugins would disturb ours)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.conformance import obedient, tools
from tests.conformance.fleet import ANTHROPIC_MODEL, ENVIRON, GEMINI_MODEL
from tests.imitations import anthropic as anthropic_api
from tests.imitations import gemini as gemini_api

SUITE = Path(__file__).with_name("langchain_standard.py")
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_test_loop_scope = session
asyncio_default_fixture_loop_scope = session
"""
FLEET = """
deployments:
  openai: {{model: obedient-openai, base_url: "{openai}"}}
  other: {{model: obedient-other, base_url: "{openai}"}}
  anthropic:
    {{model: obedient-anthropic, upstream_model: {claude}, dialect: anthropic, base_url: "{anthropic}/v1",
      api_key: env:IMITATED_ANTHROPIC_KEY}}
  gemini:
    {{model: obedient-gemini, upstream_model: {gemini_model}, dialect: gemini, base_url: "{gemini}/v1beta",
      api_key: env:IMITATED_GEMINI_KEY}}
  embedding: {{model: embedding, base_url: "sim://embedding?ttft_s=0"}}
"""


@pytest.fixture
def willing(proxy, upstream, imitations, monkeypatch):
    """A proxy whose three routes lead to models that do as they are told."""
    monkeypatch.setattr(anthropic_api, "say", obedient.claude)
    monkeypatch.setattr(gemini_api, "say", obedient.gemini)
    urls = {"openai": upstream(obedient.openai_host).url, "anthropic": imitations["anthropic"][1], "gemini": imitations["gemini"][1]}
    return proxy(FLEET.format(**urls, claude=ANTHROPIC_MODEL, gemini_model=GEMINI_MODEL), environ=ENVIRON)


def test_langchains_standard_tests(willing, tmp_path):
    shutil.copy(SUITE, tmp_path / "test_langchain_standard.py")
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    report = tmp_path / "report.xml"
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_"))
    }
    command = [
        str(tools.python()),
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "--benchmark-disable",
        f"--junitxml={report}",
    ]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**environ, "OPENAI_API_KEY": "unused", "BASE_URL": willing.base},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert report.exists(), ran.stdout + ran.stderr
    suite = next(ET.parse(report).iter("testsuite"))
    failed = [
        f"{case.get('classname')}::{case.get('name')}\n{(found.text or '')[-1500:]}"
        for case in suite.iter("testcase")
        for found in (case.find("failure"), case.find("error"))
        if found is not None
    ]
    assert not failed, f"{len(failed)} failed\n" + "\n".join(failed[:40])
    assert int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) > 200
