"""Load for a running proxy: `locust -f tests/load/locustfile.py --host http://127.0.0.1:8080` (extra `locust`). Loopback only."""

from __future__ import annotations

import os

from locust import HttpUser, between, task

MODEL = os.environ.get("GREENLANE_MODEL", "auto")
KEY = os.environ.get("GREENLANE_KEY", "")
HEADERS = {"authorization": f"Bearer {KEY}"} if KEY else {}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Say a few words."}], "max_tokens": 32}


class Client(HttpUser):
    """Asks for a whole answer, then for a stream, and checks that each carries its account."""

    wait_time = between(0.1, 0.5)

    @task
    def whole(self) -> None:
        with self.client.post("/v1/chat/completions", json=ASK, headers=HEADERS, name="whole", catch_response=True) as answer:
            if answer.status_code == 200 and "greenlane" not in answer.json()["usage"]:
                answer.failure("no account")

    @task
    def streamed(self) -> None:
        body = {**ASK, "stream": True}
        with self.client.post(
            "/v1/chat/completions", json=body, headers=HEADERS, name="streamed", stream=True, catch_response=True
        ) as answer:
            text = answer.content
            if answer.status_code == 200 and not (b": greenlane {" in text and text.endswith(b"data: [DONE]\n\n")):
                answer.failure("the stream is not whole")
