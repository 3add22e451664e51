"""An entry taken apart as the data plane writes it."""

from __future__ import annotations

import msgspec

from proxy.records import Context, Detail, Inputs, Row
from proxy.store.codec import encode, identified, text


def parts(entry):
    """Its context and its row."""
    carbon, tokens, intensity = entry.carbon, entry.tokens, entry.carbon.intensity
    inputs = Inputs(intensity=intensity, profile=entry.profile, order=entry.order, rejected=entry.rejected, warnings=entry.warnings)
    context = Context(
        0,
        *(entry.api, entry.stream, entry.model_requested, entry.model, entry.deployment, entry.policy, entry.reason),
        *(carbon.method, carbon.confidence),
        *((None, None) if intensity is None else (intensity.zone, intensity.g_per_kwh)),
        *(entry.config_version, entry.data_version, entry.software_version, text(inputs)),
    )
    context = identified(context)
    forecast = entry.forecast and msgspec.structs.replace(entry.forecast, intensity=None)
    detail = Detail(
        attempts=entry.attempts or None,
        estimated=tokens.estimated,
        forecast=forecast,
        ignored=entry.ignored,
        provider_report=entry.provider_report,
    )
    row = Row(
        *(entry.id, entry.at_s, context.id, entry.team, entry.key, entry.task, entry.outcome, entry.status, entry.error),
        *(tokens.input, tokens.cached, tokens.cache_write, tokens.output, tokens.reasoning),
        *(carbon.energy_j, carbon.energy_low_j, carbon.energy_high_j, carbon.carbon_g, carbon.carbon_low_g, carbon.carbon_high_g),
        *(entry.cost_usd, entry.duration_s, entry.ttft_s, entry.overhead_s, len(entry.attempts)),
        entry.attempts[-1].seconds_s if entry.attempts else None,
        *(None if entry.request_id == entry.id else entry.request_id, entry.upstream_id, entry.response_id),
        None if detail == Detail() else text(detail),
    )
    return context, row


def written(*entries):
    """Their records."""
    return [encode(part) for entry in entries for part in parts(entry)]
