"""The breaker as a script: what it is told, at which second, and whether a request may be sent then."""

from __future__ import annotations

import pytest

from proxy.dataplane.breaker import Breaker

OPENED = [("failed", 0.0), ("failed", 1.0), ("failed", 2.0)]
"""Of three failures in a row, the third at second 2; it opens for 10 s."""
SCRIPTS = {
    "nothing happened": ([], 0.0, True),
    "fewer failures than it takes": (OPENED[:2], 1.0, True),
    "as many as it takes": (OPENED, 2.0, False),
    "until the time is over": (OPENED, 11.9, False),
    "then a probe": (OPENED, 12.0, True),
    "a success between": ([*OPENED[:2], ("succeeded",), ("failed", 3.0)], 3.0, True),
    "one probe at a time": ([*OPENED, ("begin", 12.0)], 12.5, False),
    "a probe that nobody answers holds for as long again": ([*OPENED, ("begin", 12.0)], 22.0, False),
    "and no longer": ([*OPENED, ("begin", 12.0)], 22.1, True),
    "a probe that fails": ([*OPENED, ("begin", 12.0), ("failed", 13.0)], 22.9, False),
    "the next one": ([*OPENED, ("begin", 12.0), ("failed", 13.0)], 23.0, True),
    "a probe that succeeds": ([*OPENED, ("begin", 12.0), ("succeeded",)], 12.5, True),
    "after which it takes as many again": ([*OPENED, ("begin", 12.0), ("succeeded",), *OPENED[:2]], 12.5, True),
    "a probe that tells nothing": ([*OPENED, ("begin", 12.0), ("passed",)], 12.5, True),
    "which does not close it": ([*OPENED, ("begin", 12.0), ("passed",), ("begin", 12.5)], 12.6, False),
    "one that was begun while it was closed is no probe": ([("begin", 0.0), *OPENED], 12.0, True),
    "the failure that opened it was not its own": ([*OPENED, ("absolved",)], 2.0, True),
    "and counts no more": ([*OPENED, ("absolved",), ("failed", 3.0)], 3.0, False),
    "nor is more forgiven than there was": ([("absolved",), *OPENED], 2.0, False),
    "one of more than it takes": ([*OPENED, ("failed", 3.0), ("absolved",)], 3.0, False),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_whether_a_request_may_be_sent(case):
    events, at_s, allowed = SCRIPTS[case]
    breaker = Breaker(failures=3, open_s=10.0)
    for name, *args in events:
        getattr(breaker, name)(*args)
    assert breaker.allows(at_s) is allowed


def test_it_says_how_long_it_will_be():
    breaker = Breaker(failures=1, open_s=10.0)
    assert (breaker.closed, breaker.retry_after_s(5.0)) == (True, 0.0)
    breaker.failed(5.0)
    assert (breaker.closed, breaker.retry_after_s(7.0), breaker.retry_after_s(99.0)) == (False, 8.0, 0.0)
    breaker.succeeded()
    assert (breaker.closed, breaker.retry_after_s(7.0)) == (True, 0.0)


def test_it_says_its_state():
    breaker = Breaker(failures=1, open_s=10.0)
    states = [repr(breaker)]
    breaker.failed(0.0)
    states.append(repr(breaker))
    breaker.begin(10.0)
    states.append(repr(breaker))
    assert states == [
        "<Breaker closed, 0 failures in a row>",
        "<Breaker open, 1 failures in a row>",
        "<Breaker probing, 1 failures in a row>",
    ]
