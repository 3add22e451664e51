"""The address of a simulation: `sim://NAME?ttft_s=0.2&tokens_per_s=80`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta

from proxy.configuration.problems import nearest


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a simulation behaves. Every member may stand in the query of its address."""

    ttft_s: Annotated[float, Meta(ge=0, le=600)] = 0.2
    """Time to the first token."""
    tokens_per_s: Annotated[float, Meta(gt=0)] = 80.0
    """Tokens after it, of one answer."""
    whole: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Share of that time an answer takes that is not streamed."""
    context_tokens: Annotated[int, Meta(ge=1)] = 131_072
    """A longer prompt is refused."""


def pace_of(base_url: str) -> Pace:
    """What the query of a `sim://` address says. ValueError tells what is wrong with it."""
    query = parse_qsl(urlsplit(base_url).query, keep_blank_values=True)
    known = {field.name for field in msgspec.structs.fields(Pace)}
    for name, _ in query:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"{name!r} is not a setting of a simulation" + (f" (did you mean {near}?)" if near else ""))
    try:
        return msgspec.convert(dict(query), Pace, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"a setting of the simulation is wrong: {error}") from error
