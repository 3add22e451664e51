"""`greenlane usage` against a small server on loopback."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

from proxy.cli.command import run

ROWS = [
    {"model": "big", "requests": 1200, "errors": 0, "input_tokens": 5, "output_tokens": None, "energy_wh": 12.3456, "carbon_g": 0.00012},
    {"model": None, "requests": 3, "errors": 3, "cost_usd": 1234.5},
]


@pytest.fixture
def proxy():
    """A server that answers with `answer` and keeps what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append((self.path, self.headers.get("authorization")))
            status, body = self.server.answer
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], (200, json.dumps({"data": ROWS}).encode())
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_sums_are_shown_as_a_table(proxy, capsys, monkeypatch):
    monkeypatch.setenv("GREENLANE_API_KEY", "sk-1")
    assert run(["usage", "--url", proxy.url + "/v1/", "--from", "2026-11-01", "--to", "2026-12-01"]) == 0
    assert proxy.asked == [("/v1/greenlane/usage?from=2026-11-01&to=2026-12-01&group_by=model", "Bearer sk-1")]
    assert capsys.readouterr().out == (
        "model  requests  errors  input_tokens  output_tokens  energy_wh  carbon_g  cost_usd\n"
        "big       1,200       0             5  -                   12.3   0.00012         -\n"
        "-             3       3             -  -                      -         -     1,234\n"
    )


def test_what_the_sums_leave_out_is_told(proxy, capsys):
    """A sum over what is known looks like the whole otherwise."""
    more = [{"cost_usd_unknown": 1200, "energy_wh_unknown": 2}, {"cost_usd_unknown": 1, "requests_unknown": None}]
    proxy.answer = (200, json.dumps({"data": [row | add for row, add in zip(ROWS, more, strict=True)]}).encode())
    assert run(["usage", "--url", proxy.url]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == ["", "unknown, so not in the sums: energy_wh of 2, cost_usd of 1,201 requests"]


def test_the_answer_can_be_had_as_it_came(proxy, capsys, monkeypatch):
    monkeypatch.delenv("GREENLANE_API_KEY", raising=False)
    assert run(["usage", "--url", proxy.url, "--json", "--group-by", "day"]) == 0
    assert json.loads(capsys.readouterr().out) == {"data": ROWS}
    assert proxy.asked == [("/v1/greenlane/usage?group_by=day", None)]


@pytest.mark.parametrize("body", [{"data": []}, [], {"data": 5}])
def test_an_empty_ledger_says_so(proxy, capsys, body):
    proxy.answer = (200, json.dumps(body).encode())
    assert run(["usage", "--url", proxy.url]) == 0
    assert capsys.readouterr().out == "nothing was used\n"


def test_a_refusal_ends_with_1_and_its_reason(proxy, capsys):
    proxy.answer = (401, b'{"error": {"message": "no such key"}}')
    assert run(["usage", "--url", proxy.url]) == 1
    assert capsys.readouterr().err == "greenlane: 401: no such key\n"


def test_a_proxy_that_is_not_there_or_is_none_ends_with_2(proxy, capsys):
    proxy.answer = (200, b"<html>")
    assert run(["usage", "--url", proxy.url]) == 2
    assert run(["usage", "--url", "http://127.0.0.1:1"]) == 2
    assert run(["usage", "--url", "nonsense"]) == 2
    assert capsys.readouterr().err.count("cannot be asked") == 3
