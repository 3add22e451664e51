"""What a request asks of a model is told from its members: it goes to a deployment that can, and to none that cannot."""

from __future__ import annotations

import pytest

from tests.harness import ask, serving

TEXT = {"type": "text", "text": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
ASKED = {
    "tools": ({"tools": [TOOL]}, "tools"),
    "image": ({"parts": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}, "messages"),
    "audio": ({"parts": [{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]}, "messages"),
    "document": ({"parts": [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}]}, "messages"),
    "document ": ({"parts": [{"type": "file", "file": {"file_id": "file-1"}}]}, "messages"),
    "json_schema": ({"response_format": SCHEMA}, "response_format"),
    "json_object": ({"response_format": {"type": "json_object"}}, "response_format"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "n": ({"n": 2}, "n"),
}
INERT = [{"tools": []}, {"logprobs": False}, {"n": 1}, {"response_format": {"type": "text"}}, {"parts": []}, {"tools": None}]
ABILITIES = sorted({each.strip() for each in ASKED})
EACH = """
  only-{name}: {{model: only-{name}, base_url: "{url}", abilities: [{name}]}}
  no-{name}: {{model: no-{name}, base_url: "{url}", abilities: [{others}]}}"""


def fleet(url):
    others = {name: ", ".join(each for each in ABILITIES if each != name) for name in ABILITIES}
    deployments = "".join(EACH.format(name=name, url=url, others=others[name]) for name in ABILITIES)
    return f'deployments:\n  bare: {{model: bare, base_url: "{url}", abilities: []}}{deployments}\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(fleet, tmp_path_factory.mktemp("abilities")) as made:
        yield made


def body(model, parts=None, **more):
    return {"model": model, "messages": [{"role": "user", "content": "Hi" if parts is None else [TEXT, *parts]}], **more}


@pytest.mark.parametrize("ability", ASKED)
def test_whoever_lacks_an_ability_is_not_asked_for_it(served, ability):
    asked, param = ASKED[ability]
    name = ability.strip()
    assert ask(served, body(f"only-{name}", **asked)).status_code == 200
    refused = ask(served, body(f"no-{name}", **asked))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", param)
    assert f"`{param}`" in error["message"]
    assert (name in error["message"]) is True


@pytest.mark.parametrize("inert", INERT, ids=str)
def test_what_asks_for_nothing_needs_no_ability(served, inert):
    assert ask(served, body("bare", **inert)).status_code == 200
