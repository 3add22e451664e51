"""A replica's ledger with the engine's own metrics beside it: queueing, caches, strangers, drafts."""

from __future__ import annotations

import msgspec
import pytest

from carbon.attributed import Settled
from carbon.attribution import Weights
from carbon.replica import Replica
from tests.carbon.test_replica import FITTED, balanced, life, signals, told, window


def test_time_in_the_queue_is_not_charged_when_the_engine_tells_it():
    """Both came at 0; the engine says at 1 s that one waits. A ran from 0 and B from 1: of 3 and 2 seconds, idle is 60 and 40."""
    replica = Replica(FITTED, idle_w=50)
    replica.engine(0.0, signals())
    replica.engine(1.0, signals(running=1, waiting=1))
    replica.engine(2.0, signals(running=2))
    for name, began_s in (("a", 0.0), ("b", 0.1)):
        replica.began(name, began_s)
    replica.finished(life("a", 0.0, 2.5, 3.0))
    replica.finished(life("b", 0.1, 2.5, 3.0))
    found = told(replica.window(window(0, 4, 100.0)) + replica.passed(10))
    assert (found["a"].idle_j, found["b"].idle_j) == (pytest.approx(60), pytest.approx(40))


def test_the_engines_prefix_cache_tells_what_was_computed():
    """Nobody said what was cached; three quarters of the prompts were. 25 of A's 100 tokens against B's 100, told to be uncached."""
    replica = Replica(FITTED, idle_w=0)
    replica.engine(0.0, signals())
    replica.engine(3.0, signals(prompt=400, cached=300))
    replica.finished(life("a", 0.0, 1.0, 1.0, cached_tokens=None, output_tokens=0))
    replica.finished(life("b", 0.0, 1.0, 1.0, output_tokens=0))
    found = told(replica.window(window(0, 2)) + replica.passed(10))
    assert (found["a"].active_j, found["b"].active_j) == (pytest.approx(20), pytest.approx(80))
    assert found["a"].notes == ()


def test_without_the_engine_a_cache_nobody_spoke_of_is_noted():
    replica = Replica(FITTED, idle_w=0)
    replica.finished(life("a", 0.0, 1.0, 1.0, cached_tokens=None))
    assert told(replica.window(window(0, 2)) + replica.passed(10))["a"].notes == ("cached_unknown",)


def test_work_that_others_asked_for_is_not_charged_to_ours():
    """The engine ran two requests and generated 40 tokens; of ours it knows one with 10. Three quarters of the work are foreign."""
    replica = Replica(Weights(prefill_j=0.0, decode_j=1.0, context_j=0.0, source="fitted"), idle_w=0)
    replica.engine(0.0, signals(running=2))
    replica.engine(2.0, signals(running=2, prompt=100, generated=40))
    replica.finished(life("a", 0.0, 0.0, 1.99))
    effects = replica.window(window(0, 2)) + replica.passed(10)
    assert told(effects)["a"].energy_j == pytest.approx(25)
    assert [(e.unattributed_j, e.usable) for e in effects if isinstance(e, Settled)] == [(pytest.approx(75), False)]


def test_unevenness_of_ours_is_not_taken_for_others():
    """The engine counts a prompt when it has been read: more than our even spread says, but nobody else runs."""
    replica = Replica(FITTED, idle_w=0)
    replica.engine(0.0, signals(running=1))
    replica.engine(1.0, signals(running=1))
    replica.engine(2.0, signals(running=1, prompt=100, generated=1))
    replica.finished(life("a", 0.0, 2.0, 3.0))
    effects = replica.window(window(0, 1)) + replica.window(window(1, 2)) + replica.window(window(2, 4)) + replica.passed(10)
    assert told(effects)["a"].energy_j == pytest.approx(300)


def test_drafts_that_were_thrown_away_weigh_as_tokens_do():
    """10 tokens and as many rejected drafts weigh 20, the other's prompt of 100 tokens 10: A has two thirds of 90 J."""
    replica = Replica(FITTED, idle_w=0)
    replica.engine(0.0, msgspec.structs.replace(signals(), drafted_tokens=0.0, accepted_tokens=0.0))
    replica.engine(2.0, msgspec.structs.replace(signals(generated=10), drafted_tokens=30.0, accepted_tokens=20.0))
    replica.finished(life("a", 0.0, 0.0, 1.9, input_tokens=0))
    replica.finished(life("b", 0.0, 1.9, 1.9, output_tokens=0))
    found = told(replica.window(window(0, 2, 90.0)) + replica.passed(10))
    assert (found["a"].energy_j, found["b"].energy_j) == (pytest.approx(60), pytest.approx(30))
    assert found["a"].notes == ("drafts_shared",)


def test_who_ran_while_others_were_computed_again_is_less_sure():
    replica = Replica(FITTED, idle_w=0)
    for second, preempted in ((0.0, 4.0), (1.0, 4.0), (2.0, 6.0), (3.0, 6.0)):
        replica.engine(second, msgspec.structs.replace(signals(), preemptions=preempted))
    replica.finished(life("a", 0.0, 0.2, 0.9))
    replica.finished(life("b", 1.0, 1.2, 1.9))
    found = told([effect for k in range(3) for effect in replica.window(window(k, k + 1))] + list(replica.passed(10)))
    assert (found["a"].notes, found["b"].notes) == ((), ("preempted",))
    assert found["b"].band.low < found["a"].band.low


def test_a_busy_engine_teaches_no_idle_power():
    replica = Replica(FITTED)
    for k in range(12):
        replica.engine(float(k), signals(running=1, generated=10.0 * k))
        replica.window(window(k, k + 1, 500))
    replica.passed(20)
    assert replica.idle_power_w is None
    assert balanced(replica).unattributed_j > 0
