"""Why a deployment's weights are the roofline's and not fitted ones: told in its status, until they are."""

from __future__ import annotations

import pytest

from carbon.sources.static import Static
from proxy.configuration import loads
from proxy.runtime import compiled
from proxy.workers.measurement import Metered
from tests.carbon.test_fitting import windows

FLEET = """
deployments:
  here: {{model: small, base_url: "http://127.0.0.1:9/v1", zone: SE, parameters_b: 8, hardware: {{gpu: H100}}{idle},
         meter: {{host: {{root: "{root}"}}}}}}
"""


@pytest.fixture
def metered(tmp_path):
    def make(idle=", idle_w: 100"):
        served = compiled(loads(FLEET.format(root=tmp_path, idle=idle)), Static().table()).served["here"]
        return Metered(served, lambda _: None)

    return make


def told(one):
    status = one.status()
    return status.weights, status.unfitted


def test_before_the_first_fit_it_says_when_that_is(metered):
    assert told(metered()) == ("roofline", "not tried yet: the first fit is an hour after the start")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "0 stretches of 20 s of usable windows in which somebody was served; 30 are needed"),
        (windows(100), "20 stretches of 20 s of usable windows in which somebody was served; 30 are needed"),
        (windows(300, prefill_tokens=0.0), "the windows do not hold both prompts read and tokens generated"),
    ],
    ids=["none", "few", "tokens only"],
)
def test_windows_that_do_not_say_are_the_reason(metered, rows, says):
    pytest.importorskip("scipy")
    one = metered()
    one._history.extend(rows)
    assert one.fit() is None
    assert told(one) == ("roofline", says)


def test_idle_power_that_is_not_known_is_the_reason_behind_it(metered):
    one = metered(idle="")
    one.fit()
    assert told(one)[1].endswith("are needed; idle power is not known yet: no window was without requests, and `idle_w` is not stated")


def test_a_missing_extra_is_named(metered, monkeypatch):
    for name in ("scipy", "scipy.optimize"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    one = metered()
    one._history.extend(windows(300))
    one.fit()
    assert told(one) == ("roofline", "weights are fitted with scipy: install the extra `calibration`")


def test_once_they_are_fitted_there_is_none_and_a_fit_that_fails_later_leaves_them(metered):
    pytest.importorskip("scipy")
    one = metered()
    one._history.extend(windows(300))
    assert one.fit() is not None
    assert told(one) == ("fitted", None)
    one._history.clear()
    assert one.fit() is None
    assert told(one) == ("fitted", None)
