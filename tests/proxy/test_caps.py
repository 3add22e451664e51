"""A cap on cost holds for all that an upstream may write, whichever members of a request say how much that is."""

from __future__ import annotations

import pytest

from tests.harness import ask, serving

PRICE = "usd_per_mtok: {input: 0, output: 1000}"
FLEET = """
deployments:
  plain: {{model: plain, base_url: "{url}", PRICE}}
  old: {{model: old, base_url: "{url}", PRICE, quirks: {{max_completion_tokens: false}}}}
  read: {{model: read, base_url: "{url}", usd_per_mtok: {{input: 1000, output: 0}}}}
  claude: {{model: claude, dialect: anthropic, upstream_model: claude-sonnet-4-5, base_url: "{url}", PRICE}}
"""
CHAT = {"model": "plain", "messages": [{"role": "user", "content": "Hi"}]}
TEXT = {"model": "plain", "prompt": "Hi"}
FIVE = "0.0051"
"""US dollars: five tokens and no more."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url).replace("PRICE", PRICE), tmp_path_factory.mktemp("caps")) as made:
        yield made


PAST = {
    "two caps, the new one small": ("/chat/completions", {**CHAT, "max_completion_tokens": 5, "max_tokens": 100_000}),
    "two caps, the old one small": ("/chat/completions", {**CHAT, "max_completion_tokens": 100_000, "max_tokens": 5}),
    "a cap of another API": ("/chat/completions", {**CHAT, "max_output_tokens": 5}),
    "a cap of another API beside one": ("/chat/completions", {**CHAT, "max_output_tokens": 5, "max_tokens": 100_000}),
    "a cap of none": ("/chat/completions", {**CHAT, "max_tokens": 0}),
    "a completion with a chat's cap": ("/completions", {**TEXT, "max_completion_tokens": 5}),
    "a completion with a chat's cap beside its own": ("/completions", {**TEXT, "max_completion_tokens": 5, "max_tokens": 100_000}),
    "two prompts": ("/completions", {**TEXT, "prompt": ["Hi", "Ho"], "max_tokens": 5}),
    "two prompts as tokens": ("/completions", {**TEXT, "prompt": [[1, 2], [3]], "max_tokens": 5}),
    "the best of two": ("/completions", {**TEXT, "best_of": 2, "max_tokens": 5}),
    "a message with a chat's cap": (
        "/messages",
        {**CHAT, "model": "claude", "max_completion_tokens": 5, "max_tokens": 100_000},
    ),
}


@pytest.mark.parametrize("case", PAST)
def test_a_cap_on_cost_is_not_passed_by(served, case):
    served.host.requests.clear()
    path, body = PAST[case]
    assert ask(served, body, path, x_greenlane_max_usd=FIVE).status_code == 422
    assert served.host.requests == []


WITHIN = {
    "one cap": ("/chat/completions", {**CHAT, "max_tokens": 5}),
    "one and one that says nothing": ("/chat/completions", {**CHAT, "max_completion_tokens": None, "max_tokens": 5}),
    "a prompt as tokens": ("/completions", {**TEXT, "prompt": [1, 2, 3], "max_tokens": 5}),
    "one prompt of a list": ("/completions", {**TEXT, "prompt": ["Hi"], "max_tokens": 5}),
    "a prompt that is only scored": ("/completions", {**TEXT, "prompt": ["Hi", "Ho"], "max_tokens": 0}),
}


@pytest.mark.parametrize("case", WITHIN)
def test_what_fits_into_it_goes_there(served, case):
    path, body = WITHIN[case]
    served.host.requests.clear()
    ask(served, body, path, x_greenlane_max_usd=FIVE)
    assert len(served.host.requests) == 1


def test_requests_with_the_same_members_are_not_taken_for_alike_where_one_has_more_prompts(served):
    for _ in range(3):
        served.host.requests.clear()
        ask(served, {**TEXT, "max_tokens": 5}, "/completions", x_greenlane_max_usd=FIVE)
        assert len(served.host.requests) == 1
        answer = ask(served, {**TEXT, "max_tokens": 5, "prompt": ["H", "i"]}, "/completions", x_greenlane_max_usd=FIVE)
        assert answer.status_code == 422


def test_a_cap_that_says_nothing_does_not_undo_the_other_at_a_host_that_has_one_name_for_it(served):
    served.host.requests.clear()
    body = {**CHAT, "model": "old", "max_completion_tokens": None, "max_tokens": 5}
    ask(served, body, x_greenlane_max_usd=FIVE)
    assert served.host.requests[0].json["max_tokens"] == 5
    assert "max_completion_tokens" not in served.host.requests[0].json


def test_the_best_of_very_many_is_as_bad_as_many_choices(served):
    answer = ask(served, {**TEXT, "best_of": 129}, "/completions")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "best_of")


PNG = "data:image/png;base64," + "A" * 40_000


@pytest.mark.parametrize("url", [{"image_url": {"url": PNG}}, {"image_url": PNG}], ids=["in an object", "alone"])
def test_words_that_look_like_a_file_are_counted_as_words(served, url):
    """An image is taken for 800 tokens, which are 80 cents here; ten thousand of text are ten dollars."""
    served.host.requests.clear()
    for text in (PNG, f'{{"data": "{"A" * 40_000}"}}'):
        body = {"model": "read", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
        assert ask(served, body, x_greenlane_max_usd="5").status_code == 422
    assert served.host.requests == []
    image = {"model": "read", "messages": [{"role": "user", "content": [{"type": "image_url", **url}]}]}
    ask(served, image, x_greenlane_max_usd="5")
    assert len(served.host.requests) == 1
