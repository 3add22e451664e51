"""Counters that move at a real pace, for measured energy through the running proxy: a RAPL folder, and TensorRT-LLM's own page."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.harness import chunk, said, until

WATTS = 400.0


class Counter:
    """A processor that draws a steady power and counts it."""

    def __init__(self, root, watts=WATTS):
        self.root, self.watts = root, watts
        zone = root / "intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        self.file = zone / "energy_uj"
        self._joules, self._at_s = 1000.0, time.monotonic()
        self.step()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def joules(self):
        return self._joules

    def step(self):
        now_s = time.monotonic()
        self._joules += self.watts * (now_s - self._at_s)
        self._at_s = now_s
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self._joules * 1e6:.0f}\n")
        fresh.replace(self.file)

    def _run(self):
        while not self._stop.wait(0.02):
            self.step()

    def close(self):
        self._stop.set()
        self._thread.join()


class Engine:
    """TensorRT-LLM's energy monitor: accelerators that draw a steady power. `status` 200, or what it refuses with."""

    def __init__(self, watts=WATTS):
        self.watts, self.status = watts, 200
        self._began_s = time.monotonic()
        engine = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"total_energy_j": engine.joules, "query_time": 1.0} if engine.status == 200 else {"error": "off"})
                self.send_response(engine.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/energy_metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def joules(self):
        return 5000.0 + self.watts * (time.monotonic() - self._began_s)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def slowly(seconds):
    """A stream that takes its time."""

    def answer(_, handler):
        pieces = said(usage=True)

        def paced():
            yield pieces[0]
            for _ in range(10):
                time.sleep(seconds / 10)
                yield chunk({"content": "word "})
            yield from pieces[1:]

        handler.events(paced())

    return answer


def stream(served, model="small"):
    """Asks, reads all, and returns the entry's id."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with httpx.stream("POST", served.url + "/chat/completions", json=body, timeout=60) as answer:
        answer.read()
        return answer.headers["x-greenlane-id"]


def entry(served, entry_id):
    return httpx.get(f"{served.base}/v1/greenlane/requests/{entry_id}", timeout=10).json()


def meters(served, headers=None):
    return httpx.get(f"{served.base}/v1/greenlane/meters", headers=headers, timeout=10).json()["data"]


def days(served):
    return httpx.get(f"{served.base}/v1/greenlane/meters", timeout=10).json()["days"]


def measuring(proxy, fleet, headers=None, **more):
    """Serves, and returns once a first window was measured: what was sent before is not measured whole, and never restated."""
    served = proxy(fleet, **more)
    until(lambda: meters(served, headers)[0]["measured_j"] > 0)
    return served


def restated(served, entry_id):
    until(lambda: entry(served, entry_id).get("restatements"))  # what is not written yet has none
    return entry(served, entry_id)
