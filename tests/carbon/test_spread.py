"""What of a request falls into a window: its parts over any windows that tile time are the whole, and nothing falls outside."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.attribution import Work
from carbon.spread import Life, queued_until, work_in

instants = st.floats(0, 100)
tokens = st.integers(0, 100_000).map(float)


@st.composite
def lives(draw):
    arrived_s, first_s, last_s = sorted(draw(st.tuples(instants, instants, instants)))
    if draw(st.booleans()):
        arrived_s, first_s, last_s = float(int(arrived_s)), float(int(first_s)), float(int(last_s))  # ties
    return Life(
        id="a",
        arrived_s=arrived_s,
        first_s=draw(st.none() | st.just(first_s)),
        last_s=last_s,
        input_tokens=draw(tokens),
        cached_tokens=draw(st.none() | tokens),
        output_tokens=draw(tokens),
        started_s=draw(st.none() | instants),
    )


def life(**more):
    known = {"id": "a", "arrived_s": 0.0, "first_s": 2.0, "last_s": 6.0, "input_tokens": 1000, "cached_tokens": 200, "output_tokens": 400}
    return Life(**{**known, **more})


@pytest.mark.parametrize(
    ("window", "work"),
    [
        ((0, 1), Work(id="a", prefill_tokens=400, running_s=1)),
        ((1, 3), Work(id="a", prefill_tokens=400, decode_tokens=100, decode_context=100 * 1050, decode_s=1, running_s=2)),
        ((3, 5), Work(id="a", decode_tokens=200, decode_context=200 * 1200, decode_s=2, running_s=2)),
        ((0, 6), Work(id="a", prefill_tokens=800, decode_tokens=400, decode_context=400 * 1200, decode_s=4, running_s=6)),
        ((5, 99), Work(id="a", decode_tokens=100, decode_context=100 * 1350, decode_s=1, running_s=1)),
        ((6, 7), None),
        ((-1, 0), None),
    ],
)
def test_by_hand(window, work):
    """800 uncached tokens over 0-2 s, 400 answered over 2-6 s while the context grows from 1,000 to 1,400."""
    assert work_in(life(), *window) == work


def test_time_in_the_queue_is_no_running_time():
    """It began to run at 1.5 s: the prompt was read in half a second."""
    queued = life(started_s=1.5)
    assert work_in(queued, 0, 1) is None
    assert work_in(queued, 1, 2) == Work(id="a", prefill_tokens=800, running_s=0.5)


def test_an_answer_that_came_whole_is_spread_over_all_of_its_time():
    assert work_in(life(first_s=None), 0, 3) == Work(
        id="a", prefill_tokens=400, decode_tokens=200, decode_context=200 * 1100, decode_s=3, running_s=3
    )


def test_what_happens_in_an_instant_is_in_one_window():
    """One token: the prompt over 0-2 s, the answer at 2 s."""
    one = life(last_s=2.0, output_tokens=1)
    assert work_in(one, 0, 2) == Work(id="a", prefill_tokens=800, running_s=2)
    assert work_in(one, 2, 4) == Work(id="a", decode_tokens=1, decode_context=1000.5, running_s=0)


@pytest.mark.parametrize("more", [{"first_s": 9.0}, {"first_s": -1.0}, {"last_s": -5.0}, {"cached_tokens": 5000}, {"started_s": 50.0}])
def test_clocks_that_disagree_make_nothing_negative_and_lose_no_answer(more):
    odd = life(**more)
    parts = [part for k in range(-10, 60) if (part := work_in(odd, k, k + 1))]
    assert math.fsum(part.decode_tokens for part in parts) == pytest.approx(400)
    assert all(min(part.prefill_tokens, part.decode_tokens, part.decode_context, part.running_s) >= 0 for part in parts)


@given(life=lives(), cuts=st.lists(instants, max_size=12))
def test_windows_that_tile_time_hold_the_whole_request(life, cuts):
    """Splitting a window changes nothing: its parts add up, the product of tokens and context included."""
    edges = sorted({-1.0, *cuts, 101.0})
    parts = [part for start_s, end_s in pairwise(edges) if (part := work_in(life, start_s, end_s))]
    whole = work_in(life, -1.0, 101.0)
    assert whole is not None or not parts
    for name in ("prefill_tokens", "decode_tokens", "decode_context", "decode_s", "running_s"):
        assert math.fsum(getattr(part, name) for part in parts) == pytest.approx(getattr(whole, name) if whole else 0, rel=1e-6, abs=1e-6)
        assert all(getattr(part, name) >= 0 for part in parts)
    if whole:
        assert whole.decode_tokens == pytest.approx(life.output_tokens)
        assert whole.prefill_tokens == pytest.approx(max(0, life.input_tokens - (life.cached_tokens or 0)))


@given(life=lives(), start_s=instants, length_s=st.floats(0.1, 50))
def test_a_window_elsewhere_gets_nothing(life, start_s, length_s):
    if start_s + length_s <= life.arrived_s or start_s > life.last_s:
        assert work_in(life, start_s, start_s + length_s) is None


def test_the_last_to_come_are_those_that_wait():
    """Three are without a token at 5 s and two at 6 s; the engine says that two, then one of them wait."""
    three = [life(id=name, arrived_s=t, first_s=10.0 + t, last_s=20.0) for name, t in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    early = life(id="done", arrived_s=0.0, first_s=4.0, last_s=30.0)
    assert queued_until([three[2], early, *three[:2]], [(5.0, 2.0), (6.0, 1.0), (7.0, 0.0)]) == {"b": 5.0, "c": 6.0}


def test_nobody_is_made_to_wait_by_the_queue_of_others():
    assert queued_until([life(arrived_s=0.0, first_s=2.0)], [(3.0, 7.0), (-1.0, 7.0)]) == {}
