"""Opens connections: resolves, races the addresses (RFC 8305), speaks TLS. Nothing resolved is kept."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from typing import NamedTuple

from proxy.config import Tls
from proxy.upstream._base import UpstreamError
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.forward import ForwardProxy

STAGGER_S = 0.25
"""RFC 8305 §5: the recommended Connection Attempt Delay."""


class Route(NamedTuple):
    """How to reach an upstream."""

    endpoint: Endpoint
    context: ssl.SSLContext | None
    """TLS with the endpoint, where it is wanted."""
    forward_proxy: ForwardProxy | None = None


Address = tuple[int, tuple[object, ...]]


@lru_cache(maxsize=64)
def tls_context(tls: Tls, protocols: tuple[str, ...]) -> ssl.SSLContext:
    """One context for each combination of settings: reading the system's certificates takes 10 ms and more."""
    context = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


async def dial(route: Route, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Connects `protocol` along the route. Raises UpstreamError; has no deadline of its own, the caller cancels."""
    endpoint, through = route.endpoint, route.forward_proxy
    if through is None:
        connected = await connect_tcp(endpoint.host, endpoint.port)
    else:
        connected = await connect_tcp(through.host, through.port)
        try:
            await through.open(connected, endpoint)
        except OSError as error:
            connected.close()
            raise UpstreamError("connect", "the forward proxy closed the connection") from error
        except BaseException:
            connected.close()
            raise
    await _hand_over(connected, endpoint.host, route.context, protocol)


async def _hand_over(connected: socket.socket, host: str, context: ssl.SSLContext | None, protocol: Callable[[], asyncio.Protocol]) -> None:
    """Gives a connected socket to `protocol`, with TLS where there is a context. Owns the socket from here."""
    loop = asyncio.get_running_loop()
    try:
        if context is None:
            await loop.create_connection(protocol, sock=connected)
        else:
            await loop.create_connection(protocol, sock=connected, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connected.close()
        raise UpstreamError("tls", f"the upstream's certificate was not accepted: {error.verify_message}") from error
    except (OSError, ValueError) as error:
        connected.close()
        raise UpstreamError("tls" if context else "connect", "the connection to the upstream failed at its start") from error
    except BaseException:
        connected.close()
        raise


async def connect_tcp(host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket; addresses are tried in turn, a new one every STAGGER_S until one answers."""
    addresses = await _resolve(host, port)
    if len(addresses) == 1:
        return await _connect_one(addresses[0])
    waiting = iter(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    last: UpstreamError | None = None
    try:
        while True:
            address = next(waiting, None)
            if address is not None:
                attempts.add(asyncio.create_task(_connect_one(address)))
            elif not attempts:
                raise last or UpstreamError("connect", "the upstream has no address")
            done, _ = await asyncio.wait(
                attempts,
                timeout=None if address is None else STAGGER_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                last = error if isinstance(error, UpstreamError) else last
    finally:
        await _discard(attempts)


async def _discard(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


_Found = Sequence[tuple[int, int, int, str, tuple[object, ...]]]
_asking: dict[tuple[asyncio.AbstractEventLoop, str, int], asyncio.Task[_Found]] = {}
"""Questions to the resolver that have no answer yet."""


async def _ask(loop: asyncio.AbstractEventLoop, host: str, port: int) -> _Found:
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _asked(host: str, port: int) -> asyncio.Task[_Found]:
    """The resolver's answer, which all that ask meanwhile share.

    The loop has four threads for such questions, and one goes on when whoever asked has given up: so many requests to one host whose
    name server is silent would keep every other host's connections from being made.
    """
    loop = asyncio.get_running_loop()
    key = (loop, host, port)
    task = _asking.get(key)
    if task is None:
        task = _asking[key] = loop.create_task(_ask(loop, host, port))
        task.add_done_callback(lambda done: (_asking.pop(key, None), done.cancelled() or done.exception()))
    return task


async def _resolve(host: str, port: int) -> list[Address]:
    """Addresses with the families taking turns, the resolver's first choice first."""
    try:
        found = await asyncio.shield(_asked(host, port))
    except (OSError, UnicodeError) as error:
        raise UpstreamError("dns", "the upstream's name could not be resolved") from error
    if not found:
        raise UpstreamError("dns", "the upstream's name has no address")
    first = [(family, address) for family, _, _, _, address in found if family == found[0][0]]
    other = [(family, address) for family, _, _, _, address in found if family != found[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, other)) if address is not None]


async def _connect_one(address: Address) -> socket.socket:
    family, where = address
    try:
        connecting = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UpstreamError("connect", "there is no socket left to reach the upstream") from error
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, where)
    except OSError as error:
        connecting.close()
        raise UpstreamError("connect", "the upstream could not be reached") from error
    except BaseException:
        connecting.close()
        raise
    return connecting
