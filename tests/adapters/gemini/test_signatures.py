"""Signatures in ids: https://ai.google.dev/gemini-api/docs/thought-signatures."""

import base64
import re

from hypothesis import given
from hypothesis import strategies as st

from adapters.gemini.signatures import call_id, derived_id, google_id, signature_of

ALLOWED = re.compile(r"\A[A-Za-z0-9_-]+\Z")
SIGNATURES = st.one_of(st.binary(min_size=1).map(lambda raw: base64.b64encode(raw).decode()), st.text(min_size=1))


def test_an_id_holds_googles_id_and_the_signature():
    assert call_id("abc", "d", None) == "call_abc"
    assert call_id(None, "d-0-0", "c2ln") == "call_d-0-0_ts0c2ln"
    assert call_id("a_b", "d", "+/8=") == "call_0x615f62_ts0-_8"
    assert call_id("a", "d", "not base64") == "call_a_ts1bm90IGJhc2U2NA"


@given(st.none() | st.text(min_size=1, max_size=40), st.none() | SIGNATURES)
def test_what_went_into_an_id_comes_out_again(told, signature):
    identifier = call_id(told, derived_id(b"seed", 0, 0), signature)
    assert ALLOWED.match(identifier)
    assert signature_of({"id": identifier}) == signature
    assert google_id(identifier) == (told or derived_id(b"seed", 0, 0))


def test_extra_content_is_believed_before_the_id():
    call = {"id": "call_a_ts0c2ln", "extra_content": {"google": {"thought_signature": "b3RoZXI="}}}
    assert signature_of(call) == "b3RoZXI="
    assert signature_of({"id": "call_a_ts0c2ln", "extra_content": {"google": {}}}) == "c2ln"
    assert signature_of({"id": "call_a_ts0c2ln", "extra_content": "?"}) == "c2ln"


@given(st.text(max_size=40))
def test_foreign_ids_carry_no_signature_and_stay_apart(identifier):
    assert signature_of({"id": "toolu_" + identifier}) is None
    assert google_id("toolu_" + identifier) == "toolu_" + identifier


def test_ids_of_ours_differ_between_answers_candidates_and_calls():
    assert len({derived_id(seed, candidate, number) for seed in (b"a", b"b") for candidate in (0, 1) for number in (0, 1)}) == 8


def test_a_damaged_id_is_an_id_without_a_signature():
    assert signature_of({"id": "call_a_ts0A"}) is None
    assert signature_of({"id": "call_a_ts1_w"}) is None
    assert google_id("call_0xzz") == "call_0xzz"
