"""`greenlane serve` with its ledger in PostgreSQL, from outside: what it writes and shows, and what happens while the server is away."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from contextlib import contextmanager

import asyncpg
import httpx
import pytest

from tests.harness import USAGE, Process, ask, completion, until

PLACES = """
ledger: {{url: "env:LEDGER_URL", spool_file: "{folder}/spool", spool_bytes: 1048576, interval_s: 0.05}}
server: {{port: 0}}
logs: {{requests: false}}
policy: green
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  north: &place {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{host}", zone: SE, usd_per_mtok: {{input: 1.0, output: 2.0}}}}
  south: {{<<: *place, zone: PL}}
"""


class Ours(Process):
    """A proxy whose whole configuration, ledger included, the test gives."""

    def __init__(self, folder, host, url):
        self.text = PLACES.format(host=host, folder=folder)
        super().__init__("", folder, {"LEDGER_URL": url})

    def write(self, _):
        self.path.write_text(self.text)

    def shown(self, path):
        return httpx.get(f"{self.url}/greenlane/{path}", timeout=10).json()

    @property
    def pending(self):
        text = httpx.get(f"{self.base}/metrics", timeout=10).text
        return float(re.search(r"^greenlane_ledger_pending (\S+)$", text, re.MULTILINE)[1])


@pytest.fixture(name="serve")
def serve_(tmp_path, upstream):
    """Starts proxies with a ledger URL, each in a folder of its own; all go before one upstream, `serve.host`."""
    made = []

    def serve(url, name="proxy"):
        made.append(Ours(tmp_path / name, serve.host.url, url))
        return made[-1]

    serve.host = upstream()
    yield serve
    for each in made:
        each.close()
        assert "Traceback" not in each.err_text + each.out_text


def asked(proxy, times=1, **headers):
    """The ids of that many requests, all answered."""
    answers = [ask(proxy, **headers) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-greenlane-id"] for answer in answers]


def ids(server, database):
    """What is there; nothing while the tables are not there either."""
    if server.rows(database, "SELECT to_regclass('exchanges')") == [("-",)]:
        return []
    return [found for (found,) in server.rows(database, "SELECT id FROM exchanges WHERE model = 'small' ORDER BY id")]


def test_two_that_start_at_once_make_the_tables_and_write_into_them(serve, server, database, url):
    proxies = []
    started = [threading.Thread(target=lambda name=name: proxies.append(serve(url, name))) for name in ("one", "two")]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    told = sorted(each for proxy in proxies for each in asked(proxy, 3))
    until(lambda: ids(server, database) == told)
    assert [proxy.shown("usage")["data"][0]["requests"] for proxy in proxies] == [6, 6]


def odd(received, handler):
    """An answer that is different for each request, and now and then an error."""
    number = received.json["messages"][0]["content"]
    if number == "3":
        handler.reply(400, {"error": {"message": "no", "type": "invalid_request_error"}})
    else:
        usage = None if number == "4" else {**USAGE, "prompt_tokens": 10 + int(number), "prompt_tokens_details": {"cached_tokens": 3}}
        message = {"role": "assistant", "content": "Hello!"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        handler.reply(200, {"id": "c1", "object": "chat.completion", "created": 1, "model": "up", "choices": choices, "usage": usage})


TIMED = ("at", "at_s", "age_s", "duration_s", "decode_s", "ttft_s", "overhead_s", "seconds_s", "config_version", "id", "request_id")
"""What no two runs have in common."""


def timeless(shown):
    match shown:
        case dict():
            return {name: timeless(value) for name, value in shown.items() if name not in TIMED}
        case list():
            return [timeless(each) for each in shown]
    return shown


def test_both_databases_show_the_same(serve, url, tmp_path):
    """Entries and sums of the same requests: whole, streamed, refused, uncounted, with an id of the client's own, for a task."""
    proxies = [serve(f"sqlite:///{tmp_path}/ledger.db", "lite"), serve(url, "postgresql")]
    serve.host.answer = odd
    shown = []
    for proxy in proxies:
        entries = [ask(proxy, {"model": "small", "messages": [{"role": "user", "content": str(i)}]}, **headers) for i, headers in ASKED]
        serve.host.answer = completion
        entries.append(ask(proxy, {"model": "small", "stream": True, "messages": [{"role": "user", "content": "5"}]}))
        entries.append(ask(proxy, {"model": "unheard-of", "messages": []}))
        serve.host.answer = odd
        told = [proxy.shown(f"requests/{answer.headers['x-greenlane-id']}") for answer in entries]
        assert [entry["outcome"] for entry in told] == [
            "completed",
            "completed",
            "completed",
            "failed",
            "completed",
            "completed",
            "refused",
        ]
        sums = {group: proxy.shown(f"usage?group_by={group}&from=2020-01-01") for group in GROUPS}
        shown.append((told, sums))
    [(first, sums), (second, same_sums)] = shown
    assert timeless(second) == timeless(first)
    for group in GROUPS:
        assert [pytest.approx(row) for row in sums[group]["data"]] == same_sums[group]["data"]
    assert sum(row["requests"] for row in sums["model"]["data"]) == 7


ASKED = ((0, {}), (1, {"x_request_id": "mine"}), (2, {"x_greenlane_task": "summarise"}), (3, {}), (4, {}))
GROUPS = ("model", "deployment", "policy", "team", "key", "task", "day")


def test_plain_sql_has_what_the_page_says(serve, server, database, url):
    proxy = serve(url)
    [told] = asked(proxy)
    entry = proxy.shown(f"requests/{told}")
    statement = (
        "SELECT id, deployment, output_tokens, energy_j * intensity_g_per_kwh / 3.6e6 - carbon_g < 1e-9, "
        "inputs::json #>> '{order,0}', inputs::json #>> '{intensity,zone}', day = floor(at_s / 86400), detail FROM exchanges"
    )
    assert server.rows(database, statement) == [(told, "north", "3", "t", "north", entry["account"]["intensity"]["zone"], "t", "-")]


def test_a_killed_proxys_entries_are_written_once_by_its_successor(serve, server, database, url):
    """Killed while the ledger is locked, with a batch under way; the half of it that was in may not come twice."""
    proxy = serve(url)
    before = asked(proxy, 5)
    until(lambda: ids(server, database) == before)
    with locked(server, database):
        waiting = asked(proxy, 20)
        until(lambda: proxy.pending >= 20)
        proxy.signal(signal.SIGKILL)
        proxy.ended()
    proxy.start({"LEDGER_URL": url})
    later = asked(proxy, 1)
    until(lambda: ids(server, database) == sorted([*before, *waiting, *later]))
    assert proxy.shown("usage")["data"][0]["requests"] == 26
    assert proxy.pending == 0


@contextmanager
def locked(server, database):
    """Nobody can write the table meanwhile."""
    held, release = threading.Event(), threading.Event()

    async def hold():
        connection = await asyncpg.connect(server.url(database).replace("+asyncpg", ""))
        async with connection.transaction():
            await connection.execute("LOCK TABLE ledger IN EXCLUSIVE MODE")
            held.set()
            await asyncio.to_thread(release.wait, 20)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_a_server_that_is_down_at_the_start_and_in_the_middle_holds_up_no_answer(serve, server, database, url):
    server.stop()
    try:
        proxy = serve(url)
        told = asked(proxy, 5)
        assert proxy.pending >= 5
        assert httpx.get(f"{proxy.base}/health/ready", timeout=10).status_code == 200
        shown = httpx.get(f"{proxy.url}/greenlane/usage", timeout=10)
        assert (shown.status_code, shown.json()["error"]["code"]) == (503, "unavailable")
    finally:
        server.start()
    until(lambda: ids(server, database) == told, timeout_s=40)
    server.stop()
    try:
        more = asked(proxy, 5)
        assert proxy.pending >= 5
        assert httpx.get(f"{proxy.url}/greenlane/requests/{told[0]}", timeout=10).status_code == 503
    finally:
        server.start()
    until(lambda: ids(server, database) == told + more, timeout_s=40)
    until(lambda: proxy.pending == 0)
    assert proxy.shown(f"requests/{told[0]}")["id"] == told[0]
    assert "ledger: ConnectionRefusedError; " in proxy.err_text
    assert "the store is back after" in proxy.err_text


def test_a_wrong_password_stops_no_request_and_is_told_to_nobody(serve, server, database):
    server.guard()
    proxy = serve(server.url(database, "guarded:hunter2"))
    [told] = asked(proxy)
    for path in ("usage", f"requests/{told}"):
        shown = httpx.get(f"{proxy.url}/greenlane/{path}", timeout=10)
        assert (shown.status_code, "hunter2" in shown.text) == (503, False)
    until(lambda: "28P01" in proxy.err_text)
    assert proxy.pending >= 1
    assert "hunter2" not in proxy.out_text + proxy.err_text + server.said()


def test_a_url_that_cannot_be_used_is_told_before_anything_listens(serve):
    with pytest.raises(AssertionError, match=r"did not start: .*ledger\.url: the parameter 'channel' is not known") as caught:
        serve("postgresql://u:hunter2@127.0.0.1:1/db?channel=x")
    assert "hunter2" not in str(caught.value)


def test_one_that_ends_while_the_server_is_away_keeps_its_entries_for_the_next(serve, server, database, url):
    proxy = serve(url)
    told = asked(proxy, 3)
    until(lambda: ids(server, database) == told)
    server.stop()
    try:
        told += asked(proxy, 3)
        proxy.signal(signal.SIGTERM)
        assert proxy.ended() == 0
    finally:
        server.start()
    proxy.start({"LEDGER_URL": url})
    until(lambda: ids(server, database) == told)


def test_an_orderly_end_leaves_nothing_behind(serve, server, database, url):
    proxy = serve(url)
    told = asked(proxy, 10)
    proxy.signal(signal.SIGTERM)
    assert proxy.ended() == 0
    assert ids(server, database) == told
