"""`greenlane serve`: the process, from its arguments to its last drained connection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn
import uvloop
from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from proxy import __version__
from proxy.config import Config
from proxy.configuration import ConfigurationError, Problem, load
from proxy.configuration.checking import is_loopback
from proxy.configuration.discovery import Found, discover
from proxy.configuration.embedded import embedded
from proxy.controlplane.errors import on_anything, on_http, on_refusal
from proxy.controlplane.estimates import Estimates
from proxy.controlplane.health import Health
from proxy.controlplane.intensity import Intensities
from proxy.controlplane.ledger import Entries
from proxy.controlplane.meters import Meters
from proxy.controlplane.models import Models
from proxy.controlplane.sustainability import Months, Sustainability
from proxy.errors import Refusal
from proxy.runtime import Runtime
from proxy.server import Connection, protocol_class
from proxy.store.engine import StoreUrlError
from proxy.store.spool_file import SpoolUnusableError
from proxy.sweep import Sweep
from proxy.telemetry import logs
from proxy.telemetry.outlet import standard_error


def serve(
    *,
    config_path: str | None = None,
    vendors: bool = False,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT. Raises ConfigurationError before anything listens."""
    config = load(config_path) if config_path is not None else embedded((), vendors=vendors, environ=os.environ)
    server = msgspec.structs.replace(
        config.server,
        host=config.server.host if host is None else host,
        port=config.server.port if port is None else port,
    )
    config = msgspec.structs.replace(config, server=server)
    if not config.keys and not is_loopback(server.host):
        problem = Problem(path="server.host", message=f"without keys the proxy listens on loopback only, not on {server.host}")
        raise ConfigurationError([problem], config_path or "embedded fleet")
    logs.configure(config.logs.level)
    try:
        _run(config, config_path, vendors=vendors)
    finally:
        standard_error().drain()


def _run(config: Config, config_path: str | None, *, vendors: bool) -> None:
    try:
        runtime = Runtime(config, None if config_path is None else Path(config_path))
    except SpoolUnusableError as error:
        raise ConfigurationError([Problem(path="ledger.spool_file", message=str(error))], config_path or "embedded fleet") from None
    except StoreUrlError as error:
        raise ConfigurationError([Problem(path="ledger.url", message=str(error))], config_path or "embedded fleet") from error
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(runtime, vendors=vendors))


async def _serve(runtime: Runtime, *, vendors: bool) -> None:
    await runtime.start()
    server = made_server(runtime)
    background: list[asyncio.Task[None]] = []
    if runtime.path is None:
        background.append(asyncio.create_task(_find(runtime, server.announced, vendors=vendors)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, runtime.reload)
    gc.collect()
    gc.freeze()
    # a request makes some hundred short-lived objects and no cycles: the default of 700 would collect at every second request
    gc.set_threshold(50_000, 50, 100)
    await server.serve()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await runtime.stop()


def made_server(runtime: Runtime) -> _Server:
    """The server of a started runtime; `serve()` runs it."""
    settings = runtime.config.server
    connections = protocol_class(runtime.plane)
    config = uvicorn.Config(
        application(runtime),
        host=settings.host,
        port=settings.port,
        http=connections,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=4096,
        timeout_graceful_shutdown=int(settings.drain_s),
        ssl_certfile=settings.tls_certificate_file,
        ssl_keyfile=settings.tls_key_file,
    )
    return _Server(config, runtime, connections)


class _Server(uvicorn.Server):
    """Says where it listens once it does, and turns unready before it drains."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime, connections: type[Connection]) -> None:
        super().__init__(config)
        self._runtime = runtime
        self._connections = connections
        self.announced = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends the serving on SIGINT and SIGTERM, and no more: uvicorn would raise them again before the ledger is flushed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM comes from an orchestrator, whose balancers must see the unreadiness before the socket is gone.

        SIGINT is a person's, and a second signal somebody's who does not want to wait.
        """
        delay_s = self._runtime.config.server.drain_delay_s
        if sig != signal.SIGTERM or not delay_s or self._runtime.draining:
            super().handle_exit(sig, frame)
            return
        self._runtime.draining = True
        loop = asyncio.get_running_loop()
        self._connections.leaving = True
        self._connections.heads.forget()
        for connection in list(Sweep.of(loop).connections):
            connection.leave()
        loop.call_later(delay_s, setattr, self, "should_exit", True)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started and self.servers:
            port = self.servers[0].sockets[0].getsockname()[1]
            announce(self._runtime, port)
            self.announced.set()

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._runtime.draining = True
        await super().shutdown(sockets)  # type: ignore[arg-type]
        await Sweep.of(asyncio.get_running_loop()).cut()


def application(runtime: Runtime) -> Litestar:
    """The control plane. The inference routes never reach it: see `proxy/server.py`."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield

    return Litestar(
        route_handlers=[Health, Models, Entries, Estimates, Intensities, Meters, Sustainability],
        exception_handlers={Refusal: on_refusal, HTTPException: on_http, Exception: on_anything},
        state=State({"plane": runtime, "months": Months(runtime.ledger)}),
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
    )


async def _find(runtime: Runtime, announced: asyncio.Event, *, vendors: bool) -> None:
    """Looks for local servers beside the serving, takes in what it finds, and tells it below the announcement."""
    found = await discover(own_port=runtime.config.server.port)
    if found:
        config = embedded(found, vendors=vendors, environ=os.environ)
        runtime.swap(msgspec.structs.replace(config, server=runtime.config.server))
    await announced.wait()
    _say_fleet(runtime, found)


def announce(runtime: Runtime, port: int) -> None:
    """Prints where the proxy listens and how to ask it."""
    host = runtime.config.server.host
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}"
    model = "auto" if "auto" in runtime.snapshot().models else next(iter(runtime.snapshot().models), "MODEL")
    key = "" if runtime.snapshot().keyring.open else ' -H "authorization: Bearer $KEY"'
    out = f"""Greenlane {__version__} serves {base}/v1 (configuration {runtime.snapshot().version})

  curl -i {base}/v1/chat/completions -H "content-type: application/json"{key} \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
    sys.stdout.write(out + "\n")
    sys.stdout.flush()
    if runtime.path is not None:
        _say_fleet(runtime, [])


def _say_fleet(runtime: Runtime, found: list[Found]) -> None:
    here = sum(not one.leaves for one in found)
    lines = [f"{here} {'model' if here == 1 else 'models'} found on this machine."] if runtime.path is None else []
    if here < len(found):
        lines.append(f"{len(found) - here} more of a vendor's cloud behind a server here, which join with --vendors.")
    fleet = runtime.snapshot().served.values()
    width = max([28, *(len(name) for served in fleet for name in (served.name, served.model))])
    for served in fleet:
        intensity = served.intensity
        grid = (
            "grid unknown"
            if intensity is None
            else f"{intensity.zone}{' (assumed)' if intensity.assumed else ''} {intensity.g_per_kwh:.0f} g/kWh"
        )
        kind = "simulation" if served.simulated else served.adapter.name
        lines.append(f"  {served.name:{width}} {served.model:{width}} {kind:11} {served.settings.privacy:8} {grid}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
