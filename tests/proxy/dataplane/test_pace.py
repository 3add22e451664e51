"""How long an answer was written: its own stream says, or the time it took, or the streams before it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from carbon.bands import Band
from carbon.roofline import Form
from carbon.runtime import Pace, RuntimePower
from proxy.dataplane.pace import Written, written
from proxy.records import Tokens

RUNTIME = RuntimePower(slot_w=10.0, machine_w=100.0, prompt=Form(0.0, 0.0, 1.0), band=Band(0.5, 2.0))
"""Reads a token of a prompt in 1 J, which is 0.01 s."""
HI = Tokens(input=100, output=11)
"""1 s of reading, ten gaps."""


def told(ending="streamed", tokens=HI, *, first_s=2.0, held_up=False, pace=None, now_s=3.0, choices=1, **members):
    """Of an answer sent at second 1; `pace` is what the deployment's streams showed at second 0."""
    peer = SimpleNamespace(pace=Pace())
    if pace is not None:
        peer.pace.seen(pace, 0.0)
    call = SimpleNamespace(ask=SimpleNamespace(choices=choices), members=members)
    tried = SimpleNamespace(peer=peer, started_s=1.0, result=SimpleNamespace(ending=ending, first_s=first_s, held_up=held_up))
    return written(call, tried, RUNTIME, tokens, now_s), peer.pace.at(now_s)


def about(found, seconds_s, by):
    return found is not None and found == Written(pytest.approx(seconds_s), by)


def test_a_stream_tells_it_itself_and_for_those_that_follow():
    found, pace = told()
    assert about(found, 1.0, "stream")
    assert pace == pytest.approx(0.1)


def test_one_that_is_over_at_once_tells_the_others_nothing():
    found, pace = told(now_s=2.02)
    assert about(found, 0.02, "stream")
    assert pace is None


def test_one_that_its_client_held_up_went_at_the_pace_of_the_others():
    assert told(held_up=True) == (None, None)
    found, pace = told(held_up=True, pace=0.05)
    assert about(found, 0.5, "streams")
    assert pace == 0.05
    # no slower than it came
    assert told(held_up=True, pace=0.2)[0] is None


def test_a_whole_answer_was_written_in_its_time_less_its_prompts():
    assert about(told("whole")[0], 1.0, "answer")
    # out of the cache a token costs a fiftieth
    assert about(told("whole", Tokens(input=100, cached=50, output=11), now_s=3.5)[0], 1.99, "answer")
    assert about(told("whole", pace=0.05)[0], 0.5, "streams")
    assert about(told("whole", pace=0.2)[0], 1.0, "answer")
    assert told("whole")[1] is None


@pytest.mark.parametrize(
    "case",
    [
        {"ending": "truncated"},
        {"ending": "gone"},
        {"ending": "streamed", "first_s": None},
        {"tokens": Tokens(input=None, output=11)},
        {"tokens": Tokens(input=100, output=None)},
        {"tokens": Tokens(input=100, output=7)},
        {"choices": 2},
        {"best_of": b"3"},
        {"prompt": b'["a","b"]'},
    ],
    ids=str,
)
def test_nothing_tells_it(case):
    assert told(**case)[0] is None


def test_eight_tokens_are_enough_and_one_prompt_is_one():
    assert about(told(tokens=Tokens(input=100, output=8))[0], 1.0, "stream")
    assert about(told(prompt=b'"[a"')[0], 1.0, "stream")
