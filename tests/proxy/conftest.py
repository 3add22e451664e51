"""Fixtures of live intensities: imitated providers, and a proxy that asks one."""

from __future__ import annotations

import time

import pytest

from tests.imitations.grids.electricity_maps import ElectricityMapsApi
from tests.imitations.grids.standing import Standing
from tests.proxy.live import DEPLOYMENTS, ENVIRON, ONE


@pytest.fixture
def standing():
    """Imitated providers."""
    made = []

    def make(api):
        made.append(Standing(api(time.time())))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def live(proxy, upstream, standing):
    """A proxy before one upstream with Electricity Maps and the shipped table; `maps` is the imitation."""

    def make(more="", after="", **settings):
        host, maps = upstream(), standing(ElectricityMapsApi)
        text = (ONE + DEPLOYMENTS).format(url=host.url, maps=maps.url, more=more) + after
        served = proxy(text, environ=ENVIRON, **settings)
        served.host, served.maps, served.text = host, maps, text
        return served

    return make
