"""The real engines as processes: where they are installed, how each is started, when it answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
READY_S = 240.0
"""A loaded machine of two cores takes a minute for vLLM."""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    # kernels are compiled on first use otherwise: 10 s within a request, and a C++ compiler is needed
    "TORCH_COMPILE_DISABLE": "1",
    "MLX_DISABLE_COMPILE": "1",
    # bytecode was left to the first import: vLLM imports itself three times, 10 s each without
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPATH": "",  # an engine's modules are its own
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
}


class Engine:
    """One engine's process. `model` is the name it knows its model by; `url` ends in /v1."""

    def __init__(self, name: str, model: str, command: list[str], port: int, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name, self.model, self.port = name, model, port
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **QUIET, **(environ or {})},
                start_new_session=True,
            )

    def wait(self, path: str = "/health") -> None:
        """Returns once the engine answers; raises AssertionError with the end of its log if it does not."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if get(self.root + path)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        said = self._log.read_text(errors="replace")[-6000:]
        raise AssertionError(f"{self.name} did not start (exit status {self.process.poll()}):\n{said}")

    def post(self, path: str, body: object) -> tuple[int, dict]:
        """Asks the engine itself, past the proxy."""
        status, answer = get(self.root + path, json.dumps(body).encode())
        return status, json.loads(answer)

    def metric(self, name: str) -> float:
        """The sum of one Prometheus metric over its labels."""
        text = get(self.root + "/metrics")[1].decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert found, f"{self.name} has no metric {name}"
        return sum(map(float, found))

    def stop(self) -> None:
        """Ends it and all it started."""
        for sign, patience_s in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(patience_s)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue


def get(url: str, body: bytes | None = None, timeout_s: float = 60.0) -> tuple[int, bytes]:
    """Status and body, error statuses included."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def free_port() -> int:
    """Below the ports that the system gives to outgoing connections, and never the same one twice: an engine binds it a minute later."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


_PORTS = iter(range(20000 + os.getpid() % 120 * 100, 32768))


class Launcher:
    """Starts engines from what `install.sh` installed; their logs go to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        made = subprocess.run([HERE / "install.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self._places = dict(line.split(" ", 1) for line in made.splitlines())
        self.weights = f"{self._places['models']}/tiny-chat"

    def vllm(self, name: str, *options: str) -> Engine:
        port = free_port()
        command = [*self._module("vllm", "vllm.entrypoints.cli.main"), "serve", self.weights, "--served-model-name", "tiny"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--max-model-len", "1024"]
        command += ["--max-num-seqs", "16", "--enforce-eager", "--kv-cache-memory-bytes", str(64 << 20), *options]
        return Engine(name, "tiny", command, port, self._folder / f"{name}.log")

    def transformers(self, name: str) -> Engine:
        port = free_port()
        command = [*self._module("transformers", "transformers.cli.transformers"), "serve", self.weights]
        command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        return Engine(name, self.weights, command, port, self._folder / f"{name}.log")

    def mlx(self, name: str) -> Engine:
        port = free_port()
        command = [*self._module("mlx", "mlx_lm.server"), "--model", self.weights, "--host", "127.0.0.1", "--port", str(port)]
        return Engine(name, self.weights, command, port, self._folder / f"{name}.log")

    def _module(self, place: str, module: str) -> list[str]:
        return [f"{self._places[place]}/bin/python", "-m", module]
