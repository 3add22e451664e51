"""The Dockerfile: two stages from one base, hashes checked, no root, and a health check that works."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from proxy.cli import command

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines() if line]


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in LINES if line.split(" ")[0] == name]


def test_both_stages_are_made_from_the_base_that_is_given():
    assert LINES[0].startswith("ARG BASE_IMAGE=")
    assert [line.split(" ")[0] for line in instructions("FROM")] == ["${BASE_IMAGE}", "${BASE_IMAGE}"]


def test_every_package_comes_from_the_lock_with_its_hash():
    installs = [line for line in instructions("RUN") if "pip install" in line]
    assert all("--require-hashes" in line or ("--no-deps" in line and "--no-build-isolation" in line) for line in installs)
    assert any("-r requirements.lock" in line for line in installs)


def test_the_last_user_is_not_root():
    assert instructions("USER")[-1] not in {"root", "0"}
    assert LINES.index(f"USER {instructions('USER')[-1]}") > max(
        index for index, line in enumerate(LINES) if line.startswith(("RUN", "COPY"))
    )


def test_it_serves_the_mounted_configuration_on_every_address():
    words = json.loads(instructions("CMD")[-1])
    assert words == ["greenlane", "serve", "--config", "/etc/greenlane/greenlane.yaml", "--host", "0.0.0.0"]
    assert command.parser().parse_args(words[1:]).config == "/etc/greenlane/greenlane.yaml"


def test_what_is_copied_exists_and_is_not_ignored():
    copied = [word for line in instructions("COPY") if not line.startswith("--from") for word in shlex.split(line)[:-1]]
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert set(copied) == kept
    assert all((ROOT / path).exists() for path in copied)


def test_what_python_leaves_behind_is_not_copied():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert any(fnmatch.fnmatch("proxy/__pycache__", rule.replace("**", "*")) for rule in rules[1:] if not rule.startswith("!"))


class _Live(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_a_live_server_from_another(status: int, healthy: bool):
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (_Live,), {"status": status}))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    program, code = _health_check(server.server_port)
    ended = subprocess.run([program, "-c", code], capture_output=True, timeout=120, check=False)
    server.shutdown()
    server.server_close()
    assert (ended.returncode == 0) is healthy


def test_the_health_check_fails_where_nobody_listens():
    program, code = _health_check(1)
    assert subprocess.run([program, "-c", code], capture_output=True, timeout=120, check=False).returncode != 0


def _health_check(port: int) -> tuple[str, str]:
    """The check's program, asking another port."""
    words = json.loads(instructions("HEALTHCHECK")[-1].partition("CMD ")[2])
    assert words[:2] == ["python3", "-c"]
    assert "127.0.0.1:8080/" in words[2]
    return sys.executable, words[2].replace(":8080/", f":{port}/")
