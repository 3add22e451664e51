"""Which upstream a deployment's settings make."""

from __future__ import annotations

import asyncio

import pytest

from proxy.config import Deployment, Limits, Timeouts
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.factory import upstream_for
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.http2 import Http2Upstream
from proxy.upstream.simulation import Simulation


def made(**settings):
    async def main():
        return upstream_for(Deployment(model="m", **settings), Limits(idle_connections=7))

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"base_url": "http://a.example/v1"}, Http1Upstream),
        ({"base_url": "https://a.example", "forward_proxy": "http://b.example:3128"}, Http1Upstream),
        ({"base_url": "http://a.example", "forward_proxy": "socks5://b.example"}, Http1Upstream),
        ({"base_url": "https://a.example", "http2": True}, Http2Upstream),
        ({"base_url": "https://a.example", "http2": True, "forward_proxy": "http://b.example"}, Http2Upstream),
        ({"base_url": "sim://small"}, Simulation),
    ],
)
def test_a_deployment_is_carried_by(settings, kind):
    assert type(made(**settings)) is kind


def test_the_settings_reach_the_client():
    upstream = made(base_url="http://a.example:8000/v1", timeouts=Timeouts(connect_s=1))
    assert (upstream.timeouts.connect_s, upstream.pool.limit) == (1, 7)
    upstream = made(base_url="http://a.example:8000/v1", http2=True, timeouts=Timeouts(connect_s=1))
    assert (upstream.timeouts.connect_s, upstream.endpoint) == (1, Endpoint("http", "a.example", 8000, "/v1"))


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "ftp://a.example"},
        {"base_url": "http://a.example", "forward_proxy": "ftp://b.example"},
        {"base_url": "http://a.example", "forward_proxy": "http://b.example", "http2": True},
    ],
)
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(ValueError, match=r"expected|cannot"):
        made(**settings)
