"""What is wrong with what a request wants is told under the name that the client wrote, in a header or in the body."""

from __future__ import annotations

import pytest

from tests.harness import ask, serving

FLEET = 'deployments: {{north: {{model: small, base_url: "{url}", zone: SE, privacy: local}}}}'


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("wishes")) as made:
        yield made


def in_body(**ours):
    return {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "greenlane": ours}


WRONG = {
    "max_g": ("many", "must be a number"),
    "max_g_per_kwh": ("-1", "must be a number"),
    "privacy": ("locl", "local, private or vendor"),
    "regions": ("Atlantis", "not known"),
    "policy": ("nowhere", "no policy"),
    "substitute": ("any", "may only be `never`"),
    "verbose": ("maybe", "true or false"),
    "nonsense": ("1", "max"),
}


@pytest.mark.parametrize("wish", WRONG)
def test_what_is_wrong_with_a_wish_is_named_as_it_was_written(served, wish):
    value, told = WRONG[wish]
    header = f"x-greenlane-{wish.replace('_', '-')}"
    by_header = ask(served, None, **{header: value}).json()["error"]
    by_body = ask(served, in_body(**{wish: value})).json()["error"]
    assert by_header["param"] == header
    assert by_body["param"] == ("greenlane" if wish == "nonsense" else f"greenlane.{wish}")
    for error in (by_header, by_body):
        assert told in error["message"]
        assert "None" not in error["message"]
    assert header in by_header["message"] or wish == "nonsense"


def test_of_a_preference_its_own_members_are_named(served):
    unknown = ask(served, x_greenlane_prefer="policy=green").json()["error"]
    assert unknown["param"] == "x-greenlane-prefer"
    assert "max-g-per-kwh" in unknown["message"]
    assert "substitute" not in unknown["message"]
    wrong = ask(served, in_body(prefer={"max_g": "x"})).json()["error"]
    assert wrong["param"] == "greenlane.prefer.max_g"
