"""What every live source does with a provider that misbehaves, seen through one of them."""

from __future__ import annotations

import gzip
import json

import msgspec
import pytest

from carbon.reach import OutOfReachError
from carbon.sources import _http
from carbon.sources.electricity_maps import ElectricityMaps
from tests.carbon.sources.asking import NOW_S, World
from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.server import STALL, Answer, page, said


@pytest.fixture
def world():
    with World(ElectricityMapsApi(NOW_S), EM="em-key") as world:
        yield world


def failure(world: World, *zones: str) -> OutOfReachError:
    return world.failure(ElectricityMaps(token="env:EM", base_url=world.url), *(zones or ("DEU",)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "status"), (401, "forbidden"), (403, "forbidden"), (418, "status"), (429, "limited"), (500, "status"), (503, "status")],
)
def test_each_status_has_its_kind(world, status, kind):
    world.instead(page(status))
    found = failure(world)
    assert (found.kind, str(found)) == (kind, f"{kind}: Electricity Maps answers {status}")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17),
        ("0", 0),
        ("Sat, 21 Nov 2026 12:11:30 GMT", 90),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("999999999999", 86400),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_the_wait_asked_for_is_seconds_or_a_date(world, value, seconds):
    world.instead(said({}, 429, ("retry-after", value)))
    assert failure(world).retry_after_s == seconds


def test_the_wait_asked_for_in_one_of_several_calls_is_not_lost_with_it(world):
    """One grid is told, the other refused: what was told counts, and the provider is left alone."""
    world.instead(said({}, 429, ("retry-after", "1800")))
    began_s = world.reach.clock_s()
    told = world.latest(ElectricityMaps(token="env:EM", base_url=world.url), "SWE", "DEU")
    assert len(told) == 1
    assert 1800 <= world.reach.not_before_s - began_s < 1830


def test_no_redirect_is_followed(world):
    world.instead(said({}, 302, ("location", f"{world.url}/v4/carbon-intensity/latest?zone=DE")))
    assert failure(world).kind == "status"
    assert len(world.requests) == 1


def test_silence_ends_at_the_deadline(world, monkeypatch):
    monkeypatch.setattr(_http, "DEADLINE_S", 0.05)
    world.instead(STALL)
    found = failure(world)
    assert (found.kind, str(found)) == ("timeout", "timeout: Electricity Maps does not answer in time")


def test_what_befalls_one_call_and_would_befall_all_ends_the_asking(world, monkeypatch):
    monkeypatch.setattr(_http, "DEADLINE_S", 0.05)
    world.instead(*[STALL] * 20)
    failure(world, "DEU", "FRA", "SWE", "NOR", "FIN", "ITA", "ESP", "PRT", "POL", "AUT")
    assert len(world.requests) <= _http.AT_ONCE


def test_an_endless_answer_is_not_read(world):
    world.instead(Answer(200, b" " * (_http.MOST_BYTES + 1)))
    assert failure(world).kind == "too_large"
    world.instead(Answer(200, b" " * (_http.MOST_BYTES - 2) + b"[]"))
    assert failure(world).kind == "garbled"


def test_a_compressed_answer_is_not_inflated(world):
    assert world.requests == []
    world.instead(Answer(200, gzip.compress(json.dumps({"zone": "DE"}).encode()), (("content-encoding", "gzip"),)))
    assert failure(world).kind == "garbled"
    assert world.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"<html>"])
def test_what_is_not_json_is_garbled(world, body):
    world.instead(Answer(200, body))
    assert failure(world).kind == "garbled"


def test_nobody_there_is_out_of_reach(world):
    gone = ElectricityMaps(token="env:EM", base_url="http://127.0.0.1:1")
    found = world.failure(gone, "DEU")
    assert (found.kind, str(found)) == ("connect", "connect: Electricity Maps cannot be reached (ConnectError)")


@pytest.mark.parametrize("url", ["http://[", "http://here:99999", "http://not a host"])
def test_an_address_that_is_none_is_out_of_reach(world, url):
    assert world.failure(ElectricityMaps(token="env:EM", base_url=url), "DEU").kind == "connect"


def test_an_answer_that_breaks_off_is_out_of_reach(world):
    world.instead(Answer(200, b"{}", (("content-length", "100"),)))
    assert failure(world).kind == "connect"


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "schlüssel"])
def test_a_secret_that_fits_no_header_is_an_error_without_it(world, value):
    world.secrets["EM"] = value
    found = failure(world)
    assert str(found) == "secret: env:EM holds nothing that can stand in a header"
    assert world.requests == []


def test_a_secret_that_is_not_there_is_an_error(world):
    world.secrets.clear()
    assert str(failure(world)) == "secret: env:EM cannot be read"


def test_the_settings_show_no_secret():
    settings = ElectricityMaps(token="env:EM")
    assert "em-key" not in repr(settings)
    assert msgspec.to_builtins(settings)["token"] == "env:EM"
