"""Live figures through the whole proxy: from a provider's socket to headers, usage, entries, gauges and the next request's route."""

from __future__ import annotations

import json
import math
import statistics
import threading
import time

import httpx
import pytest

from tests.harness import ask, chosen, chunk, said, until
from tests.imitations.grids import server as says
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.prometheus import PrometheusApi
from tests.imitations.grids.uk_neso import NesoApi
from tests.imitations.grids.watttime import WattTimeApi
from tests.proxy.live import CHAT, DEPLOYMENTS, ENVIRON, ONE, VERBOSE, again, gauge, grams, reads, states, told

# 1. where a figure arrives


def test_a_live_figure_is_in_headers_usage_entry_gauges_and_models(live):
    served = live()
    told(served, swedish=30, german=350)
    answer = ask(served, CHAT, **VERBOSE)
    headers = answer.headers
    assert chosen(answer) == ("swedish", "lowest-carbon")
    assert (headers["x-carbon-intensity-g-per-kwh"], headers["x-carbon-zone"], headers["x-carbon-basis"]) == ("30", "SWE", "lifecycle")
    assert headers["x-carbon-source"] == "Electricity Maps v4, SE"
    assert 0 <= int(headers["x-carbon-age-s"]) < 3700
    ours = answer.json()["usage"]["greenlane"]
    assert (ours["zone"], ours["intensity_g_per_kwh"]) == ("SWE", 30)
    assert ours["carbon_g"] == pytest.approx(ours["energy_wh"] * 30 / 1000, rel=1e-3)
    kept = served.entry(headers["x-greenlane-id"])["account"]["intensity"]
    assert kept == {
        "zone": "SWE",
        "g_per_kwh": 30,
        "low_g_per_kwh": 27,
        "high_g_per_kwh": 33,
        "basis": "lifecycle",
        "source": "Electricity Maps v4, SE",
        "licence": "proprietary (electricitymaps.com terms of service; not for redistribution)",
        "as_of": headers["x-carbon-as-of"],
        "assumed": False,
        "signal": "average",
        "estimated": False,
        "forecast": False,
    }
    assert gauge(served, "greenlane_grid_intensity_g_per_kwh") == {
        'source="Electricity Maps v4, SE",zone="SWE"': 30,
        'source="Electricity Maps v4, DE",zone="DEU"': 350,
    }
    assert gauge(served, "greenlane_grid_marginal_g_per_kwh") == {}
    assert all(0 <= age < 3700 for age in gauge(served, "greenlane_grid_intensity_age_seconds").values())
    [model] = httpx.get(f"{served.url}/models", timeout=10).json()["data"]
    assert {each["name"]: each["intensity_g_per_kwh"] for each in model["greenlane"]["deployments"]} == {"swedish": 30, "german": 350}


CHAIN = """
carbon:
  sources:
    - uk_neso: {{base_url: "{neso}"}}
    - watttime:
        base_url: "{watt}"
        username: "env:LIVE_WT_USER"
        password: "env:LIVE_WT_WORD"
        regions: {{"aws:us-west-1": CAISO_NORTH}}
    - electricity_maps: {{base_url: "{maps}", token: "env:LIVE_EM_KEY"}}
    - prometheus: {{base_url: "{prom}", query: own_grid, zone_label: grid, basis: lifecycle, source: our own meter, licence: ours}}
    - static
deployments:
  london: {{model: london, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: "aws:eu-west-2"}}
  britain: {{model: britain, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: GB}}
  california: {{model: california, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: "aws:us-west-1"}}
  german: {{model: german, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: DE}}
  own: {{model: own, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: NO}}
  polish: {{model: polish, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: PL}}
"""


def test_of_a_chain_each_zone_is_told_by_the_first_that_knows_it(proxy, upstream, standing):
    places = {"neso": NesoApi, "watt": WattTimeApi, "maps": ElectricityMapsApi, "prom": PrometheusApi}
    made = {name: standing(api) for name, api in places.items()}
    made["prom"].provider.vectors["own_grid"] = [({"grid": "NO"}, "18.5")]
    served = proxy(CHAIN.format(url=upstream().url, **{name: each.url for name, each in made.items()}), environ=ENVIRON)
    until(lambda: set(states(served).values()) == {"fresh"})
    told(served, own=18.5, german=350)
    found = {}
    for name in ("london", "britain", "california", "german", "own", "polish"):
        answer = ask(served, {**CHAT, "model": name}, **VERBOSE)
        entry = served.entry(answer.headers["x-greenlane-id"])
        average, marginal = entry["account"]["intensity"], entry["marginal"]
        assert float(answer.headers["x-carbon-intensity-g-per-kwh"]) == pytest.approx(average["g_per_kwh"], rel=0.05)
        found[name] = (
            average["source"].partition(",")[0],
            average["basis"],
            average["estimated"],
            average["forecast"],
            marginal and marginal["signal"],
        )
    assert found == {
        "london": ("NESO Carbon Intensity API", "lifecycle-estimated", True, True, None),
        "britain": ("NESO Carbon Intensity API", "lifecycle-estimated", True, False, None),
        # WattTime's average is of three hours ago, and yields to the next one's of this hour
        "california": ("Electricity Maps v4", "lifecycle", False, False, "marginal"),
        "german": ("Electricity Maps v4", "lifecycle", False, False, None),
        "own": ("our own meter", "lifecycle", False, False, None),
        "polish": found["polish"],
    }
    assert "Ember" in found["polish"][0]
    marginals = gauge(served, "greenlane_grid_marginal_g_per_kwh")
    assert list(marginals.values()) == [pytest.approx(453.5924)]
    assert 'source="WattTime v3 co2_moer, CAISO_NORTH"' in next(iter(marginals))
    kept = [(each["feed"], each["signal"], each["basis"]) for each in reads(served, zone="aws:us-west-1")["told"]]
    assert kept[:3] == [("watttime", "marginal", "direct"), ("watttime", "average", "direct"), ("electricity_maps", "average", "lifecycle")]
    row = next(each for each in reads(served)["data"] if "california" in each["deployments"])
    assert (row["marginal"]["basis"], "proprietary" in row["marginal"]["licence"]) == ("direct", True)


def test_when_the_grids_change_the_next_request_goes_elsewhere(live):
    served = live()
    told(served, swedish=30)
    assert chosen(ask(served, CHAT)) == ("swedish", "lowest-carbon")
    connections = served.call(lambda runtime: {name: peer.upstream for name, peer in runtime.plane.peers.items()})
    breakers = served.call(lambda runtime: {name: peer.breaker for name, peer in runtime.plane.peers.items()})
    served.maps.provider.grams |= {"SE": 400, "DE": 20}
    again(served)
    told(served, swedish=400, german=20)
    answer = ask(served, CHAT)
    assert chosen(answer) == ("german", "lowest-carbon")
    assert answer.headers["x-carbon-intensity-g-per-kwh"] == "20"
    assert connections == served.call(lambda runtime: {name: peer.upstream for name, peer in runtime.plane.peers.items()})
    assert breakers == served.call(lambda runtime: {name: peer.breaker for name, peer in runtime.plane.peers.items()})


@pytest.mark.parametrize("stream", [False, True])
def test_one_answer_tells_one_figure_whatever_the_grid_does_meanwhile(live, stream):
    """The source tells another one after the request was sent on, and before its answer comes."""
    served = live()
    told(served, swedish=30)
    asked, let = threading.Event(), threading.Event()

    def slowly(received, handler):
        asked.set()
        if stream:

            def pieces():
                yield chunk({"role": "assistant", "content": "Hel"})
                let.wait(60)
                yield from said(["lo"])[1:]

            handler.events(pieces())
            return
        let.wait(60)
        message = {"role": "assistant", "content": "Hello"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        handler.reply(200, {"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": usage})

    served.host.answer = slowly
    answers = []

    def request():
        body = {**CHAT, "stream": stream, **({"stream_options": {"include_usage": True}} if stream else {})}
        answers.append(ask(served, body, **VERBOSE))

    waiting = threading.Thread(target=request)
    waiting.start()
    assert asked.wait(60)
    served.maps.provider.grams |= {"SE": 31, "DE": 20}
    again(served)
    told(served, swedish=31)
    let.set()
    waiting.join(60)
    (answer,) = answers
    text = answer.text
    if stream:
        last = next(line for line in reversed(text.splitlines()) if line.startswith("data: {") and '"greenlane"' in line)
        ours = json.loads(last.removeprefix("data: "))["usage"]["greenlane"]
        assert text.rstrip().endswith("data: [DONE]")
    else:
        ours = answer.json()["usage"]["greenlane"]
    entry = served.entry(answer.headers["x-greenlane-id"])
    kept = entry["account"]["intensity"]["g_per_kwh"]
    assert (answer.headers["x-carbon-intensity-g-per-kwh"], ours["intensity_g_per_kwh"], kept) == ("30", 30, 30)
    assert entry["account"]["carbon_g"] == pytest.approx(entry["account"]["energy_j"] / 3.6e6 * 30)


def test_requests_and_streams_go_on_while_figures_change_many_times(live):
    """Each answer is whole, and its header, usage and grams are of one figure."""
    served = live()
    told(served, swedish=30)
    stop, seen, wrong = threading.Event(), set(), []

    def request():
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                answer = client.post(f"{served.url}/chat/completions", json=CHAT)
                ours = answer.json()["usage"]["greenlane"]
                shown = float(answer.headers["x-carbon-intensity-g-per-kwh"])
                same = math.isclose(ours["carbon_g"], ours["energy_wh"] * ours["intensity_g_per_kwh"] / 1000, rel_tol=1e-3)
                if shown != ours["intensity_g_per_kwh"] or not same:
                    wrong.append((shown, ours))
                seen.add(shown)

    threads = [threading.Thread(target=request) for _ in range(2)]
    for each in threads:
        each.start()
    for value in range(40, 52):
        served.maps.provider.grams["SE"] = value
        again(served)
        told(served, swedish=value)
        until(lambda value=value: value in seen)
    stop.set()
    for each in threads:
        each.join(60)
    assert wrong == []
    assert len(seen) >= 12


# 2. never on the path of a request

TROUBLE = {
    "silence": [says.STALL],
    "garbage": [says.Answer(200, b"\xff\xfe not JSON")],
    "a page": [says.page(502)],
    "500": [says.said({"error": "no"}, 500)],
    "401": [says.said({"message": "Invalid auth-token"}, 401)],
    "429": [says.said({"message": "slow down"}, 429, ("retry-after", "1800"))],
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_whatever_a_source_does_no_request_waits_for_it(live, trouble, caplog):
    caplog.set_level("INFO", "greenlane")
    served = live()
    told(served, swedish=30)
    served.maps.instead += TROUBLE[trouble] * 4
    before = len(served.maps.requests)
    again(served)
    until(lambda: len(served.maps.requests) > before)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        answer = ask(served, CHAT)
        took.append(time.perf_counter() - began)
        assert answer.headers["x-carbon-intensity-g-per-kwh"] == "30", "the last figure stands until it is too old"
    assert statistics.median(took) < 3
    assert "em-key" not in caplog.text
    assert "em-key" not in json.dumps(reads(served))
    if trouble != "silence":
        until(lambda: states(served)["electricity_maps"] not in {"fresh", "waiting"})
        served.maps.instead.clear()
        if trouble == "429":
            asked = len(served.maps.requests)
            served.call(lambda runtime: runtime.grids._woken.set())
            assert len(served.maps.requests) == asked
        again(served)
        until(lambda: states(served)["electricity_maps"] == "fresh")
        assert "intensity source electricity_maps answers again" in caplog.text


def test_a_source_that_never_told_anything_leaves_the_next_of_the_chain(proxy, upstream, standing):
    maps = standing(ElectricityMapsApi)
    maps.instead += [says.STALL] * 4
    served = proxy((ONE + DEPLOYMENTS).format(url=upstream().url, maps=maps.url, more=""), environ=ENVIRON)
    answer = ask(served, CHAT, **VERBOSE)
    assert answer.headers["x-carbon-intensity-g-per-kwh"] == "36"
    assert "Ember" in answer.headers["x-carbon-source"]
    assert states(served) == {"electricity_maps": "waiting", "static": "fresh"}


def test_a_stale_figure_shows_its_age_and_a_wider_band_and_then_yields(live):
    served = live(more=", every_s: 60", after="")
    told(served, swedish=30)
    served.maps.close()

    def age(seconds_s):
        """As if that much time had gone by."""
        served.call(lambda runtime: setattr(runtime.grids, "_now_s", lambda: time.time() + seconds_s))
        served.call(lambda runtime: runtime.grids._woken.set())

    age(3 * 3600)
    until(lambda: served.call(lambda runtime: runtime.snapshot().served["swedish"].intensity.high) > 33.5)
    answer = ask(served, CHAT, **VERBOSE)
    assert answer.headers["x-carbon-intensity-g-per-kwh"] == "30"
    age(7 * 3600)
    told(served, swedish=35.9)


def test_a_figure_that_lies_ahead_is_refused_and_told(live, caplog):
    served = live()
    told(served, swedish=30)
    served.maps.lead_s = 2 * 3600
    served.maps.provider.grams["SE"] = 99
    again(served)
    until(lambda: states(served)["electricity_maps"] == "garbled")
    assert "one of the two clocks is wrong" in caplog.text
    assert grams(served)["swedish"] == 30
