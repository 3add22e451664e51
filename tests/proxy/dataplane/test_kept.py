"""Responses kept for their own team, as many as there is room for."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from proxy.dataplane.kept import Continued, Kept


def answer(number: int | str, text: str = "Hello", **more: object) -> bytes:
    content = [{"type": "output_text", "text": text}]
    item = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": content}
    return json.dumps({"id": f"resp_{number}", "status": "completed", "output": [item], **more}).encode()


def asked(**members: object) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def given(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


@pytest.fixture
def kept():
    made = Kept(1_000_000)
    made.keep("one", "north", given("Hi"), Continued(), answer(1))
    return made


def said(body: bytes) -> list[object]:
    """The texts of an input, in their order."""
    found = json.loads(body)["input"]
    return [item.get("content") if isinstance(item.get("content"), str) else item["content"][0]["text"] for item in found]


def test_a_conversation_goes_on_over_several_turns(kept):
    body, first = kept.resolved("one", asked(input="More", previous_response_id="resp_1"))
    assert (first, said(body)) == (Continued("resp_1", "north", 2), ["Hi", "Hello", "More"])
    assert "previous_response_id" not in json.loads(body)
    kept.keep("one", "south", Raw(json.dumps(json.loads(body)["input"]).encode()), first, answer(2, "Again"))
    body, second = kept.resolved("one", asked(input=[{"role": "user", "content": "Last"}], previous_response_id="resp_2"))
    assert (second, said(body)) == (Continued("resp_2", "south", 4), ["Hi", "Hello", "More", "Again", "Last"])


def test_an_item_stands_where_it_was_referred_to(kept):
    reference = {"type": "item_reference", "id": "msg_1"}
    body, continued = kept.resolved("one", asked(input=[{"role": "user", "content": "Hi"}, reference, {"role": "user", "content": "More"}]))
    assert (continued, said(body)) == (Continued(), ["Hi", "Hello", "More"])


SENT = {
    "another id": asked(input="More", previous_response_id="resp_2"),
    "no id": asked(input="More", previous_response_id=5),
    "null": asked(input="More", previous_response_id=None),
    "another item": asked(input=[{"type": "item_reference", "id": "msg_2"}]),
    "an item without an id": asked(input=[{"type": "item_reference"}]),
    "the word in a text": asked(input=[{"role": "user", "content": '"item_reference"'}]),
    "no input": asked(previous_response_id="resp_1"),
    "no list": asked(input=5, previous_response_id="resp_1"),
    "no JSON": b'{"previous_response_id":',
    "no object": b'["previous_response_id"]',
}


@pytest.mark.parametrize("case", SENT)
def test_what_is_not_known_or_not_understood_is_left_as_it_is(kept, case):
    assert kept.resolved("one", SENT[case]) == (SENT[case], Continued())


@pytest.mark.parametrize("team", ["two", None])
def test_another_team_s_are_not_there(kept, team):
    for body in (asked(input="More", previous_response_id="resp_1"), asked(input=[{"type": "item_reference", "id": "msg_1"}])):
        assert kept.resolved(team, body) == (body, Continued())


def test_the_oldest_goes_first_and_all_of_it():
    kept = Kept(40_000)
    for number in range(100):
        kept.keep(None, "north", given("x" * 500), Continued(), answer(number, "y" * 500))
        assert kept.size_bytes <= 40_000
    assert len(kept._turns) == len(kept._items) > 5
    assert kept.resolved(None, asked(input="", previous_response_id="resp_0"))[1] == Continued()
    assert kept.resolved(None, asked(input="", previous_response_id="resp_99"))[1].home == "north"
    kept.shrink(0)
    assert (kept.size_bytes, len(kept._turns), len(kept._items)) == (0, 0, 0)


def test_what_would_cost_the_others_theirs_is_not_kept():
    kept = Kept(80_000)
    kept.keep(None, "north", given("x" * 20_000), Continued(), answer(1))
    assert kept.size_bytes == 0


def test_a_conversation_that_lost_its_beginning_is_not_known(kept):
    kept.keep("one", "north", given(["…"] * 3), Continued("resp_1", "north", 2), answer(2))
    kept._drop(("one", "resp_1"))
    assert kept.resolved("one", asked(input="", previous_response_id="resp_2"))[1] == Continued()


def test_a_host_whose_answers_have_all_one_id_is_followed_all_the_same(kept):
    for turn in range(3):
        body, continued = kept.resolved("one", asked(input=f"More {turn}", previous_response_id="resp_1"))
        assert len(said(body)) == 3 + 2 * turn
        kept.keep("one", "north", Raw(json.dumps(json.loads(body)["input"]).encode()), continued, answer(1, f"Said {turn}"))
    assert len(kept._turns) == 1


def test_a_stream_s_last_events_hold_the_response(kept):
    last = b': greenlane {}\nevent: response.completed\ndata: {"type":"response.completed","response":' + answer(3, "\ndata: ") + b"}\n\n"
    kept.keep("one", "north", given("Hi"), Continued(), last)
    assert kept.resolved("one", asked(input="", previous_response_id="resp_3"))[1].items == 2


@pytest.mark.parametrize("told", [b"", b"{", b"{}", b"data: x", answer(4, status="failed"), b"event: x\ndata: {}\n\n"])
def test_what_is_no_whole_response_is_not_kept(kept, told):
    size_bytes = kept.size_bytes
    kept.keep("one", "north", given("Hi"), Continued(), told)
    assert kept.size_bytes == size_bytes


def test_nothing_kept_is_shown(kept):
    assert "Hello" not in repr(kept)
