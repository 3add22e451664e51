"""Estimates on request: a figure without routing anything, or of a prompt that goes through the fleet; kept, and read again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from litestar import Controller, Request, Response, post, route
from litestar.params import FromPath

from carbon.shipped import DATA_VERSION, SPEC_VERSION
from proxy import __version__
from proxy.access import Grant
from proxy.controlplane.access import grant_of, needs_key
from proxy.controlplane.estimating import Asked, asked, messages, simulated
from proxy.controlplane.explaining import chain, facts, inputs_of
from proxy.controlplane.query import query_of
from proxy.controlplane.state import Plane
from proxy.errors import Refusal
from proxy.records import Carbon, Entry, Estimate, EstimateInputs, Tokens, sample_of
from proxy.store.ledger import StoreUnavailableError

DEADLINE_S = 8.0
"""For one word with the store: longer than SQLite waits for another writer, shorter than clients do."""
MOST, USUAL = 100, 20
"""Estimates in one answer."""
_LATER = b"retry-after: 5\r\n"
_PASSED_ON = ("retry-after", "x-should-retry")
T = TypeVar("T")


class Estimates(Controller):
    """A key reads its own team's estimates only."""

    path = "/"
    guards = [needs_key]  # noqa: RUF012 - Litestar's own attribute

    @post(["/estimate", "/v1/greenlane/estimate"])
    async def make(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """Estimate what a prompt, or so many tokens, would take on a model; with `mode: run` send it and account it."""
        plane: Plane = request.app.state.plane
        grant = grant_of(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("", "application/json") and not kind.endswith("+json"):
            raise Refusal(415, "unsupported_media_type", "The body must be sent as application/json.")
        found = asked(plane.inflated(await request.body(), request.headers.get("content-encoding", "")))
        if found.mode == "run":
            return await _run(plane, request, found, grant)
        made = _simulated(plane, found, grant)
        await _within(plane.estimates.keep(made))
        return _created(shown(made))

    @route(["/estimates", "/v1/greenlane/estimates"], http_method=["GET", "HEAD"])
    async def latest(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """List the latest, newest first: `limit`, and `before`, the id of one that was listed last."""
        plane: Plane = request.app.state.plane
        team = grant_of(request).team
        query = query_of(request, "limit", "before")
        limit, before = _limit(query.get("limit")), query.get("before")
        last = None if before is None else await _within(plane.estimates.get(before, team))
        if before is not None and last is None:
            raise Refusal(400, None, "`before` must be the id of an estimate.", param="before")
        found = await _within(plane.estimates.latest(limit + 1, last, team))
        return {"object": "list", "data": [_figures(each) for each in found[:limit]], "has_more": len(found) > limit}

    @route(["/estimates/{estimate_id:str}", "/v1/greenlane/estimates/{estimate_id:str}"], http_method=["GET", "HEAD"])
    async def one(self, request: Request[Any, Any, Any], estimate_id: FromPath[str]) -> dict[str, Any]:
        """Show one with the chain of its figures."""
        plane: Plane = request.app.state.plane
        found = await _within(plane.estimates.get(estimate_id, grant_of(request).team))
        if found is None:
            raise Refusal(404, "not_found", "There is no such estimate, or it is another team's.")
        return shown(found)


def shown(made: Estimate) -> dict[str, Any]:
    """An estimate as JSON, with how it came about."""
    tokens = Tokens(input=made.input_tokens, cached=made.cached_tokens, output=made.output_tokens, estimated=made.tokens_estimated)
    account = Carbon(**{name: getattr(made, name) for name in _ACCOUNT})
    explanation = chain(facts(account, tokens, made.inputs, made.data_version, made.at_s))
    explanation["assumptions"] = [*(msgspec.to_builtins(each) for each in made.inputs.taken), *explanation["assumptions"]]
    return {**_figures(made), "explanation": explanation}


def _figures(made: Estimate) -> dict[str, Any]:
    sample = made.inputs.intensity
    return {
        "object": "greenlane.estimate",
        "id": made.id,
        "at": datetime.fromtimestamp(made.at_s, UTC).isoformat().replace("+00:00", "Z"),
        **{name: getattr(made, name) for name in ("team", "key", "mode", "model", "provider", "deployment", "entry", "note")},
        "tokens": {
            "input": made.input_tokens,
            "cached": made.cached_tokens,
            "output": made.output_tokens,
            "estimated": made.tokens_estimated,
        },
        "inference_ms": made.inference_ms,
        "zone": made.zone,
        "account": {
            **{name: getattr(made, name) for name in _ACCOUNT},
            "energy_wh": None if made.energy_j is None else made.energy_j / 3600,
            "intensity": None if sample is None else msgspec.to_builtins(sample),
        },
        **{name: getattr(made, name) for name in ("config_version", "data_version", "software_version")},
    }


_ACCOUNT = (
    *("energy_j", "energy_low_j", "energy_high_j"),
    *("carbon_g", "carbon_low_g", "carbon_high_g"),
    *("method", "confidence"),
)


def _simulated(plane: Plane, found: Asked, grant: Grant) -> Estimate:
    snapshot = plane.snapshot()
    prompt_tokens = None if found.prompt is None else plane.tokens(found.prompt.encode())
    made = simulated(found, prompt_tokens, snapshot, plane.grids.table(), grant)
    footprint, intensity = made.footprint, made.footprint.intensity
    return Estimate(
        **_named(found, grant),
        deployment=made.basis.deployment,
        entry=None,
        input_tokens=made.work.input_tokens,
        cached_tokens=None,
        output_tokens=made.work.output_tokens,
        tokens_estimated=made.work.estimated,
        **{name: getattr(footprint, name) for name in _ACCOUNT},
        zone=None if intensity is None else intensity.zone,
        intensity_g_per_kwh=None if intensity is None else intensity.g_per_kwh,
        config_version=snapshot.version,
        data_version=DATA_VERSION,
        software_version=__version__,
        inputs=EstimateInputs(
            profile=made.basis.profile,
            intensity=None if intensity is None else sample_of(intensity),
            decode_s=made.work.decode_s,
            spec_version=SPEC_VERSION,
            warnings=footprint.warnings,
            taken=made.taken,
        ),
    )


async def _run(plane: Plane, request: Request[Any, Any, Any], found: Asked, grant: Grant) -> Response[Any]:
    """The ordinary journey of an ordinary chat completion; its figures are those of its entry."""
    await _within(plane.estimates.reachable())  # before anything is spent on what could not be kept
    reply = await plane.chat(request.scope["greenlane"], msgspec.json.encode(messages(found)))  # type: ignore[typeddict-item]
    if reply is None:
        raise Refusal(502, "upstream_error", "The upstream broke its answer off.")
    if reply.status != 200:
        headers = {name: value for name, value in reply.headers.items() if name in _PASSED_ON}
        return Response(reply.body, status_code=reply.status, headers=headers, media_type="application/json")
    entry_id = reply.headers["x-greenlane-id"]
    await plane.written()
    entry = await _within(plane.ledger.get(entry_id, grant.team))
    if entry is None:
        raise Refusal(503, "unavailable", f"The run's entry {entry_id} is not in the ledger's store yet.", headers=_LATER)
    made = _of_run(found, grant, entry)
    await _within(plane.estimates.keep(made))
    return _created({**shown(made), "response": msgspec.Raw(reply.body)})


def _of_run(found: Asked, grant: Grant, entry: Entry) -> Estimate:
    carbon, tokens, sample = entry.carbon, entry.tokens, entry.carbon.intensity
    return Estimate(
        **_named(found, grant),
        deployment=entry.deployment,
        entry=entry.id,
        input_tokens=tokens.input,
        cached_tokens=tokens.cached,
        output_tokens=tokens.output,
        tokens_estimated=tokens.estimated,
        **{name: getattr(carbon, name) for name in _ACCOUNT},
        zone=None if sample is None else sample.zone,
        intensity_g_per_kwh=None if sample is None else sample.g_per_kwh,
        config_version=entry.config_version,
        data_version=entry.data_version,
        software_version=entry.software_version,
        inputs=inputs_of(entry),
    )


def _named(found: Asked, grant: Grant) -> dict[str, Any]:
    """Whose it is and what was asked; ids rise with time."""
    at_s = time.time()
    return {
        "id": f"est-{int(at_s * 1000):012x}{os.urandom(5).hex()}",
        "at_s": at_s,
        "team": grant.team,
        "key": grant.key,
        "mode": found.mode,
        "model": found.model,
        "provider": found.provider,
        "note": found.note,
        "inference_ms": found.inference_ms,
    }


def _created(body: dict[str, Any]) -> Response[Any]:
    location = {"location": f"/estimates/{body['id']}"}
    return Response(msgspec.json.encode(body), status_code=201, headers=location, media_type="application/json")


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST):
        raise Refusal(400, None, f"`limit` must be a whole number from 1 to {MOST}.", param="limit")
    return int(text)


async def _within(work: Coroutine[Any, Any, T]) -> T:
    """What the store says in time. Raises Refusal 503."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await work
    except (StoreUnavailableError, TimeoutError):
        raise Refusal(503, "unavailable", "The ledger's store cannot be used at the moment.", headers=_LATER) from None
