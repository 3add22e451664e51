"""One proxy before all engines, started as a user starts it: `greenlane serve --config FILE --port PORT`.

The engines stand for machines in several grid zones: one engine serves as several deployments, so that what a policy chooses is
told by the deployment's name while every answer comes from a real engine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.engines.launch import Engine, free_port, get


class Engines(NamedTuple):
    """All that run. `spare` is there to be killed."""

    vllm: Engine
    embedder: Engine
    transformers: Engine
    mlx: Engine
    spare: Engine


CHAT = ("vllm", "transformers", "mlx")
"""Models with one deployment of the same name each: the engines that chat."""
# norms to tell zones by, in g/kWh over the life cycle: NO 31, SE 36, FR 44, PL 615, ZA 714
MACHINE = "hardware: {gpu: H100}, parameters_b: 8"
CONFIGURATION = """
logs: {{requests: false}}
ledger: {{url: "sqlite:///{folder}/ledger.db", spool_file: "{folder}/spool", interval_s: 0.05}}
models:
  anywhere: {{policy: green}}
  priced: {{policy: green}}
  failing: {{policy: green}}
  auto: {{members: [vllm, transformers, mlx], policy: green}}
policies:
  green: {{objective: lowest_carbon}}
  thrifty: {{extends: green, require: {{max_usd: 0.001}}}}
  private: {{extends: green, require: {{privacy: local}}}}
  european: {{objective: least_loaded, require: {{regions: [EU]}}}}
deployments:
  vllm: {{model: vllm, base_url: "{vllm.url}", upstream_model: "{vllm.model}", zone: SE, privacy: local, {machine}}}
  transformers: {{model: transformers, base_url: "{transformers.url}", upstream_model: "{transformers.model}", zone: PL, {machine}}}
  mlx: {{model: mlx, base_url: "{mlx.url}", upstream_model: "{mlx.model}", zone: ZA, privacy: local, {machine}}}
  native: {{model: native, base_url: "{vllm.url}", upstream_model: "{vllm.model}", apis: [chat, responses, messages], zone: SE, {machine}}}
  embedder: {{model: embedder, base_url: "{embedder.url}", upstream_model: "{embedder.model}", zone: FR, {machine}}}
  # the same model in three zones, on three engines
  anywhere-north: {{model: anywhere, base_url: "{vllm.url}", upstream_model: "{vllm.model}", zone: {north}, privacy: vendor, {machine}}}
  anywhere-east: {{model: anywhere, base_url: "{transformers.url}", upstream_model: "{transformers.model}", zone: {east}, privacy: private,
    {machine}}}
  anywhere-south: {{model: anywhere, base_url: "{mlx.url}", upstream_model: "{mlx.model}", zone: ZA, privacy: local, {machine}}}
  # the cleaner one costs a hundred times the other
  priced-dear: {{model: priced, base_url: "{vllm.url}", upstream_model: "{vllm.model}", zone: "NO", {machine},
    usd_per_mtok: {{input: 10, output: 100}}}}
  priced-cheap: {{model: priced, base_url: "{mlx.url}", upstream_model: "{mlx.model}", zone: PL, {machine},
    usd_per_mtok: {{input: 0.1, output: 1}}}}
  # nobody listens at the local one: a vendor's engine is all that could answer
  confidential-home: {{model: confidential, base_url: "http://127.0.0.1:{nobody}/v1", zone: SE, privacy: local, {machine}}}
  confidential-vendor: {{model: confidential, base_url: "{vllm.url}", upstream_model: "{vllm.model}", zone: SE, privacy: vendor, {machine}}}
  failing-first: {{model: failing, base_url: "{spare.url}", upstream_model: "{spare.model}", zone: "NO", {machine}}}
  failing-second: {{model: failing, base_url: "{transformers.url}", upstream_model: "{transformers.model}", zone: PL, {machine}}}
"""


class Proxy:
    """The running proxy. `url` is what a client's base_url is set to."""

    def __init__(self, engines: Engines, folder: Path) -> None:
        self._engines, self._folder = engines, folder
        self._nobody = free_port()
        self.path = folder / "greenlane.yaml"
        self.write()
        self._log = folder / "greenlane.log"
        port = free_port()
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"
        command = [Path(sys.executable).with_name("greenlane"), "serve", "--config", self.path, "--port", str(port)]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=dict(os.environ))

    def write(self, north: str = "SE", east: str = "PL") -> None:
        """Writes the configuration, with these zones for two machines; a running proxy takes it in by itself."""
        text = CONFIGURATION.format(
            **self._engines._asdict(), folder=self._folder, machine=MACHINE, nobody=self._nobody, north=north, east=east
        )
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    def wait(self) -> None:
        """Returns once it is ready; raises AssertionError with what it said if it does not get there."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if get(f"{self.root}/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the proxy did not start:\n{self.said()}")

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there are none."""
        text = get(f"{self.root}/metrics")[1].decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{([^}}]*)}})? (\S+)$", text, re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for shown, value in found if all(label in shown for label in wanted))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
