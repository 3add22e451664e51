"""The ledger's records to bytes and back: msgpack arrays, so that a batch of rows is decoded at once into one statement's parameters.

A record begins with the head of its array and its tag: `ROW` or `CONTEXT`. A later version that changes either gives it another tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from proxy.records import Attempt, Carbon, Context, Detail, Entry, Inputs, Restatement, Row, Tokens

Parameters = tuple[Any, ...]


class UndecodableError(Exception):
    """The bytes are not a record this version can read."""


ROW = b"\xdc\x00\x23\x01"
"""Of this version; one of an earlier version is shorter, has the same tag and is read by `checked`."""
_ROW_TAG = b"\x01"
CONTEXT = b"\xdc\x00\x11\x02"

_encoder = msgspec.msgpack.Encoder()
_row = msgspec.msgpack.Decoder(Row)
_context = msgspec.msgpack.Decoder(Context)
_values = msgspec.msgpack.Decoder(Parameters)
_json = msgspec.json.Encoder()
_detail = msgspec.json.Decoder(Detail)
_inputs = msgspec.json.Decoder(Inputs)
_restatement = msgspec.json.Decoder(Restatement)
_COLUMNS = len(Row.__struct_fields__)
_NOTHING = Detail()

encode = _encoder.encode
encode_into = _encoder.encode_into
"""Writes a record into a bytearray, which is then as long as the record."""


def text(value: Detail | Inputs) -> str:
    """As JSON."""
    return _json.encode(value).decode()


def identified(context: Context) -> Context:
    """The context with the id that its content makes: whoever has the same gives it the same, in any process."""
    digest = blake2b(_encoder.encode(msgspec.structs.replace(context, id=0)), digest_size=8).digest()
    return msgspec.structs.replace(context, id=int.from_bytes(digest, "big", signed=True))


def parameters(rows: Sequence[bytes]) -> Parameters:
    """The values of row records, one record's after the other's. Counted, not checked. Raises UndecodableError."""
    head = b"\xdd" + (_COLUMNS * len(rows)).to_bytes(4, "big")
    try:
        found: Parameters = _values.decode(head + b"".join([row[4:] for row in rows]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"not {len(rows)} rows: {type(error).__name__}") from error
    return found


def checked(record: bytes) -> Row | Context:
    """The record, every value of its type. Raises UndecodableError."""
    try:
        return (_row if record[3:4] == _ROW_TAG else _context).decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(f"not a record: {type(error).__name__}, {len(record)} bytes") from error


def joined(row: Row, context: Context | None) -> Entry:
    """The entry a row and its context stand for. Without the context, what is in it is unknown."""
    detail = _NOTHING if row.detail is None else _detail.decode(row.detail)
    inputs = Inputs() if context is None else _inputs.decode(context.inputs)
    forecast = detail.forecast
    return Entry(
        id=row.id,
        at_s=row.at_s,
        request_id=row.request_id or row.id,
        api="" if context is None else context.api,
        stream=context is not None and context.stream,
        team=row.team,
        key=row.key,
        model_requested=None if context is None else context.model_requested,
        model=None if context is None else context.model,
        deployment=None if context is None else context.deployment,
        policy=None if context is None else context.policy,
        task=row.task,
        reason="" if context is None else context.reason,
        outcome=row.outcome,
        status=row.status,
        error=row.error,
        attempts=_attempts(row, context, detail),
        tokens=_tokens(row, detail),
        cost_usd=row.cost_usd,
        carbon=_account(row, context, inputs),
        forecast=None if forecast is None else msgspec.structs.replace(forecast, intensity=inputs.intensity),
        duration_s=row.duration_s,
        ttft_s=row.ttft_s,
        overhead_s=row.overhead_s,
        rejected=inputs.rejected or detail.rejected or (),
        order=inputs.order or detail.order or (),
        unmet=inputs.unmet,
        ignored=detail.ignored,
        warnings=inputs.warnings,
        upstream_id=row.upstream_id,
        response_id=row.response_id,
        config_version="" if context is None else context.config_version,
        data_version="" if context is None else context.data_version,
        software_version="" if context is None else context.software_version,
        profile=inputs.profile,
        provider_report=detail.provider_report,
        cross_check=detail.cross_check,
        avoided_g=row.avoided_g,
        avoided_low_g=row.avoided_low_g,
        avoided_high_g=row.avoided_high_g,
        avoided_marginal_g=row.avoided_marginal_g,
        counterfactual=inputs.counterfactual,
        router_j=inputs.router_j,
        router_g=inputs.router_g,
        holdout=inputs.holdout,
        spec_version=inputs.spec_version,
        marginal=inputs.marginal,
        decode_s=detail.decode_s,
        paced_by=detail.paced_by,
        batch=detail.batch,
    )


def restated_row(later: Restatement) -> dict[str, Any]:
    """The columns of the table `restatements`. Raises UndecodableError for what could not be read back."""
    try:
        checked = _restatement.decode(_json.encode(later))  # what is no number is unknown then
        return {**msgspec.structs.asdict(checked), "inputs": _json.encode(checked.inputs).decode()}
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UndecodableError(f"not a restatement: {type(error).__name__}") from error


def kept_of(later: Restatement) -> bytes:
    """As much of a restatement as can be kept: all of it, or which one it is."""
    try:
        return _json.encode(later)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return f"{later.id} replaces {later.replaces}".encode("utf-8", "replace")


def restated(row: Any) -> Restatement:
    """A row of the table `restatements`."""
    values = {name: getattr(row, name) for name in Restatement.__struct_fields__}
    return Restatement(**{**values, "inputs": msgspec.json.decode(row.inputs)})


def _account(row: Row, context: Context | None, inputs: Inputs) -> Carbon:
    return Carbon(
        energy_j=row.energy_j,
        energy_low_j=row.energy_low_j,
        energy_high_j=row.energy_high_j,
        carbon_g=row.carbon_g,
        carbon_low_g=row.carbon_low_g,
        carbon_high_g=row.carbon_high_g,
        method="none" if context is None else context.method,
        confidence="none" if context is None else context.confidence,
        intensity=inputs.intensity,
    )


def _tokens(row: Row, detail: Detail) -> Tokens:
    return Tokens(
        input=row.input_tokens,
        cached=row.cached_tokens,
        cache_write=row.cache_write_tokens,
        output=row.output_tokens,
        reasoning=row.reasoning_tokens,
        estimated=detail.estimated,
        searches=detail.searches,
    )


def _attempts(row: Row, context: Context | None, detail: Detail) -> tuple[Attempt, ...]:
    if detail.attempts is not None:
        return detail.attempts
    if not row.attempts:
        return ()
    deployment = "" if context is None or context.deployment is None else context.deployment
    return (Attempt(deployment=deployment, status=row.status, kind="ok", seconds_s=row.attempt_s or 0.0),)
