"""The hot path's client: pooled HTTP/1.1 over asyncio, callbacks only. Follows, stores and decodes nothing."""

from __future__ import annotations

import asyncio

from proxy.config import Timeouts, Tls
from proxy.upstream._base import Receiver, Request, UpstreamError
from proxy.upstream.connection import Connection
from proxy.upstream.dial import Route, dial, tls_context
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.exchange import CONNECTING, Exchange
from proxy.upstream.forward import ForwardProxy
from proxy.upstream.heads import Heads
from proxy.upstream.pool import Pool
from proxy.upstream.sweep import Sweep, running_sweep

IDLE_CONNECTIONS = 100


class Http1Upstream:
    """To be made and used on one running event loop. Reuse of a connection costs no task, no future and no timer."""

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts | None = None,
        idle_connections: int = IDLE_CONNECTIONS,
        *,
        tls: Tls | None = None,
        forward_proxy: ForwardProxy | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self.sweep = sweep or running_sweep()
        self.pool = Pool(idle_connections, self.sweep)
        self._route = Route(endpoint, tls_context(tls or Tls(), ("http/1.1",)) if endpoint.secure else None, forward_proxy)
        if forward_proxy is not None and forward_proxy.absolute(endpoint):
            self._heads = Heads(endpoint.authority, b"http://" + endpoint.authority, forward_proxy.authorization())
        else:
            self._heads = Heads(endpoint.authority)
        self._inflight = 0
        self._closed = False

    @property
    def inflight(self) -> int:
        return self._inflight

    def send(self, request: Request, receiver: Receiver) -> Exchange:
        """Writes the request on an idle connection, or begins to connect. Raises ValueError for a head that is not safe."""
        exchange = Exchange(self, request, receiver, self._heads.prefix(request))
        sweep = self.sweep
        self._inflight += 1
        sweep.watched.add(exchange)
        if sweep.handle is None:
            sweep.start()
        connection = self.pool.take()
        if connection is not None:
            exchange.reused = True
            exchange.begin(connection)
        elif self._closed:
            asyncio.get_running_loop().call_soon(exchange.fail, UpstreamError("closed", "the client has been closed"))
        else:
            self.connect(exchange)
        return exchange

    def close(self) -> None:
        self._closed = True
        self.pool.close()

    def connect(self, exchange: Exchange) -> None:
        exchange.task = asyncio.get_running_loop().create_task(self._connect(exchange))

    def disconnect(self, exchange: Exchange) -> None:
        if exchange.task is not None:
            exchange.task.cancel()
            exchange.task = None

    def ended(self, exchange: Exchange) -> None:
        self._inflight -= 1
        self.sweep.watched.discard(exchange)

    async def _connect(self, exchange: Exchange) -> None:
        try:
            await dial(self._route, lambda: Connection(self.pool, exchange))
        except UpstreamError as error:
            exchange.task = None
            if exchange.phase == CONNECTING:
                exchange.fail(error)
        else:
            exchange.task = None

    def __repr__(self) -> str:
        """The counts, for tests and for whoever looks for a leak: connections, and exchanges that wait for one."""
        idle = len(self.pool.idle)
        return f"<Http1Upstream connecting={self._connecting()} busy={self.pool.opened - idle} idle={idle}>"

    def _connecting(self) -> int:
        mine = [watched for watched in self.sweep.watched if isinstance(watched, Exchange) and watched._owner is self]
        return sum(exchange.phase == CONNECTING for exchange in mine)
