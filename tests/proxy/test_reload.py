"""A configuration that changes while requests run: taken in whole or not at all, and nobody who is under way notices."""

from __future__ import annotations

import signal
import threading

import httpx
import pytest

from tests.harness import Process, Served, Upstream, ask, chunk, said, until

ONE = """
deployments:
  {name}: {{model: small, base_url: "{url}", privacy: local, zone: {zone}}}
"""


def serves(served):
    return ask(served).headers.get("x-greenlane-deployment")


def test_a_changed_file_is_taken_in(proxy, upstream):
    host = upstream()
    served = proxy(ONE.format(name="before", url=host.url, zone="SE"))
    assert serves(served) == "before"
    served.write(ONE.format(name="after", url=host.url, zone="PL"))
    until(lambda: serves(served) == "after")
    assert ask(served).headers["x-carbon-zone"] == "POL"


WRONG = {
    "not YAML": "deployments: [",
    "unknown setting": "deployments: {}\nnonsense: 1\n",
    "unknown zone": ONE.format(name="after", url="http://127.0.0.1:1/v1", zone="Atlantis"),
    "unknown policy": ONE.format(name="after", url="http://127.0.0.1:1/v1", zone="SE") + "policy: nope\n",
    "secret that is not there": 'deployments: {x: {model: small, base_url: "http://127.0.0.1:1", api_key: env:RELOAD_ABSENT}}\n',
    "certificate that is not there": 'deployments: {x: {model: small, base_url: "https://127.0.0.1:1", tls: {ca_file: /none/ca.pem}}}\n',
    "empty": "",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    host = Upstream()
    made = Served(ONE.format(name="before", url=host.url, zone="SE"), tmp_path_factory.mktemp("reload") / "proxy")
    made.text = ONE.format(name="before", url=host.url, zone="SE")
    yield made
    made.close()
    host.close()


@pytest.mark.parametrize("case", WRONG)
def test_of_a_wrong_file_nothing_is_taken_in(good, case, caplog):
    good.write(WRONG[case])
    assert good.reload() is False
    assert "last good" in caplog.text
    assert serves(good) == "before"
    good.write(good.text)
    assert good.reload() is True


def test_keys_cannot_be_taken_away_where_others_can_reach_the_proxy(good, caplog):
    good.call(lambda runtime: setattr(runtime, "_host", "0.0.0.0"))
    try:
        assert good.reload() is False
        assert "without keys" in caplog.text
    finally:
        good.call(lambda runtime: setattr(runtime, "_host", "127.0.0.1"))
    assert good.reload() is True


def test_a_change_right_after_a_wrong_one_is_taken_in(proxy, upstream, caplog):
    """Nothing in a wrong file ends the looking for changes, and none is missed."""
    host = upstream()
    served = proxy(ONE.format(name="before", url=host.url, zone="SE"))
    served.write(WRONG["certificate that is not there"])
    until(lambda: "last good" in caplog.text)
    served.write(ONE.format(name="after", url=host.url, zone="PL"))
    until(lambda: serves(served) == "after")


def test_a_file_that_is_gone_changes_nothing(good):
    good.path.unlink()
    assert good.reload() is False
    assert serves(good) == "before"
    good.write(good.text)
    assert good.reload() is True


def test_a_stream_under_way_ends_under_the_configuration_it_began_with(proxy, upstream):
    """Two reloads later too; its entry names the old one, while new requests are served by the new."""
    old, new = upstream(), upstream()
    let = threading.Event()

    def paused(received, handler):
        if not received.json.get("stream"):
            handler.reply(500, {})
            return

        def pieces():
            yield chunk({"role": "assistant", "content": "Hel"})
            let.wait(60)
            yield from said(["lo"])[1:]

        handler.events(pieces())

    old.answer = paused
    served = proxy(ONE.format(name="old", url=old.url, zone="SE") + "policies: {mine: {}}\npolicy: mine\n")
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx.Client(timeout=60, verify=False) as client, client.stream("POST", f"{served.url}/chat/completions", json=body) as stream:
        lines = stream.iter_lines()
        assert "Hel" in next(lines)
        for zone in ("PL", "DE"):
            served.write(ONE.format(name="new", url=new.url, zone=zone))
            assert served.reload()
            assert serves(served) == "new"
        let.set()
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert '"deployment":"old"' in rest[-2]
    entry = next(entry for entry in served.entries(3) if entry.deployment == "old")
    assert (entry.policy, entry.outcome, entry.carbon.intensity.zone) == ("mine", "completed", "SWE")
    assert {entry.config_version for entry in served.entries(3)} == {entry.config_version for entry in served.entries(3)}
    assert len({entry.config_version for entry in served.entries(3)}) == 3


def test_a_request_that_waits_for_a_place_is_served_although_its_deployment_left_the_file(proxy, upstream):
    """It began under a configuration of three reloads ago."""
    old, new = upstream(), upstream()
    let = threading.Event()
    quick = old.answer

    def slow(received, handler):
        let.wait(60)
        quick(received, handler)

    old.answer = slow
    served = proxy(ONE.format(name="old", url=old.url, zone="SE").replace("privacy: local", "privacy: local, concurrency: 1"))
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(ask(served))) for _ in range(2)]
    for asker in askers:
        asker.start()
    until(lambda: served.call(lambda runtime: len(runtime.plane.waiting)) == 1)
    for zone in ("PL", "DE", "FR"):
        served.write(ONE.format(name="new", url=new.url, zone=zone))
        assert served.reload()
    let.set()
    for asker in askers:
        asker.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.headers["x-greenlane-deployment"] for answer in answers} == {"old"}


def test_a_deployment_that_did_not_change_keeps_its_connections_and_its_breaker(proxy, upstream):
    good, bad = upstream(), upstream(lambda _, handler: handler.reply(500, {}))
    text = f"""
deployments:
  good: {{model: small, base_url: "{good.url}", privacy: local}}
  bad: {{model: other, base_url: "{bad.url}", privacy: local}}
breaker: {{failures: 1}}
"""
    served = proxy(text)
    assert ask(served, {"model": "other", "messages": []}).status_code == 502
    ask(served)
    served.write(text + "policies: {p: {objective: cheapest}}\n")
    assert served.reload()
    assert ask(served, {"model": "other", "messages": []}).status_code == 503
    ask(served)
    assert len(good.requests) == 2
    assert served.call(lambda runtime: repr(runtime.plane.peers["good"].upstream)).endswith("busy=0 idle=1>")


def test_connections_of_a_deployment_that_left_are_closed_when_the_proxy_stops(tmp_path, upstream):
    """They are kept for streams under way; a proxy that ends has none."""
    host = upstream()
    served = Served(ONE.format(name="before", url=host.url, zone="SE"), tmp_path / "proxy")
    ask(served)
    kept = served.call(lambda runtime: runtime.plane.peers["before"].upstream)
    served.write(ONE.format(name="after", url=host.url, zone="SE"))
    assert served.reload()
    served.close()
    assert "idle=0" in repr(kept)


def test_keys_and_limits_change_with_the_file(proxy, upstream, monkeypatch):
    monkeypatch.setenv("RELOAD_KEY", "sk-reload")
    base = ONE.format(name="only", url=upstream().url, zone="SE")
    served = proxy(base)
    assert ask(served).status_code == 200
    served.write(base + "teams: {t: {}}\nkeys: {k: {team: t, key: env:RELOAD_KEY}}\nlimits: {body_bytes: 200}\n")
    assert served.reload()
    assert ask(served).status_code == 401
    assert ask(served, authorization="Bearer sk-reload").status_code == 200
    large = {"model": "small", "messages": [{"role": "user", "content": "x" * 300}]}
    assert ask(served, large, authorization="Bearer sk-reload").status_code == 413


def test_sighup_reloads(tmp_path, upstream):
    host = upstream()
    process = Process(ONE.format(name="before", url=host.url, zone="SE"), tmp_path / "process")
    try:
        assert serves(process) == "before"
        process.write("nonsense: 1\n")
        process.signal(signal.SIGHUP)
        until(lambda: "nonsense" in process.err_text)
        assert serves(process) == "before"
        process.write(ONE.format(name="after", url=host.url, zone="SE"))
        process.signal(signal.SIGHUP)
        until(lambda: serves(process) == "after")
    finally:
        process.close()
