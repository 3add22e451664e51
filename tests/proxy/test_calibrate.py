"""A ledger with measured requests; `greenlane calibrate`; and the next answer of the running proxy is accounted by it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.calibration import machine_of
from carbon.profile import profile_from
from carbon.sources.static import Static
from proxy.catalogue import recalibrated
from proxy.cli import calibrating
from proxy.cli.command import run
from proxy.configuration import loads
from proxy.runtime import compiled
from proxy.store.calibrations import CalibrationStore
from proxy.store.ledger import Ledger
from tests.carbon.measurements import NOW_S, measured
from tests.carbon.test_calibration import made
from tests.harness import ask, serving
from tests.store.entries import ENTRY, written
from tests.store.test_calibrations import restated

ROOT = Path(__file__).parents[2]
FLEET = """
deployments:
  ours: {{model: small, base_url: "{url}", zone: SE, parameters_b: 8, hardware: {{gpu: H100, count: 1}}}}
  theirs: {{model: other, base_url: "{url}", zone: SE, parameters_b: 8}}
"""


def fill(served, n: int = 600, days: float = 4.0):
    """Requests of the last days, accounted by the roofline, restated by a meter later."""
    profile = served.runtime.snapshot().served["ours"].profile
    began_s = time.time() - 60
    records = [msgspec.structs.replace(each, at_s=began_s + each.at_s - NOW_S) for each in measured(n, days)]
    entries, later = [], []
    for k, each in enumerate(records):
        tokens = msgspec.structs.replace(ENTRY.tokens, input=each.input_tokens, cached=each.cached_tokens, output=each.output_tokens)
        facts = {"id": f"gl-{k}", "at_s": each.at_s, "deployment": "ours", "model": "small", "profile": profile, "tokens": tokens}
        entries.append(msgspec.structs.replace(ENTRY, **facts))
        later.append(restated(k, each.energy_j))

    async def filled():
        ledger = await Ledger.open(url(served))
        try:
            await ledger.insert_records(written(*entries))
            await ledger.restate(later)
        finally:
            await ledger.close()

    asyncio.run(filled())


def url(served) -> str:
    return f"sqlite:///{served.folder}/ledger.db"


def kept(served):
    async def read():
        ledger = await Ledger.open(url(served))
        try:
            return await CalibrationStore(ledger).of("ours")
        finally:
            await ledger.close()

    return asyncio.run(read())


def look(served) -> None:
    """The look at the store that the proxy takes every minute."""
    asyncio.run_coroutine_threadsafe(served.runtime.calibrator.look(), served.loop).result(timeout=60)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda host: FLEET.format(url=host), tmp_path_factory.mktemp("calibrate")) as made:
        fill(made)
        yield made


def test_from_measured_requests_to_a_calibrated_answer(served, capsys):
    first = ask(served).headers
    assert first["x-carbon-method"] == "flops_roofline"
    config = str(served.path)

    assert run(["calibrate", "--config", config, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["deployment", "records", "hours"]
    assert lines[1].split()[:2] == ["ours", "600"]
    assert lines[1].endswith("accepted")
    assert "not yet: nothing was measured" in lines[2]
    assert kept(served) == []

    assert run(["calibrate", "--config", config, "--deployment", "ours", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    (calibration,) = kept(served)
    assert told["calibration"]["id"] == calibration.id
    assert told["why"].startswith("better on the last day: ")

    look(served)
    answer = ask(served)
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert answer.headers["x-carbon-method"] == "calibrated"
    assert answer.headers["x-carbon-confidence"] == "medium"
    joules = calibration.terms.joules(9, 0, 3)
    assert entry["account"]["method"] == "calibrated"
    assert entry["account"]["energy_j"] == pytest.approx(joules)
    assert entry["account"]["energy_low_j"] == pytest.approx(joules * calibration.low)
    assert entry["account"]["energy_high_j"] == pytest.approx(joules * calibration.high)
    assert {**profile_from(entry["profile"]).record(), **calibration.record()} == entry["profile"]
    explained = entry["explanation"]
    assert explained["recomputed"], explained["note"]
    assert [each["method"] for each in explained["methods"]] == ["calibrated", "flops_roofline", "token_proxy"]
    assert explained["methods"][0]["formula"][-1]["result"] == pytest.approx(joules, rel=1e-4)
    assert explained["methods"][0]["high_end"][-1]["result"] == pytest.approx(joules * calibration.high, rel=1e-4)
    assert calibration.id in explained["methods"][0]["band"][0]["why"]

    before = served.entry(first["x-greenlane-id"])
    assert (before["account"]["method"], "calibration" in before["profile"]) == ("flops_roofline", False)
    page = metrics(served)
    assert 'greenlane_calibration_age_seconds{deployment="ours",model="small"}' in page

    assert run(["calibrate", "--config", config, "--deployment", "ours"]) == 0
    assert "not accepted: not better by 5 %" in capsys.readouterr().out
    assert [each.accepted for each in kept(served)] == [False, True]


def metrics(served) -> str:
    return httpx.get(f"{served.base}/metrics", timeout=10).text


@given(st.booleans(), st.sampled_from(["same", "other"]), st.sampled_from(["ours", "theirs", "nobody"]))
def test_a_calibrated_figure_comes_of_an_accepted_calibration_of_this_machine_alone(accepted, machine, name):
    config, table = loads(FLEET.format(url="http://127.0.0.1:9/v1")), Static().table()
    plain = compiled(config, table)
    profile = profile_from(plain.served["ours"].profile)
    given_one = made(accepted=accepted, machine=machine_of(profile) if machine == "same" else "other", deployment=name)
    expected = {"ours"} if (accepted, machine, name) == (True, "same", "ours") else set()
    at_once, later = compiled(config, table, {name: given_one}), recalibrated(plain, {name: given_one})
    for snapshot in (at_once, later):
        assert {each.name for each in snapshot.served.values() if each.estimator.method == "calibrated"} == expected
        assert {each.name for each in snapshot.served.values() if "calibration" in each.profile} == expected
    again = recalibrated(at_once, {})
    assert {each.estimator.method for each in again.served.values()} == {"flops_roofline"}
    assert again.served["ours"].profile == plain.served["ours"].profile


def test_it_survives_a_reload_and_a_change_of_machine_ends_it(served):
    look(served)
    assert served.reload()
    assert ask(served).headers["x-carbon-method"] == "calibrated"
    served.write(FLEET.format(url=served.host.url).replace("count: 1", "count: 2"))
    assert served.reload()
    assert ask(served).headers["x-carbon-method"] == "flops_roofline"
    served.write(FLEET.format(url=served.host.url))
    assert served.reload()
    assert ask(served).headers["x-carbon-method"] == "calibrated"


def test_the_days_drift_is_a_gauge(served):
    look(served)
    served.runtime.calibrator._drift_due_s = 0.0
    asyncio.run_coroutine_threadsafe(served.runtime.calibrator._work(), served.loop).result(timeout=60)
    (line,) = [each for each in metrics(served).splitlines() if each.startswith("greenlane_calibration_drift_ratio{")]
    assert 0.8 < float(line.split()[-1]) < 1.25


def test_the_proxy_fits_by_itself_when_it_has_been_up_for_an_hour(tmp_path_factory):
    """In a process of its own; requests meanwhile are answered, and accounted as before."""
    with serving(lambda host: FLEET.format(url=host), tmp_path_factory.mktemp("by-itself")) as one:
        fill(one)
        one.runtime.calibrator._began_s -= 3600
        asked, fit = threading.Event(), one.runtime.calibrator._fit

        async def fits(*given):
            """Its verdict is not taken before the request meanwhile was answered."""
            verdict = await fit(*given)
            assert await asyncio.to_thread(asked.wait, 60)
            return verdict

        one.runtime.calibrator._fit = fits
        fitting = asyncio.run_coroutine_threadsafe(one.runtime.calibrator._work(), one.loop)
        assert ask(one).headers["x-carbon-method"] == "flops_roofline"
        asked.set()
        fitting.result(timeout=240)
        assert ask(one).headers["x-carbon-method"] == "calibrated"
        assert [each.accepted for each in kept(one)] == [True]


def test_two_that_calibrate_at_once_bring_one_into_force(tmp_path_factory):
    """Two processes on one store: whichever comes second is refused, having been overtaken or found no better."""
    with serving(lambda host: FLEET.format(url=host), tmp_path_factory.mktemp("two")) as one:
        fill(one)
        command = [sys.executable, "-c", "from proxy.cli import main; raise SystemExit(main())", "calibrate", "--json"]
        arguments = [*command, "--deployment", "ours", "--config", str(one.path)]
        both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(2)]
        told = [json.loads(each.communicate(timeout=240)[0])[0]["calibration"] for each in both]
        assert [each.returncode for each in both] == [0, 0]
        (winner,) = [each for each in told if each["accepted"]]
        (loser,) = [each for each in told if not each["accepted"]]
        assert winner["id"] in {loser["overtaken"], loser["incumbent"]}
        assert [each.id for each in kept(one) if each.accepted] == [winner["id"]]
        look(one)
        assert one.runtime.calibrator.in_force["ours"].id == winner["id"]


def test_a_name_that_is_not_there_and_no_configuration_are_told(served, capsys, monkeypatch):
    assert run(["calibrate", "--config", str(served.path), "--deployment", "nobody"]) == 1
    assert "there are ours, theirs" in capsys.readouterr().err
    monkeypatch.delenv("GREENLANE_CONFIG", raising=False)
    assert run(["calibrate"]) == 1
    assert "--config FILE" in capsys.readouterr().err


def test_without_the_extra_it_says_which_to_install(served, capsys, monkeypatch):
    monkeypatch.setattr(calibrating, "fits_here", lambda: False)
    assert run(["calibrate", "--config", str(served.path)]) == 2
    assert "install the extra `calibration`" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_exit_2(tmp_path, capsys):
    file = tmp_path / "greenlane.yaml"
    file.write_text(
        'deployments: {a: {model: m, base_url: "http://127.0.0.1:9/v1", parameters_b: 8}}\nledger: {url: "sqlite:////nowhere/x.db"}'
    )
    assert run(["calibrate", "--config", str(file)]) == 2
    assert "unavailable" in capsys.readouterr().err
