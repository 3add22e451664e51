"""An OpenAI-speaking host whose model names say what goes wrong, and the configuration that leads to it."""

from __future__ import annotations

import json
import time
from collections import Counter

from tests.harness import Handler, Received, chunk, completion, said

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529)
KINDS = (
    "garbage",
    "empty",
    "html",
    "cut",
    "reset",
    "hang",
    "slow",
    "error-in-200",
    "broken",
    "error-midstream",
    "error-beside-words",
    "no-done",
    "no-end",
    "once-429",
    "echo",
)
IMPATIENT, PATIENT = "{first_byte_s: 0.4, between_s: 0.4}", "{first_byte_s: 60, between_s: 60}"
"""Who waits for a silent host, and who must not be made impatient by a busy machine."""


def error(status: int, message: str = "It went wrong.") -> dict[str, object]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": f"code_{status}"}}


class Faulty:
    """The host. `seen` counts requests by model."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, received: Received, handler: Handler) -> None:
        model = received.json["model"]
        self.seen[model] += 1
        if model.startswith("status-"):
            status = int(model.removeprefix("status-"))
            headers = {"retry-after": "3", "x-ratelimit-remaining-requests": "0"} if status in (429, 503) else {}
            handler.reply(status, error(status, f"Upstream says {status}, key sk-secret-0123456789abcdef"), headers)
            return
        getattr(self, "_" + model.replace("-", "_"))(received, handler)

    def _garbage(self, _: Received, handler: Handler) -> None:
        handler.reply(200, b"this is not json")

    def _empty(self, _: Received, handler: Handler) -> None:
        handler.reply(200, b"")

    def _html(self, _: Received, handler: Handler) -> None:
        handler.reply(502, b"<html>secret-internal-host</html>", {"content-type": "text/html"})

    def _cut(self, _: Received, handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"id": "c1", ')
        handler.close_connection = True

    def _reset(self, _: Received, handler: Handler) -> None:
        handler.close_connection = True

    def _hang(self, _: Received, handler: Handler) -> None:
        handler.connection.recv(1)  # until the proxy leaves

    def _slow(self, received: Received, handler: Handler) -> None:
        time.sleep(0.25)
        completion(received, handler)

    def _error_in_200(self, _: Received, handler: Handler) -> None:
        handler.reply(200, error(500, "An error in a 200."))

    def _broken(self, _: Received, handler: Handler) -> None:
        """A stream whose connection is lost after two words."""
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in said()[:3]:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()
            time.sleep(0.02)
        handler.close_connection = True

    def _error_midstream(self, _: Received, handler: Handler) -> None:
        def pieces():
            for piece in said()[:3]:
                yield piece
                time.sleep(0.02)
            yield b"data: " + json.dumps(error(500, "It broke in the middle.")).encode() + b"\n\n"

        handler.events(pieces())

    def _error_beside_words(self, _: Received, handler: Handler) -> None:
        """The last words and the error come in one piece."""

        def pieces():
            yield from said()[:2]
            time.sleep(0.05)
            yield said()[2] + b"data: " + json.dumps(error(500, "It broke in the middle.")).encode() + b"\n\n"

        handler.events(pieces())

    def _no_done(self, _: Received, handler: Handler) -> None:
        handler.events(said()[:-1])

    def _no_end(self, _: Received, handler: Handler) -> None:
        """A stream that ends cleanly, but before its reason."""

        def pieces():
            for piece in said()[:3]:
                yield piece
                time.sleep(0.02)

        handler.events(pieces())

    def _once_429(self, received: Received, handler: Handler) -> None:
        if self.seen["once-429"] % 2:
            handler.reply(429, error(429), {"retry-after-ms": "10"})
        else:
            completion(received, handler)

    def _echo(self, received: Received, handler: Handler) -> None:
        told = {"headers": received.headers, "body": received.json, "path": received.path}
        if received.json.get("stream"):
            handler.events([chunk({"role": "assistant", "content": json.dumps(told)}), chunk({}, "stop"), b"data: [DONE]\n\n"])
            return
        message = {"role": "assistant", "content": json.dumps(told)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        handler.reply(200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "echo", "choices": choices})


def configuration(url: str) -> str:
    """Each fault is a model of one deployment; `rescued-…` has a second one that answers."""
    lines = ["breaker: {failures: 100000}", "deployments:"]
    for name in (*(f"status-{status}" for status in STATUSES), *KINDS):
        timeouts = IMPATIENT if name == "hang" else PATIENT
        lines.append(
            f'  "{name}": {{model: "{name}", base_url: "{url}", timeouts: {timeouts}, zone: SE, usd_per_mtok: {{input: 1, output: 2}}}}'
        )
        lines.append(
            f'  "first-{name}": {{model: "rescued-{name}", upstream_model: "{name}", base_url: "{url}", timeouts: {timeouts}, zone: SE}}'
        )
        lines.append(f'  "second-{name}": {{model: "rescued-{name}", base_url: "sim://rescue?ttft_s=0&tokens_per_s=100000", zone: PL}}')
    lines.append('  nowhere: {model: nowhere, base_url: "http://127.0.0.1:9/v1"}')
    lines.append("policies:")
    lines.append("  clean: {objective: lowest_carbon}")
    lines.append("  impossible: {require: {max_g: 0.0}}")
    lines.append("  nearby: {require: {privacy: local}}")
    return "\n".join(lines) + "\n"
