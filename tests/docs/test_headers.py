"""docs/headers.md names every header that is sent and every wish that is read, and no other."""

from __future__ import annotations

import httpx
import pytest

from proxy.dataplane.theirs import PASSED_ON, PASSED_ON_PREFIXES
from proxy.dataplane.wishes import _READERS
from tests.docs.pages import quoted, rows, text

PAGE = text("docs/headers.md")
RESPONSE, _, REQUEST = PAGE.partition("## In the request")
OURS = ("x-greenlane-", "x-carbon-", "x-energy-", "x-request-id")
CHAT = {"model": "auto", "max_tokens": 2, "messages": [{"role": "user", "content": "Hi"}]}


def ours(names) -> set[str]:
    return {name for name in names if name.startswith(OURS)}


@pytest.fixture(scope="module")
def sent(embedded_fleet) -> dict[str, set[str]]:
    """Names of our headers by kind of answer."""
    verbose = {"x-greenlane-verbose": "true", "x-greenlane-max-g-per-kwh": "100"}
    with httpx.Client(trust_env=False, base_url=embedded_fleet.url, timeout=60) as client:
        asked = {
            "whole": client.post("/chat/completions", json=CHAT),
            "stream": client.post("/chat/completions", json={**CHAT, "stream": True}),
            "verbose": client.post("/chat/completions", json=CHAT, headers=verbose),
            "refused": client.post("/chat/completions", json={**CHAT, "model": "nothing"}),
            "options": client.options("/chat/completions"),
            "control": client.get("/models"),
            "nothing": client.get("/nothing"),
        }
    return {kind: ours(answer.headers) for kind, answer in asked.items()}


def table(heading: str) -> set[str]:
    """Our headers in the first column of the first table under a heading."""
    return ours(name for row in rows(PAGE.split(f"## {heading}")[1], "header") for name in quoted(row[0]))


def test_what_every_response_has_is_on_every_response(sent):
    always = table("On every response")
    for kind in ("whole", "refused", "options", "control", "nothing"):
        assert always <= sent[kind], kind
    assert sent["refused"] == sent["options"] == sent["control"] == sent["nothing"] == always


def test_an_answer_of_a_deployment_has_the_second_table_as_well(sent):
    assert sent["whole"] == table("On every response") | table("On answers of a deployment")


def test_a_stream_has_the_forecast_instead(sent):
    forecast = {name for name in sent["stream"] if "forecast" in name}
    assert forecast == {name for name in ours(quoted(RESPONSE)) if "forecast" in name}
    assert sent["stream"] - forecast == {
        name
        for name in sent["whole"] - {"x-greenlane-cost-usd"}
        if not name.startswith(("x-energy", "x-carbon-g", "x-carbon-low", "x-carbon-high"))
    }


def test_verbose_headers_are_those_of_their_table(sent):
    more = sent["verbose"] - sent["whole"]
    assert more <= table("Verbose")
    # those that are there only where there is something to say
    assert table("Verbose") - more <= {"x-greenlane-ignored", "x-greenlane-rejected", "x-carbon-avoided-marginal-g"}


def test_every_wish_is_told_as_header_and_as_member():
    wishes = {*_READERS, "policy", "prefer", "substitute", "task", "verbose"}
    told = [(quoted(row[0])[0], quoted(row[1])[0]) for row in rows(REQUEST, "header")]
    assert {member for _, member in told} == wishes
    assert {name for name, _ in told} == {f"x-greenlane-{wish.replace('_', '-')}" for wish in wishes}


def test_what_is_passed_on_is_told():
    said = set(quoted(PAGE.split("## Passed on")[1].split("Where a deployment of Anthropic's")[0]))
    assert said == {name.decode() for name in PASSED_ON} | {f"{prefix.decode()}*" for prefix in PASSED_ON_PREFIXES}


def test_the_members_of_the_account_are_told(embedded_fleet):
    with httpx.Client(trust_env=False, timeout=60) as client:
        account = client.post(f"{embedded_fleet.url}/chat/completions", json=CHAT).json()["usage"]["greenlane"]
    assert {name for row in rows(PAGE.split("## In the body")[1], "member") for name in quoted(row[0])} == set(account)
