"""Connecting: names, addresses, TLS, and deadlines on all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl

import pytest

from proxy.config import Tls
from proxy.upstream._base import UpstreamError
from proxy.upstream.dial import connect_tcp, tls_context
from tests.imitations.fault_server import FaultServer, certificate, stall


def resolving(monkeypatch, *hosts: str) -> list[str]:
    """The loop resolves every name to these, and the names asked for are written down."""
    asked: list[str] = []

    def entry(address, port):
        return (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))

    async def resolve(host, port, **_):
        if "example" not in host:  # uvloop asks again for the address it is to connect to
            return [entry(host, port)]
        asked.append(host)
        return [entry(address, port) for address in hosts]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    return asked


def silent_first(monkeypatch, silent: str) -> list[str]:
    """Connecting to the address `silent` never ends; the order of attempts is written down."""
    order: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def connect(connecting, address):
        order.append(address[0])
        if address[0] == silent:
            await asyncio.Event().wait()
        await real(connecting, address)

    monkeypatch.setattr(loop, "sock_connect", connect)
    return order


def test_a_second_address_is_tried_when_the_first_one_is_silent(run, monkeypatch):
    async def main():
        async with FaultServer([stall()]) as server:
            monkeypatch.setattr("proxy.upstream.dial.STAGGER_S", 0.01)
            resolving(monkeypatch, "::1", "127.0.0.1")
            order = silent_first(monkeypatch, "::1")
            connected = await connect_tcp("both.example", server.port)
            assert (connected.getpeername(), order) == (("127.0.0.1", server.port), ["::1", "127.0.0.1"])
            connected.close()

    run(main())


def test_a_second_address_is_tried_at_once_when_the_first_one_refuses(run, monkeypatch):
    async def main():
        async with FaultServer([stall()]) as server:
            monkeypatch.setattr("proxy.upstream.dial.STAGGER_S", 60)
            resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
            connected = await connect_tcp("both.example", server.port)
            assert connected.getpeername() == ("127.0.0.1", server.port)
            connected.close()

    run(main())


def test_the_families_take_turns(run, monkeypatch):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        resolving(monkeypatch, "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1")
        order = silent_first(monkeypatch, "")
        with pytest.raises(UpstreamError) as error:
            await connect_tcp("four.example", port)
        assert (error.value.kind, order) == ("connect", ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.4"])

    run(main())


def test_a_cancelled_attempt_leaves_no_socket_open(run, monkeypatch):
    """A forgotten socket would be a ResourceWarning, and fail this run."""

    async def main():
        monkeypatch.setattr("proxy.upstream.dial.STAGGER_S", 0.001)
        resolving(monkeypatch, "127.0.0.1", "127.0.0.1")
        order = silent_first(monkeypatch, "127.0.0.1")
        task = asyncio.create_task(connect_tcp("both.example", 1))
        while len(order) < 2:  # noqa: ASYNC110  # there is nothing to wait for
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_name_is_resolved_for_every_connection(run, monkeypatch):
    async def main():
        async with FaultServer([stall()]) as server:
            asked = resolving(monkeypatch, "127.0.0.1")
            for _ in range(2):
                (await connect_tcp("moving.example", server.port)).close()
            assert asked == ["moving.example", "moving.example"]

    run(main())


def test_a_name_that_is_being_asked_for_is_not_asked_for_again(run, monkeypatch):
    """The loop's resolver has four threads: a silent name server of one host must not take them all. Who gives up leaves the question."""

    async def main():
        async with FaultServer([stall()] * 3) as server:
            asked = resolving(monkeypatch, "127.0.0.1")
            loop = asyncio.get_running_loop()
            answer, told = loop.getaddrinfo, asyncio.Event()

            async def late(host, port, **more):
                found = await answer(host, port, **more)
                if "example" in host:
                    await told.wait()
                return found

            monkeypatch.setattr(loop, "getaddrinfo", late)
            waiting = [asyncio.create_task(connect_tcp("late.example", server.port)) for _ in range(4)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
            assert asked == ["late.example"]
            told.set()
            for connected in await asyncio.gather(*waiting[1:]):
                connected.close()
            assert asked == ["late.example"]

    run(main())


def test_a_name_without_addresses_is_a_dns_error(run, monkeypatch):
    async def main():
        resolving(monkeypatch)
        with pytest.raises(UpstreamError) as error:
            await connect_tcp("none.example", 80)
        assert error.value.kind == "dns"

    run(main())


def test_where_no_descriptor_is_left_the_attempt_fails_at_once(run):
    async def main():
        async with FaultServer([stall()]) as server:
            before = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[0]), before[1]))
            taken = []
            try:
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.dup(0))
                with pytest.raises(UpstreamError) as caught:
                    await connect_tcp("127.0.0.1", server.port)
            finally:
                for descriptor in taken:
                    os.close(descriptor)
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            assert caught.value.kind == "connect"

    run(main())


def test_a_tls_context_is_made_once_for_the_same_settings_and_follows_them():
    usual = tls_context(Tls(), ("http/1.1",))
    assert tls_context(Tls(), ("http/1.1",)) is usual
    assert tls_context(Tls(), ("h2",)) is not usual
    assert (usual.verify_mode, usual.check_hostname, usual.minimum_version >= ssl.TLSVersion.TLSv1_2) == (ssl.CERT_REQUIRED, True, True)
    lenient = tls_context(Tls(verify=False), ("http/1.1",))
    assert (lenient.verify_mode, lenient.check_hostname) == (ssl.CERT_NONE, False)
    own = tls_context(Tls(ca_file=str(certificate()[0])), ("http/1.1",))
    assert own.cert_store_stats()["x509"] == 1
