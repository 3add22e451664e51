"""A network that goes silent: no connection ends, no answer comes. Whoever waits is told in time, and what comes after goes through."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

import pytest

from proxy.store.engine import CONNECTIONS
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.usage import UsageQuery
from tests.store.entries import written


class Wire:
    """Carries bytes between clients and the server. What is open when it falls silent stays so; what comes later is carried again."""

    def __init__(self, port):
        self._target = port
        self._hushed = threading.Event()
        self._deaf = False
        self._open = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def fall_silent(self, *, deaf=False):
        """`deaf`: those that come are not carried either, until `hear_again`."""
        self._hushed.set()
        self._hushed = threading.Event()
        self._deaf = deaf

    def hear_again(self):
        self._deaf = False

    def close(self):
        self._hushed.set()
        for each in [self._server, *self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in [self._server, *self._open]:
            each.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                if self._deaf:
                    continue
                away = socket.create_connection(("127.0.0.1", self._target))
                self._open.append(away)
                for ways in ((client, away), (away, client)):
                    self._threads.append(threading.Thread(target=_pump, args=(*ways, self._hushed)))
                    self._threads[-1].start()


def _pump(here, there, hushed):
    with suppress(OSError):
        while (more := here.recv(65536)) and not hushed.is_set():
            there.sendall(more)
        if not hushed.is_set():
            there.shutdown(socket.SHUT_WR)


@pytest.fixture(name="wire")
def wire_(server):
    made = Wire(server.port)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("proxy.store.engine.COMMAND_TIMEOUT_S", 0.3)
    monkeypatch.setattr("proxy.store.engine.BUSY_TIMEOUT_S", 0.5)


@pytest.mark.parametrize("deaf", [False, True])
def test_whoever_waits_is_told_and_what_comes_later_goes_through(server, wire, url, entry, deaf):
    async def told(waiting):
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnavailableError) as caught:
                await waiting
        return caught.value.kind

    async def session():
        ledger = await Ledger.open(url.replace(f":{server.port}/", f":{wire.port}/"))
        await ledger.insert_records(written(entry()))
        await asyncio.gather(*(ledger.get("gl-1", None) for _ in range(4)))
        wire.fall_silent(deaf=deaf)
        kinds = [await told(ledger.insert_records(written(entry(id="gl-2")))), await told(ledger.get("gl-1", None))]
        wire.hear_again()
        tries = 1
        while True:
            try:
                async with asyncio.timeout(20):
                    await ledger.insert_records(written(entry(id="gl-2")))
                break
            except StoreUnavailableError:
                tries += 1
        [found] = await ledger.usage(UsageQuery())
        await ledger.close()
        return kinds, tries, found["requests"]

    kinds, tries, requests = asyncio.run(session())
    assert (kinds, requests) == (["TimeoutError", "TimeoutError"], 2)
    assert tries <= CONNECTIONS, "each connection that lay in the pool was tried once at most"
