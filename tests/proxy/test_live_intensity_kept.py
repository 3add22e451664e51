"""What sources told stays known: over a restart, with the store down, and over reloads that change the chain."""

from __future__ import annotations

import pytest

from proxy.configuration import ConfigurationError
from tests.harness import Served, ask, until
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.uk_neso import NesoApi
from tests.proxy.live import CHAT, DEPLOYMENTS, ENVIRON, ONE, VERBOSE, again, grams, reads, states, told

TWO = """
carbon:
  sources:
    - uk_neso: {{base_url: "{neso}"}}
    - electricity_maps: {{token: "env:LIVE_EM_KEY", base_url: "{maps}"}}
    - static
deployments:
  swedish: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE}}
  britain: {{model: other, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: GB}}
"""


def kept(served):
    """Zones of the figures in the store."""

    def read(runtime):
        return served.loop.create_task(runtime.intensities.latest(0.0))

    task = served.call(read)
    until(task.done)
    return sorted((feed, sample.zone) for feed, sample in task.result())


@pytest.fixture
def pair(proxy, upstream, standing, tmp_path):
    """A proxy with two sources; `following()` ends it and starts another on its store."""
    neso, maps, host = standing(NesoApi), standing(ElectricityMapsApi), upstream()
    text = TWO.format(neso=neso.url, maps=maps.url, url=host.url)
    served = proxy(text, environ=ENVIRON)
    served.neso, served.maps, served.text = neso, maps, text
    made = []

    def following(text=text):
        served.close()
        other = tmp_path / f"later-{len(made)}"

        class Later(Served):
            def write(self, text):
                self._head = served._head  # it names the ledger of the first
                super().write(text)

        made.append(Later(text, other, ENVIRON))
        return made[-1]

    served.following = following
    yield served
    for each in made:
        each.close()


def test_the_last_known_figures_come_back_with_their_age_when_the_sources_are_down(pair):
    told(pair, swedish=30)
    until(lambda: kept(pair) == [("electricity_maps", "SWE"), ("uk_neso", "GBR")])
    britain = grams(pair)["britain"]
    for each in (pair.neso, pair.maps):
        each.close()
    later = pair.following()
    told(later, swedish=30, britain=britain)
    answer = ask(later, CHAT, **VERBOSE)
    assert answer.headers["x-carbon-source"] == "Electricity Maps v4, SE"
    assert int(answer.headers["x-carbon-age-s"]) < 3700
    until(lambda: set(states(later).values()) == {"connect", "fresh"})
    assert {each["name"]: each["zones"] for each in reads(later)["sources"] if each["name"] != "static"} == {
        "uk_neso": 1,
        "electricity_maps": 1,
    }
    assert grams(later)["swedish"] == 30


def test_what_was_read_is_its_history(pair):
    told(pair, swedish=30)
    pair.maps.provider.grams["SE"] = 33
    again(pair)
    told(pair, swedish=33)
    until(lambda: len(reads(pair, zone="SE", history="2h")["history"]) >= 1)
    rows = reads(pair, zone="SE", history="2h")["history"]
    assert {(row["feed"], row["zone"], row["basis"]) for row in rows} == {("electricity_maps", "SWE", "lifecycle")}


def test_a_store_that_is_down_at_the_start_or_later_matters_to_no_figure(live, caplog):
    served = live()
    told(served, swedish=30)

    async def unavailable(*_):
        from proxy.store.ledger import StoreUnavailableError

        raise StoreUnavailableError("SQLITE_BUSY")

    served.call(lambda runtime: setattr(runtime.intensities, "keep", unavailable))
    for value in (41, 42, 43):
        served.maps.provider.grams["SE"] = value
        again(served)
        told(served, swedish=value)
    assert caplog.text.count("intensities are not stored: SQLITE_BUSY") == 1
    assert ask(served, CHAT).headers["x-carbon-intensity-g-per-kwh"] == "43"


def test_a_store_that_cannot_be_read_matters_to_no_figure(upstream, standing, tmp_path, caplog):
    maps = standing(ElectricityMapsApi)

    class Broken(Served):
        def write(self, text):
            (self.folder / "ledger.db").write_bytes(b"no database at all" * 100)
            super().write(text)

    text = (ONE + DEPLOYMENTS).format(url=upstream().url, maps=maps.url, more="")
    served = Broken(text, tmp_path / "broken", ENVIRON)
    try:
        told(served, swedish=30)
        assert "the intensities of before the start are not known" in caplog.text
    finally:
        served.close()


def chain(served, sources, zones=("SE", "DE")):
    lines = "".join(f"    - {source}\n" for source in sources)
    deployments = "".join(
        f'  {name}: {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{served.host.url}", zone: {zone}}}\n'
        for name, zone in zip(("swedish", "german", "third"), zones, strict=False)
    )
    return f"carbon:\n  sources:\n{lines}deployments:\n{deployments}"


def maps_at(served, **more):
    settings = "".join(f", {name}: {value}" for name, value in more.items())
    return f'electricity_maps: {{token: "env:LIVE_EM_KEY", base_url: "{served.maps.url}"{settings}}}'


def asked(served):
    return [request.one("zone") for request in served.maps.requests]


def test_a_reload_leaves_a_source_that_stays_as_it_is_and_asks_only_about_what_is_new(live, standing):
    served = live()
    told(served, swedish=30, german=350)
    assert sorted(asked(served)) == ["DE", "SE"]
    neso = standing(NesoApi)
    served.maps.provider.grams |= {"SE": 99, "FR": 50}
    served.write(chain(served, [f'uk_neso: {{base_url: "{neso.url}"}}', maps_at(served), "static"], ("SE", "DE", "FR")))
    assert served.reload()
    assert grams(served)["swedish"] == 30, "what it told is kept, and counts at once"
    told(served, third=50)
    assert sorted(asked(served)) == ["DE", "FR", "SE"]
    assert set(states(served)) == {"uk_neso", "electricity_maps", "static"}


def test_a_source_that_changed_is_asked_anew_and_one_that_left_counts_no_more(live):
    served = live()
    told(served, swedish=30)
    served.maps.provider.grams["SE"] = 70
    served.write(chain(served, [maps_at(served, emission_factor_type="direct"), "static"]))
    assert served.reload()
    told(served, swedish=round(32 + 1.09 * 30, 4))
    served.write(chain(served, ["static"]))
    assert served.reload()
    told(served, swedish=35.9)
    assert states(served) == {"static": "fresh"}
    before = len(served.maps.requests)
    served.call(lambda runtime: runtime.grids._woken.set())
    assert len(served.maps.requests) == before


def test_a_source_that_a_reload_brings_begins_with_what_the_store_knows_of_it(live):
    served = live()
    told(served, swedish=30)
    until(lambda: ("electricity_maps", "SWE") in kept(served))
    served.write(chain(served, ["static"]))
    assert served.reload()
    told(served, swedish=35.9)
    with_maps = chain(served, [maps_at(served), "static"])
    served.maps.close()
    served.write(with_maps)
    assert served.reload()
    told(served, swedish=30)
    answer = ask(served, CHAT, **VERBOSE)
    assert answer.headers["x-carbon-source"] == "Electricity Maps v4, SE"


def test_figures_told_under_other_settings_are_not_recalled(live):
    served = live()
    told(served, swedish=30)
    until(lambda: ("electricity_maps", "SWE") in kept(served))
    changed = chain(served, [maps_at(served, emission_factor_type="direct"), "static"])
    served.maps.close()
    served.write(changed)
    assert served.reload()
    until(lambda: states(served)["electricity_maps"] == "connect")
    assert grams(served)["swedish"] == 35.9


WRONG = {
    "a setting nobody knows": ('electricity_maps: {token: "env:LIVE_EM_KEY", region: x}', "carbon.sources[0].electricity_maps"),
    "a token that is missing": ("electricity_maps: {}", "carbon.sources[0].electricity_maps"),
    "a secret that is not there": ('electricity_maps: {token: "env:LIVE_ABSENT"}', "carbon.sources[0].electricity_maps.token"),
    "no source of ours": ("weather", "carbon.sources[0]"),
    "too often": ("uk_neso: {every_s: 1}", "carbon.sources[0].uk_neso.every_s"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_source_leaves_the_old_one_in_force(live, case, caplog):
    served = live()
    told(served, swedish=30)
    line, path = WRONG[case]
    served.write(chain(served, [line, "static"]))
    assert served.reload() is False
    assert path in caplog.text
    assert grams(served)["swedish"] == 30
    assert set(states(served)) == {"electricity_maps", "static"}
    assert sorted(asked(served)) == ["DE", "SE"]


def test_a_secret_that_leaves_between_the_check_and_the_swap_takes_no_figure(live, monkeypatch):
    """The file was good; what is in force stays whole though the new chain was made already."""
    served = live()
    told(served, swedish=30)
    monkeypatch.setattr("proxy.runtime.resolve_all", lambda *_: (_ for _ in ()).throw(ValueError("no")))
    served.write(chain(served, ["static"]))
    assert served.reload() is False
    monkeypatch.undo()
    assert grams(served)["swedish"] == 30
    served.call(lambda runtime: runtime.grids._woken.set())
    assert reads(served, zone="SE")["average"]["g_per_kwh"] == 30


def test_a_start_without_a_sources_secret_is_refused_with_its_place(proxy, upstream):
    text = (ONE + DEPLOYMENTS).format(url=upstream().url, maps="http://127.0.0.1:1", more="").replace("LIVE_EM_KEY", "LIVE_ABSENT")
    with pytest.raises(ConfigurationError, match=r"carbon\.sources\[0\]\.electricity_maps\.token"):
        proxy(text)
