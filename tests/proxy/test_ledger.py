"""What the store holds after real requests: one row each, and what they have in common only once."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3

import httpx
import pytest

from proxy.store.spool import Spool
from tests.harness import DONE, USAGE, ask, completion
from tests.store.entries import entry_with, written

__all__ = ["entry_with"]

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
TWINS = """
policy: {policy}
policies: {{green: {{objective: lowest_carbon}}, spread: {{objective: least_loaded}}}}
deployments:
  one: &place {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE, usd_per_mtok: {{input: 1.0, output: 2.0}}}}
  two: *place
  far: {{<<: *place, zone: PL}}
"""


def stored(served, statement):
    served.entries(0)
    with contextlib.closing(sqlite3.connect(served.folder / "ledger.db")) as store:
        return store.execute(statement).fetchall()


def entry_of(served, body=CHAT, **headers):
    answer = ask(served, body, **headers)
    return answer, served.entry(answer.headers["x-greenlane-id"])


def test_like_requests_share_a_context_and_their_rows_say_nothing_twice(proxy, upstream):
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    for _ in range(5):
        assert ask(served, CHAT).status_code == 200
    assert stored(served, "SELECT count(*), count(DISTINCT context), count(detail), count(request_id) FROM ledger") == [(5, 1, 0, 0)]
    [(inputs,)] = stored(served, "SELECT inputs FROM ledger_contexts")
    assert json.loads(inputs)["order"] == ["one", "two", "far"]


def test_an_entry_has_the_order_its_own_request_was_given(proxy, upstream):
    """Twins take turns by their load: what stands for both is one decision, led by either."""
    host = upstream()
    served = proxy(TWINS.format(url=host.url, policy="green"))
    assert entry_of(served)[1]["order"] == ["one", "two", "far"]
    served.call(lambda runtime: setattr(runtime.plane.peers["one"], "inflight", 1))
    for _ in range(2):
        answer, entry = entry_of(served)
        assert (answer.headers["x-greenlane-deployment"], entry["order"]) == ("two", ["two", "one", "far"])
    served.call(lambda runtime: setattr(runtime.plane.peers["one"], "inflight", 0))
    answer, entry = entry_of(served)
    assert (answer.headers["x-greenlane-deployment"], entry["order"]) == ("one", ["one", "two", "far"])
    assert stored(served, "SELECT count(DISTINCT context) FROM ledger") == [(2,)]


def test_orders_without_end_go_into_the_rows(proxy, upstream, monkeypatch):
    monkeypatch.setattr("proxy.dataplane.contexts.MOST", 1)
    served = proxy(TWINS.format(url=upstream().url, policy="spread"))
    orders = []
    for busy in ("far", "one", "two", "one"):
        for name in ("one", "two", "far"):
            served.call(lambda runtime, name=name, busy=busy: setattr(runtime.plane.peers[name], "inflight", int(name == busy)))
        orders.append(entry_of(served)[1]["order"])
    assert orders == [["one", "two", "far"], ["two", "far", "one"], ["one", "far", "two"], ["two", "far", "one"]]
    rows = stored(served, "SELECT json_extract(inputs, '$.order'), json_extract(detail, '$.order[2]') FROM exchanges ORDER BY id")
    assert rows == [('["one","two","far"]', None), (None, "one"), (None, "two"), (None, "one")]


def test_a_stream_keeps_its_forecast_beside_its_account(proxy, upstream):
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    entry = entry_of(served, {**CHAT, "stream": True})[1]
    assert entry["forecast"]["carbon_low_g"] < entry["forecast"]["carbon_g"] < entry["forecast"]["carbon_high_g"]
    assert entry["forecast"]["intensity"] == entry["account"]["intensity"]
    assert entry["attempts"] == [{"deployment": "one", "status": 200, "kind": "ok", "seconds_s": entry["attempts"][0]["seconds_s"]}]


def test_a_failed_attempt_is_in_the_row_beside_the_one_that_served(proxy, upstream):
    def once(received, handler):
        host.answer = completion
        handler.reply(500, b"{}")

    host = upstream(once)
    served = proxy(TWINS.format(url=host.url, policy="green"))
    entry = entry_of(served)[1]
    assert [(each["deployment"], each["status"], each["kind"]) for each in entry["attempts"]] == [
        ("one", 500, "status"),
        ("two", 200, "ok"),
    ]
    assert (entry["reason"], entry["deployment"]) == ("fallback", "two")


def test_a_clients_own_request_id_is_kept(proxy, upstream):
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    mine, own = (entry_of(served, **headers)[1] for headers in ({"x-request-id": "mine"}, {}))
    assert (mine["request_id"], own["request_id"]) == ("mine", own["id"])


def test_a_new_configuration_gives_new_contexts(proxy, upstream):
    text = TWINS.format(url=upstream().url, policy="green")
    served = proxy(text)
    before = entry_of(served)[1]
    served.write(text.replace("zone: SE", "zone: FR"))
    assert served.reload()
    after = entry_of(served)[1]
    assert before["config_version"] != after["config_version"]
    assert (before["account"]["intensity"]["zone"], after["account"]["intensity"]["zone"]) == ("SWE", "FRA")


def test_ids_rise_in_the_order_of_the_requests(proxy, upstream):
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    ids = [ask(served, CHAT).headers["x-greenlane-id"] for _ in range(20)]
    assert ids == sorted(ids)
    assert stored(served, "SELECT id FROM ledger ORDER BY at_s") == [(each,) for each in ids]


NO_COUNT = (-5, 2**63, 2**64 - 1, 2**64, 10**30)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("member", ["prompt_tokens", "completion_tokens"])
def test_what_an_upstream_says_that_is_no_count_is_counted_instead(proxy, upstream, member, stream):
    host = upstream(lambda _, handler: handler.events([b"data: %b\n\n" % said(), DONE]) if stream else handler.reply(200, said()))
    served = proxy(TWINS.format(url=host.url, policy="green"))
    for count in NO_COUNT:

        def said(count=count):
            choices = [{"index": 0, "delta" if stream else "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]
            return json.dumps({"id": "c1", "object": "x", "choices": choices, "usage": {**USAGE, member: count}}).encode()

        answer, entry = entry_of(served, {**CHAT, "stream": stream, "stream_options": {"include_usage": True}} if stream else CHAT)
        assert answer.status_code == 200
        assert (entry["outcome"], entry["deployment"], entry["tokens"]["estimated"]) == ("completed", "one", True)
        assert 0 < entry["tokens"]["input"] < 100
        assert 0 < entry["tokens"]["output"] < 100
    assert stored(served, "SELECT * FROM ledger_quarantine") == []


def pending(served):
    return float(re.search(r"\ngreenlane_ledger_pending (\S+)", httpx.get(f"{served.base}/metrics", timeout=60).text)[1])


def test_entries_wait_while_the_stores_file_is_gone_and_go_in_when_it_is_back(proxy, upstream, caplog):
    """SQLite goes on writing to a file that was moved or deleted: nobody would find the rows again."""
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    entry_of(served)
    file, aside = served.folder / "ledger.db", served.folder / "moved.db"
    file.rename(aside)
    asked = [ask(served, CHAT).headers["x-greenlane-id"] for _ in range(3)]
    served.entries(0)
    assert pending(served) == 3
    aside.rename(file)
    assert [served.entry(each)["id"] for each in asked] == asked
    assert stored(served, "SELECT count(*) FROM ledger") == [(4,)]
    assert [text.partition(" (")[0] for text in caplog.messages if "wait in the spool" in text] == ["ledger: SQLITE_READONLY_DBMOVED"]


def test_a_deleted_store_is_made_anew_at_the_next_start_with_all_that_waited(proxy, upstream):
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    entry_of(served)
    for each in served.folder.glob("ledger.db*"):
        each.unlink()
    asked = {ask(served, CHAT).headers["x-greenlane-id"] for _ in range(3)}
    served.close()
    with contextlib.closing(Spool.open_existing(served.folder / "spool")) as spool:
        assert spool.pending == 3
        found = "".join(record.decode(errors="replace") for record in spool.read(10))
    assert all(each in found for each in asked)


def test_a_proxy_whose_spool_is_full_says_so_once_and_is_not_ready(proxy, upstream, entry, caplog, monkeypatch):
    monkeypatch.setattr("proxy.store.engine.BUSY_TIMEOUT_S", 0.01)
    served = proxy(TWINS.format(url=upstream().url, policy="green"))
    entry_of(served)
    with contextlib.closing(sqlite3.connect(served.folder / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        row = written(entry())[1]
        served.call(lambda runtime: [runtime.spool.append(row) for _ in iter(lambda: runtime.spool.nearly_full, True)])
        refused = ask(served, CHAT)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        ready = httpx.get(f"{served.base}/health/ready", timeout=60)
        assert (ready.status_code, ready.json()["reason"]) == (503, "the ledger's spool is full: its store takes no entries")
        served.entries(0)
        assert {ask(served, CHAT).status_code for _ in range(5)} == {503}
        served.entries(0)
        other.execute("ROLLBACK")
    served.entries(2)
    assert pending(served) == 0
    assert httpx.get(f"{served.base}/health/ready", timeout=60).status_code == 200
    assert ask(served, CHAT).status_code == 200
    told = [text for text in caplog.messages if "the spool is full" in text]
    assert len(told) == 1
    assert "new requests are refused" in told[0]
