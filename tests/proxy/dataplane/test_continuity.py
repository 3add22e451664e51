"""Who made a response: from memory while it is there, else from the ledger, and never another team's."""

from __future__ import annotations

import asyncio

import pytest

from proxy.dataplane import continuity
from proxy.dataplane.continuity import Continuity
from proxy.errors import Refusal


class Ledger:
    """Knows one response and counts who asks; fails as it is told."""

    def __init__(self, fails=None):
        self.asked = []
        self._fails = fails

    async def look(self, response_id, team):
        self.asked.append((response_id, team))
        if self._fails == "silence":
            await asyncio.Event().wait()
        if self._fails is not None:
            raise self._fails
        return "south" if (response_id, team) == ("r1", "one") else None


def home(known, team, response_id):
    return asyncio.run(known.home(team, response_id))


def test_what_was_made_here_is_known_without_asking():
    ledger = Ledger(fails=OSError("gone"))
    known = Continuity(ledger.look)
    known.remember("one", "r9", "north")
    assert home(known, "one", "r9") == "north"
    assert ledger.asked == []


def test_what_was_not_is_asked_of_the_ledger():
    ledger = Ledger()
    assert home(Continuity(ledger.look), "one", "r1") == "south"
    assert ledger.asked == [("r1", "one")]


def test_another_teams_is_not_known():
    known = Continuity(Ledger().look)
    known.remember("one", "r9", "north")
    for team, response_id in ((None, "r9"), ("two", "r9"), ("two", "r1"), ("one", "r2")):
        with pytest.raises(Refusal) as refused:
            home(known, team, response_id)
        told = refused.value
        assert (told.status, told.code, told.param) == (400, "previous_response_not_found", "previous_response_id")
        assert told.message == "The previous response is not known here."


@pytest.mark.parametrize("failure", [TimeoutError(), ConnectionRefusedError(), "silence"], ids=str)
def test_a_ledger_that_does_not_answer_is_asked_again_later(monkeypatch, failure):
    """Nobody may be sent elsewhere because nobody could be asked."""
    monkeypatch.setattr(continuity, "LOOK_S", 0.01)
    with pytest.raises(Refusal) as refused:
        home(Continuity(Ledger(fails=failure).look), "one", "r1")
    assert (refused.value.status, refused.value.code, refused.value.headers) == (503, "unavailable", b"retry-after: 2\r\n")


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(continuity, "REMEMBERED", 2)
    ledger = Ledger()
    known = Continuity(ledger.look)
    for response_id in ("r1", "r2", "r3"):
        known.remember("one", response_id, "north")
    assert [home(known, "one", each) for each in ("r1", "r2", "r3")] == ["south", "north", "north"]
    assert ledger.asked == [("r1", "one")]
