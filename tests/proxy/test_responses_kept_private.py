"""What was required of a conversation's first words holds for them in every later request: they go nowhere they might not go then."""

from __future__ import annotations

import json

import httpx
import pytest

from proxy.configuration import key_hash
from tests.harness import completion

FLEET = """
deployments:
  near: {{model: small, base_url: "{near}", privacy: {privacy}, zone: {zone}, usd_per_mtok: {{input: 9, output: 9}}}}
  far: {{model: small, base_url: "{far}", privacy: vendor, zone: US, usd_per_mtok: {{input: 0, output: 0}}}}
policies:
  cheap: {{objective: cheapest}}
  guarded: {{extends: cheap, require: {{privacy: local}}}}
policy: cheap
teams: {{one: {{}}}}
keys:
  careful: {{team: one, key: "sha256:{careful}", require: {{regions: [EU]}}}}
  plain: {{team: one, key: "sha256:{plain}"}}
"""
SECRET = "the merger is called Hollyhock"


class Bank:
    def __init__(self, proxy, upstream):
        self.hosts = {name: upstream(self.answer) for name in ("near", "far")}
        self.made = 0
        self.served = proxy(self.text())

    def answer(self, received, handler):
        self.made += 1
        real = handler.reply
        handler.reply = lambda status, body: real(status, {**body, "id": f"chatcmpl-{self.made}"})
        completion(received, handler)

    def text(self, privacy="local", zone="SE", **urls):
        keys = {"careful": key_hash("sk-careful"), "plain": key_hash("sk-plain")}
        return FLEET.format(privacy=privacy, zone=zone, **{name: host.url for name, host in self.hosts.items()} | urls, **keys)

    def ask(self, key="sk-plain", **members):
        return httpx.post(
            f"{self.served.url}/responses",
            json={"model": "small", **members},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )

    def heard(self, name):
        return b"".join(request.body for request in self.hosts[name].requests)


@pytest.fixture
def bank(proxy, upstream):
    return Bank(proxy, upstream)


BEGUN = {
    "by its body": {"greenlane": {"privacy": "local"}},
    "by its policy": {"model": "small/guarded"},
    "by its key": {"key": "sk-careful"},
}


@pytest.mark.parametrize("how", BEGUN)
def test_an_item_of_a_private_answer_goes_where_that_might_go(bank, how):
    first = bank.ask(input=SECRET, **BEGUN[how])
    assert first.headers["x-greenlane-deployment"] == "near"
    item = first.json()["output"][0]
    told = [{"role": "user", "content": "Say it again"}, {"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "!"}]
    later = bank.ask(input=told)
    assert (later.status_code, later.headers["x-greenlane-deployment"]) == (200, "near")
    text = item["content"][0]["text"].encode()
    assert text in bank.heard("near")
    assert text not in bank.heard("far")
    # what nobody is careful about goes where it is cheap
    assert bank.ask(input="Hi").headers["x-greenlane-deployment"] == "far"


@pytest.mark.parametrize("how", BEGUN)
@pytest.mark.parametrize("loosened", [{"privacy": "vendor", "zone": "US"}, {"near": "far", "privacy": "vendor", "zone": "US"}])
def test_a_reload_opens_no_place_to_what_was_said_before(bank, how, loosened):
    """The deployment that answered is a vendor's, or elsewhere, from now on; or its name means another host."""
    first = bank.ask(input=SECRET, **BEGUN[how])
    moved = {name: bank.hosts["far"].url if value == "far" else value for name, value in loosened.items()}
    bank.served.write(bank.text(**moved))
    assert bank.served.reload()
    before = len(bank.hosts["near"].requests)
    later = bank.ask(input="More", previous_response_id=first.json()["id"])
    assert (later.status_code, later.json()["error"]["code"]) == (422, "no_eligible_deployment")
    assert len(bank.hosts["near"].requests) == before
    assert SECRET.encode() not in bank.heard("far")


def test_a_turn_in_between_that_required_nothing_changes_nothing(bank):
    first = bank.ask(input=SECRET, greenlane={"privacy": "local"}).json()
    second = bank.ask(input="More", previous_response_id=first["id"])
    assert second.headers["x-greenlane-deployment"] == "near"
    item = second.json()["output"][0]["id"]
    third = bank.ask(input=[{"type": "item_reference", "id": item}])
    assert third.headers["x-greenlane-deployment"] == "near"
    bank.served.write(bank.text(privacy="vendor"))
    assert bank.served.reload()
    assert bank.ask(input="More", previous_response_id=second.json()["id"]).status_code == 422
    assert bank.ask(input=[{"type": "item_reference", "id": item}]).status_code == 422
    assert bank.heard("far") == b""


def test_a_later_request_may_require_more(bank):
    first = bank.ask(input=SECRET, greenlane={"privacy": "local"}).json()
    refused = bank.ask(input="More", previous_response_id=first["id"], greenlane={"regions": ["DE"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no_eligible_deployment")
    assert len(bank.hosts["near"].requests) == 1


def test_a_conversation_that_required_nothing_goes_on_as_it_began(bank):
    first = bank.ask(input="Hi")
    assert first.headers["x-greenlane-deployment"] == "far"
    more = bank.ask(input="More", previous_response_id=first.json()["id"])
    assert (more.status_code, more.headers["x-greenlane-deployment"]) == (200, "far")
    assert json.loads(bank.hosts["far"].requests[-1].body)["messages"][0]["content"] == "Hi"


def test_a_cap_is_one_request_s_own(bank):
    """Only where words may go is never relaxed: a price is of the request that names it."""
    first = bank.ask(input=SECRET, greenlane={"max_usd": 0})
    assert first.headers["x-greenlane-deployment"] == "far"
    reference = [{"type": "item_reference", "id": first.json()["output"][0]["id"]}]
    assert bank.ask(input=reference, greenlane={"privacy": "local"}).headers["x-greenlane-deployment"] == "near"
