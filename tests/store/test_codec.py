"""An entry is written as a row and a context, and read as it was."""

from __future__ import annotations

import msgspec
import pytest

from proxy.records import Attempt, Carbon, Context, Counterfactual, CrossCheck, Detail, Inputs, Row, Tokens
from proxy.store.codec import CONTEXT, ROW, UndecodableError, checked, encode, encode_into, identified, joined, parameters, text
from proxy.store.tables import contexts, ledger
from tests.store.entries import SE, parts, written


def read_back(entry):
    context, row = map(checked, written(entry))
    return joined(row, context)


def test_an_entry_comes_back_the_same(entry):
    assert read_back(entry()) == entry()


def test_so_does_all_that_few_entries_have(entry):
    """Every member another value, so that none is read for another."""
    full = entry(
        error="upstream_error",
        tokens=Tokens(input=100, cached=20, cache_write=30, output=300, reasoning=40, estimated=True, searches=2),
        warnings=("tokens_estimated",),
        response_id="resp_1",
        provider_report={"energy_kwh": 1.5, "grid": "SE"},
        cross_check=CrossCheck(method="flops_roofline", energy_j=9.5),
        avoided_g=5.0,
        avoided_low_g=4.0,
        avoided_high_g=6.0,
        avoided_marginal_g=7.0,
        counterfactual=Counterfactual(
            deployment="vllm-us", model="qwen3-32b", profile={"gpu": "A100"}, intensity=SE, marginal=None, output_tokens=50
        ),
        router_j=0.002,
        router_g=1e-7,
        holdout="free",
        marginal=msgspec.structs.replace(SE, g_per_kwh=33.0),
        decode_s=1.25,
        paced_by="streams",
        batch=3.5,
        spec_version="6",
    )
    assert [name for name in full.__struct_fields__ if getattr(full, name) is None] == []
    assert read_back(full) == full


def test_what_is_unknown_comes_back_unknown(entry):
    unknown = entry(tokens=Tokens(), carbon=Carbon(), forecast=None, cost_usd=None, team=None, profile=None, attempts=(), request_id="gl-1")
    assert read_back(unknown) == unknown


def test_the_ordinary_attempt_and_id_are_not_written_twice(entry):
    context, row = parts(entry(request_id="gl-1", forecast=None, ignored=()))
    ordinary = msgspec.structs.replace(row, detail=None, attempts=1)
    found = joined(ordinary, context)
    assert found.attempts == (Attempt(deployment="vllm-eu", status=200, kind="ok", seconds_s=1.2),)
    assert found.request_id == "gl-1"


def test_order_and_rejected_are_in_the_context_or_in_the_row(entry):
    context, row = parts(entry())
    shared = msgspec.structs.replace(context, inputs=text(Inputs()))
    own = msgspec.structs.replace(row, detail=text(Detail(order=("b", "a"), rejected=(("c", "full"),))))
    found = joined(own, shared)
    assert (found.order, found.rejected) == (("b", "a"), (("c", "full"),))


def test_a_row_without_its_context_still_has_its_figures(entry):
    _, row = parts(entry())
    found = joined(row, None)
    assert (found.carbon.carbon_g, found.tokens.output, found.model, found.carbon.method) == (0.03, 300, None, "none")


def test_a_context_has_the_id_of_its_content(entry):
    first, again, other = (parts(entry(**changes))[0] for changes in ({}, {"id": "gl-2"}, {"order": ("vllm-eu", "vllm-us")}))
    assert first.id == again.id != other.id
    assert identified(msgspec.structs.replace(first, id=7)).id == first.id
    assert -(2**63) <= first.id < 2**63


def test_the_columns_are_in_the_order_of_the_structs():
    assert tuple(ledger.columns.keys()) == Row.__struct_fields__
    assert tuple(contexts.columns.keys()) == Context.__struct_fields__


def test_records_tell_what_they_are(entry):
    context, row = written(entry())
    assert context.startswith(CONTEXT)
    assert row.startswith(ROW)


def test_rows_are_written_into_one_buffer_one_after_the_other(entry):
    _, row = parts(entry())
    buffer = bytearray(b"of a longer one before" * 100)
    encode_into(row, buffer)
    assert bytes(buffer) == encode(row)


def test_the_values_of_many_rows_are_decoded_at_once(entry):
    rows = [parts(entry(id=f"gl-{i}"))[1] for i in range(3)]
    assert parameters([encode(row) for row in rows]) == tuple(value for row in rows for value in msgspec.structs.astuple(row))


def test_a_row_that_is_cut_short_is_noticed_among_others(entry):
    record = encode(parts(entry())[1])
    with pytest.raises(UndecodableError, match=r"^not 2 rows: DecodeError$"):
        parameters([record, record[:-1]])


@pytest.mark.parametrize("record", [b"", b"\x80", b"\xc1", b"\xa3abc", b"\x81\xa2id\x01", ROW + b"\xa1\xff", CONTEXT])
def test_bytes_that_are_no_record_are_refused_without_being_shown(record):
    with pytest.raises(UndecodableError, match=rf"^not a record: \w+, {len(record)} bytes$"):
        checked(record)
