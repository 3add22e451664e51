"""The client for `http2: true`: many exchanges on one connection, by TLS and ALPN, or with prior knowledge on http://.

Written on h2 rather than httpx: httpcore 1.0 ends an abandoned stream without RST_STREAM, so that the upstream would go on
generating, and paid for, after its client has left.
"""

from __future__ import annotations

import asyncio

from proxy.config import Timeouts, Tls
from proxy.upstream._base import Receiver, Request, UpstreamError
from proxy.upstream.dial import Route, dial, tls_context
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.exchange import CONNECTING, Exchange
from proxy.upstream.forward import ForwardProxy
from proxy.upstream.heads import Heads
from proxy.upstream.multiplex import Multiplex
from proxy.upstream.sweep import Sweep, running_sweep


class Http2Upstream:
    """To be made and used on one running event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts | None = None,
        *,
        tls: Tls | None = None,
        forward_proxy: ForwardProxy | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        if forward_proxy is not None and forward_proxy.absolute(endpoint):
            raise ValueError("HTTP/2 without TLS cannot pass an HTTP forward proxy")
        self.timeouts = timeouts or Timeouts()
        self.sweep = sweep or running_sweep()
        self.connections: list[Multiplex] = []
        """Those that take further exchanges, or have some."""
        self.endpoint = endpoint
        self._route = Route(endpoint, tls_context(tls or Tls(), ("h2",)) if endpoint.secure else None, forward_proxy)
        self._heads = Heads(endpoint.authority)
        """Only to check: HTTP/2 writes them in its own way."""
        self._waiting: list[Exchange] = []
        self._dialling: asyncio.Task[None] | None = None
        self._inflight = 0
        self._closed = False

    @property
    def inflight(self) -> int:
        return self._inflight

    def send(self, request: Request, receiver: Receiver) -> Exchange:
        """Raises ValueError for a head that is not safe."""
        exchange = Exchange(self, request, receiver, self._heads.prefix(request))
        self._inflight += 1
        self.sweep.watched.add(exchange)
        if self.sweep.handle is None:
            self.sweep.start()
        if self._closed:
            asyncio.get_running_loop().call_soon(exchange.fail, UpstreamError("closed", "the client has been closed"))
        else:
            connection = self._roomy()
            if connection is None:
                self.connect(exchange)
            else:
                exchange.reused = True
                exchange.begin(connection)
        return exchange

    def close(self) -> None:
        self._closed = True
        for connection in tuple(self.connections):
            connection.retire()

    def connect(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    def disconnect(self, exchange: Exchange) -> None:
        if exchange in self._waiting:
            self._waiting.remove(exchange)
        if not self._waiting and self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None

    def ended(self, exchange: Exchange) -> None:
        self._inflight -= 1
        self.sweep.watched.discard(exchange)

    def connected(self, connection: Multiplex) -> None:
        """A connection is ready: whoever waits begins, as many as fit."""
        self.connections.append(connection)
        self._dialling = None
        while self._waiting and connection.roomy():
            self._waiting.pop(0).begin(connection)
        if self._waiting:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())
        if self._closed:
            connection.retire()

    def gone(self, connection: Multiplex) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.remove(connection)

    async def _dial(self) -> None:
        try:
            await dial(self._route, lambda: Multiplex(self))
        except UpstreamError as error:
            self._dialling = None
            for exchange in tuple(self._waiting):
                exchange.fail(error)

    def refused(self, error: UpstreamError) -> None:
        """A new connection turned out not to speak HTTP/2."""
        self._dialling = None
        for exchange in tuple(self._waiting):
            exchange.fail(error)

    def _roomy(self) -> Multiplex | None:
        return next((connection for connection in self.connections if connection.roomy()), None)

    def __repr__(self) -> str:
        streams = sum(len(connection.streams) for connection in self.connections)
        waiting = sum(exchange.phase == CONNECTING for exchange in self._waiting)
        return f"<Http2Upstream connecting={waiting} streams={streams} connections={len(self.connections)}>"
