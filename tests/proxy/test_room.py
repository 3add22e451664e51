"""`concurrency` holds for whoever comes because another deployment failed, too: there may be many at once then."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import threading
import time

import pytest

from proxy.metered import Ended, Feed
from tests.harness import ask, completion, until

FLEET = """
breaker: {{failures: 1000}}
policies: {{p: {{objective: cheapest}}}}
policy: p
deployments:
  first: {{model: small, base_url: "{first}", usd_per_mtok: {{input: 1}}}}
  second: {{model: small, base_url: "{second}", usd_per_mtok: {{input: 2}}, concurrency: 2}}
"""
THIRD = '  third: {{model: small, base_url: "{third}", usd_per_mtok: {{input: 3}}}}\n'
MANY = 8


class Counting:
    """A host that counts how many it has at once, and keeps them until it is let."""

    def __init__(self):
        self.let, self.lock, self.now, self.most = threading.Event(), threading.Lock(), 0, 0

    def __call__(self, received, handler):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.let.wait(60)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        completion(received, handler)


@pytest.fixture
def broken(upstream):
    """A host that takes what comes, and answers nothing once all are there."""
    together = threading.Barrier(MANY)

    def breaks(received, handler):
        together.wait(60)
        raise ConnectionResetError

    return upstream(breaks)


@pytest.mark.parametrize("stream", [False, True])
def test_those_who_come_from_a_deployment_that_failed_wait_for_a_place(proxy, upstream, broken, stream):
    host = Counting()
    served = proxy(FLEET.format(first=broken.url, second=upstream(host).url))
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
        answers = [pool.submit(ask, served, body) for _ in range(MANY)]
        until(lambda: host.now == 2)
        until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == MANY - 2)
        host.let.set()
        found = [each.result() for each in answers]
    assert [each.status_code for each in found] == [200] * MANY
    assert {(each.headers["x-greenlane-deployment"], each.headers["x-greenlane-reason"]) for each in found} == {("second", "fallback")}
    assert host.most == 2
    assert served.call(lambda runtime: [peer.inflight for peer in runtime.plane.peers.values()]) == [0, 0]


def test_they_go_elsewhere_first_where_there_is_another(proxy, upstream, broken):
    host = Counting()
    text = FLEET + THIRD
    served = proxy(text.format(first=broken.url, second=upstream(host).url, third=upstream().url))
    with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
        answers = [pool.submit(ask, served) for _ in range(MANY)]
        until(lambda: sum(each.done() for each in answers) == MANY - 2)
        host.let.set()
        taken = [each.result().headers["x-greenlane-deployment"] for each in answers]
    assert (taken.count("second"), taken.count("third")) == (2, MANY - 2)
    assert host.most == 2


def test_a_client_that_leaves_while_it_waits_is_not_sent_there(proxy, upstream):
    breaks_now = threading.Event()

    def breaks(received, handler):
        breaks_now.wait(60)
        raise ConnectionResetError

    host, first = Counting(), upstream(breaks)
    second = upstream(host)
    served = proxy(FLEET.format(first=first.url, second=second.url).replace("concurrency: 2", "concurrency: 2, privacy: local"))
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{served.port}\r\ncontent-type: application/json\r\n"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as leaving:
            leaving.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            until(lambda: first.requests)
            inside = [pool.submit(ask, served, x_greenlane_privacy="local") for _ in range(2)]
            until(lambda: host.now == 2)
            breaks_now.set()
            until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == 1)
        until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == 0)
        host.let.set()
        assert [each.result().status_code for each in inside] == [200, 200]
    assert len(second.requests) == 2
    gone = next(each for each in served.entries(3) if each.outcome == "client_gone")
    assert (gone.status, [each.deployment for each in gone.attempts]) == (499, ["first"])
    assert served.call(lambda runtime: [peer.inflight for peer in runtime.plane.peers.values()]) == [0, 0]


def breaks_at(event):
    """What a host does that takes a request and drops it then."""

    def breaks(received, handler):
        event.wait(60)
        raise ConnectionResetError

    return breaks


def test_a_place_that_became_free_before_anybody_waited_for_it_is_taken(proxy, upstream):
    first_breaks, third_breaks, host = threading.Event(), threading.Event(), Counting()
    first, second, third = upstream(breaks_at(first_breaks)), upstream(host), upstream(breaks_at(third_breaks))
    text = (FLEET + THIRD).replace("concurrency: 2", "concurrency: 1, privacy: local")
    served = proxy(text.format(first=first.url, second=second.url, third=third.url))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        comes = pool.submit(ask, served)
        until(lambda: first.requests)
        inside = pool.submit(ask, served, x_greenlane_privacy="local")
        until(lambda: host.now == 1)
        first_breaks.set()
        until(lambda: third.requests)
        host.let.set()
        assert inside.result().status_code == 200
        until(lambda: served.call(lambda runtime: runtime.plane.peers["second"].inflight) == 0)
        third_breaks.set()
        # it would wait for a minute for a place that is free
        found = comes.result(timeout=40)
    assert (found.status_code, found.headers["x-greenlane-deployment"]) == (200, "second")
    assert served.call(lambda runtime: [peer.inflight for peer in runtime.plane.peers.values()]) == [0, 0, 0]


def test_a_place_of_another_configuration_is_not_taken_for_the_one_of_that_name(proxy, upstream):
    """A reload makes two of `second`: one that is full, for those who came before it, and one that has a place."""
    first_breaks, host = threading.Event(), Counting()

    def keeps_the_first(received, handler):
        (host if len(second.requests) == 1 else completion)(received, handler)

    first, second = upstream(breaks_at(first_breaks)), upstream(keeps_the_first)
    text = FLEET.format(first=first.url, second=second.url).replace("concurrency: 2", "concurrency: 1, privacy: local, weight: 1")
    served = proxy(text)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        comes = pool.submit(ask, served)
        until(lambda: first.requests)
        inside = pool.submit(ask, served, x_greenlane_privacy="local")
        until(lambda: host.now == 1)
        before = served.call(lambda runtime: runtime.plane.peers["second"])
        first_breaks.set()
        until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == 1)
        served.write(text.replace("weight: 1", "weight: 2"))
        assert served.reload()
        assert ask(served, x_greenlane_privacy="local").status_code == 200
        assert served.call(lambda runtime: (len(runtime.plane.waiting), before.inflight)) == (1, 1)
        host.let.set()
        assert (inside.result().status_code, comes.result().status_code) == (200, 200)
    assert len(second.requests) == 3
    assert served.call(lambda runtime: [peer.inflight for peer in (before, *runtime.plane.peers.values())]) == [0, 0, 0]


def test_the_meter_of_what_failed_is_not_told_of_the_wait_behind_it(proxy, upstream):
    """The joules of that time are of whoever it served then."""
    breaks_now, host, feed = threading.Event(), Counting(), Feed()
    first = upstream(breaks_at(breaks_now))
    text = FLEET.format(first=first.url, second=upstream(host).url)
    served = proxy(text.replace("concurrency: 2", "concurrency: 1, privacy: local"))
    served.call(lambda runtime: setattr(runtime.plane.peers["first"], "meter", feed))
    body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as leaving:
            leaving.sendall(head.replace("host: x", f"host: 127.0.0.1:{served.port}").encode() + body)
            until(lambda: first.requests)
            inside = pool.submit(ask, served, x_greenlane_privacy="local")
            until(lambda: host.now == 1)
            breaks_now.set()
            until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == 1)
            waits_s = time.perf_counter()
        until(lambda: any(isinstance(each, Ended) for each in feed.events))
        host.let.set()
        assert inside.result().status_code == 200
    began, ended = feed.events
    assert (began.id, began.at_s) == (ended.id, ended.sent_s)
    assert ended.last_s <= waits_s
