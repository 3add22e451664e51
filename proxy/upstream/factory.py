"""Which client carries a deployment's requests."""

from __future__ import annotations

from proxy.config import Deployment, Limits
from proxy.upstream._base import Upstream
from proxy.upstream.endpoint import parse_endpoint
from proxy.upstream.forward import parse_forward_proxy
from proxy.upstream.http1 import Http1Upstream
from proxy.upstream.http2 import Http2Upstream

SIMULATION = "sim://"


def upstream_for(deployment: Deployment, limits: Limits) -> Upstream:
    """To be called on the running loop. Raises ValueError, saying what was expected, for settings that cannot work."""
    if deployment.base_url.startswith(SIMULATION):
        from proxy.upstream.simulation import Simulation

        return Simulation(deployment.base_url)
    endpoint = parse_endpoint(deployment.base_url)
    forward_proxy = None if deployment.forward_proxy is None else parse_forward_proxy(deployment.forward_proxy)
    if deployment.http2:
        return Http2Upstream(endpoint, deployment.timeouts, tls=deployment.tls, forward_proxy=forward_proxy)
    return Http1Upstream(
        endpoint,
        deployment.timeouts,
        limits.idle_connections,
        tls=deployment.tls,
        forward_proxy=forward_proxy,
    )
