"""Which engine answers is decided by carbon, by privacy and by cost, and told in the headers and in the ledger."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from tests.engines.fleet import Engines, Proxy

ASK = [{"role": "user", "content": "Say hello"}]


def _asked(client: openai.OpenAI, model: str, **greenlane: object) -> httpx.Headers:
    body = {"greenlane": greenlane} if greenlane else None
    raw = client.chat.completions.with_raw_response.create(model=model, messages=ASK, max_tokens=4, temperature=0, extra_body=body)
    assert raw.parse().choices[0].message.content
    return raw.headers


def _requests(engines: Engines) -> float:
    return engines.vllm.metric("vllm:request_success_total")


def test_the_cleanest_zone_is_chosen(client: openai.OpenAI, wire: httpx.Client) -> None:
    headers = _asked(client, "anywhere")

    assert (headers["x-greenlane-deployment"], headers["x-carbon-zone"]) == ("anywhere-north", "SWE")
    assert (headers["x-greenlane-policy"], headers["x-greenlane-reason"]) == ("green", "lowest-carbon")
    assert float(headers["x-carbon-intensity-g-per-kwh"]) == pytest.approx(36, abs=1)
    entry = wire.get(f"/greenlane/requests/{headers['x-greenlane-id']}").json()
    assert entry["order"] == ["anywhere-north", "anywhere-east", "anywhere-south"]


def test_auto_chooses_among_its_members(client: openai.OpenAI) -> None:
    headers = _asked(client, "auto")

    assert (headers["x-greenlane-model"], headers["x-greenlane-reason"]) == ("vllm", "lowest-carbon")


def test_the_choice_flips_when_the_file_says_that_the_zones_have(client: openai.OpenAI, proxy: Proxy) -> None:
    chosen = lambda: _asked(client, "anywhere")["x-greenlane-deployment"]
    assert chosen() == "anywhere-north"
    try:
        proxy.write(north="PL", east="SE")
        end = time.monotonic() + 10
        while (now := chosen()) == "anywhere-north" and time.monotonic() < end:
            time.sleep(0.1)
        assert now == "anywhere-east"
    finally:
        proxy.write()
    end = time.monotonic() + 10
    while (now := chosen()) != "anywhere-north" and time.monotonic() < end:
        time.sleep(0.1)
    assert now == "anywhere-north"


def test_a_stream_follows_the_policy_too(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="anywhere", messages=ASK, max_tokens=4, stream=True, extra_body={"greenlane": {"privacy": "private"}}
    ) as raw:
        assert list(raw.parse())

    assert raw.headers["x-greenlane-deployment"] == "anywhere-east"


@pytest.mark.parametrize(
    ("greenlane", "deployment"),
    [({"privacy": "private"}, "anywhere-east"), ({"privacy": "local"}, "anywhere-south"), ({"policy": "private"}, "anywhere-south")],
    ids=["private", "local", "by policy"],
)
def test_privacy_goes_before_carbon(client: openai.OpenAI, engines: Engines, greenlane: dict, deployment: str) -> None:
    before = _requests(engines)

    headers = _asked(client, "anywhere", **greenlane)

    assert headers["x-greenlane-deployment"] == deployment
    assert _requests(engines) == before


def test_the_model_name_can_name_the_policy(client: openai.OpenAI) -> None:
    assert _asked(client, "anywhere/private")["x-greenlane-deployment"] == "anywhere-south"


def test_regions_are_required(client: openai.OpenAI) -> None:
    assert _asked(client, "anywhere/european")["x-greenlane-deployment"] in ("anywhere-north", "anywhere-east")
    with pytest.raises(openai.UnprocessableEntityError):
        _asked(client, "mlx", regions=["EU"])


def test_a_vendor_never_stands_in_for_a_local_machine_that_is_down(client: openai.OpenAI, engines: Engines, proxy: Proxy) -> None:
    before = _requests(engines)
    statuses = []
    for _ in range(5):
        with pytest.raises(openai.InternalServerError) as raised:
            _asked(client, "confidential", privacy="local")
        statuses.append(raised.value.status_code)
        assert "confidential-vendor" not in raised.value.response.text

    # three failures in a row, then it is left alone
    assert statuses == [502, 502, 502, 503, 503]
    assert raised.value.code == "unavailable"
    assert int(raised.value.response.headers["retry-after"]) > 0
    assert _requests(engines) == before
    assert proxy.metric("greenlane_deployment_up", deployment="confidential-home") == 0
    # the same model without the requirement may go there
    assert _asked(client, "confidential")["x-greenlane-deployment"] == "confidential-vendor"
    assert _requests(engines) == before + 1


def test_nothing_is_sent_where_no_deployment_is_private_enough(client: openai.OpenAI, engines: Engines) -> None:
    before = _requests(engines)

    with pytest.raises(openai.UnprocessableEntityError) as raised:
        _asked(client, "native", privacy="local")

    assert raised.value.code == "no_eligible_deployment"
    assert raised.value.response.headers["x-carbon-g"] == "0"
    assert _requests(engines) == before


def test_a_cost_cap_excludes_the_dear_one_though_it_is_cleaner(client: openai.OpenAI, wire: httpx.Client) -> None:
    free, capped = _asked(client, "priced"), _asked(client, "priced", max_usd=0.0005)
    by_policy = _asked(client, "priced/thrifty", max_usd=0.0005)

    assert (free["x-greenlane-deployment"], capped["x-greenlane-deployment"]) == ("priced-dear", "priced-cheap")
    assert by_policy["x-greenlane-deployment"] == "priced-cheap"
    assert float(free["x-greenlane-cost-usd"]) > 50 * float(capped["x-greenlane-cost-usd"]) > 0
    entry = wire.get(f"/greenlane/requests/{capped['x-greenlane-id']}").json()
    assert [each["deployment"] for each in entry["rejected"]] == ["priced-dear"]
    with pytest.raises(openai.UnprocessableEntityError):
        _asked(client, "priced", max_usd=0.000001)
