"""What an estimate is asked for, and what it is made of: pure, from a configuration and its tables to a footprint."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from adapters._base import AdapterError
from adapters._json import has_duplicate, view
from carbon import shipped
from carbon.energy import Estimator, estimator
from carbon.footprint import Footprint, Workload
from carbon.intensity import Intensity, Table
from carbon.profile import EnergyProfile, Serving, moved, profile_from, profile_of
from carbon.zones import UnknownZoneError, Zone, resolve_zone
from proxy.access import Grant
from proxy.configuration.vendors import VENDORS
from proxy.errors import Refusal, no_such_model
from proxy.records import Taken
from proxy.snapshot import Served, Snapshot, adapted

MOST_TOKENS = 10**9
ALSO_CALLED = {"amazon": "aws", "google": "gcp", "microsoft": "azure"}
"""The firms, for their clouds."""
Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of an estimate."""

    model: Name
    prompt: str | None = None
    tokens_in: Count | None = None
    tokens_out: Count | None = None
    provider: Name | None = None
    inference_ms: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    note: Annotated[str, Meta(max_length=500)] | None = None
    mode: Literal["simulate", "run"] = "simulate"

    def __repr__(self) -> str:
        return f"<Asked {self.mode}>"


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """Where the work would be done, as far as figures go."""

    model: str
    deployment: str | None
    profile: dict[str, float | str | None] | None
    estimator: Estimator | None
    intensity: Intensity | None
    expected_output_tokens: int
    taken: tuple[Taken, ...] = ()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated figure."""

    basis: Basis
    work: Workload
    footprint: Footprint
    taken: tuple[Taken, ...]


def asked(body: bytes) -> Asked:
    """Raises Refusal 400, naming the member and never what is in it."""
    try:
        members = view(body)
        for name in members:
            if body.count(b'"' + name.encode() + b'"') > 1 and has_duplicate(body, name):
                raise _refused(f"`{name[:100]}` is given twice.", name[:100])
            if name not in Asked.__struct_fields__:
                raise _refused(f"`{name[:100]}` is no member of an estimate.", name[:100])
        if "model" not in members:
            raise _refused("`model` must be given.", "model")
        found = msgspec.json.decode(body, type=Asked)
    except AdapterError as error:
        raise _refused(error.message, error.param) from None
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise _told(str(error)) from None
    except msgspec.DecodeError:
        raise _refused("The body is not valid JSON.") from None
    for name in ("model", "provider", "note"):
        if "\0" in (getattr(found, name) or ""):
            raise _refused(f"`{name}` holds a NUL character.", name)
    if (found.prompt is None) == (found.tokens_in is None):
        raise _refused("Exactly one of `prompt` and `tokens_in` must be given.", "prompt")
    if found.mode == "run":
        _check_run(found)
    return found


def simulated(found: Asked, prompt_tokens: int | None, snapshot: Snapshot, table: Table, grant: Grant) -> Made:
    """The figure of a workload that nobody runs. Raises Refusal 400 and 404."""
    basis = basis_of(found, snapshot, table, grant)
    taken = list(basis.taken)
    output = found.tokens_out
    if output is None:
        output = basis.expected_output_tokens
        taken.append(Taken(name="tokens_out", value=float(output), why="none was given; the band does not cover it"))
    work = Workload(
        input_tokens=(found.tokens_in or 0) if prompt_tokens is None else prompt_tokens,
        output_tokens=output,
        estimated=prompt_tokens is not None,
        decode_s=None if found.inference_ms is None else found.inference_ms / 1000,
    )
    footprint = Footprint.of(work, basis.estimator, basis.intensity)
    if found.inference_ms is not None:
        used = footprint.method == "runtime_power"
        taken.append(
            Taken(
                name="inference_ms",
                value=found.inference_ms if used else "not used",
                why="taken as the time from the first token to the last"
                if used
                else "needs a deployment whose accelerator and batch are stated, and 1 ms to 1 s a token for 8 tokens and 30 ms or more",
            )
        )
        if not used:
            work = msgspec.structs.replace(work, decode_s=None)
    return Made(basis=basis, work=work, footprint=footprint, taken=tuple(taken))


def basis_of(found: Asked, snapshot: Snapshot, table: Table, grant: Grant) -> Basis:
    """A model or a deployment of the configuration that the key may use, else a model that the tables know."""
    own = _configured(found.model, snapshot, grant)
    if not own:
        return _by_factors(_known(found, snapshot, table), grant)
    first = own[0]
    taken: list[Taken] = []
    if found.provider is not None:
        there = [each for each in own if _is_at(each, found.provider)]
        if not there:
            return _by_factors(_elsewhere(first, _place(found.provider), table), grant)
        first = there[0]
    elif len(own) > 1:
        taken.append(Taken(name="deployment", value=first.name, why="of several that serve the model; name one as `provider`"))
    first = adapted(first, grant.factors)
    return Basis(
        model=first.model,
        deployment=first.name,
        profile=first.profile,
        estimator=first.estimator,
        intensity=first.intensity,
        expected_output_tokens=first.expected_output_tokens,
        taken=tuple(taken),
    )


def _by_factors(basis: Basis, grant: Grant) -> Basis:
    """By the team's own factors, where it has any."""
    if grant.factors is None:
        return basis
    profile = grant.factors.profile(basis.profile)
    zone = None if basis.intensity is None or basis.intensity.assumed else basis.intensity.zone
    return msgspec.structs.replace(
        basis,
        profile=profile,
        estimator=None if profile is None else estimator(profile_from(profile)),
        intensity=grant.factors.intensity(zone, basis.intensity),
    )


def _configured(name: str, snapshot: Snapshot, grant: Grant) -> list[Served]:
    """The default first."""
    allowed = grant.models
    member = snapshot.models.get(name)
    if member is not None and (allowed is None or name in allowed):
        settings = snapshot.config.models.get(name)
        default = None if settings is None else settings.default
        return sorted(member.own, key=lambda each: each.name != default)
    served = snapshot.served.get(name)
    return [served] if served is not None and (allowed is None or served.model in allowed) else []


def _is_at(served: Served, provider: str) -> bool:
    host = urlsplit(served.settings.base_url).hostname or ""
    return provider == served.name or provider.lower() in (host, *host.split("."))


def _elsewhere(served: Served, place: Zone | str, table: Table) -> Basis:
    """The same machines in another place. Raises Refusal 400 for a provider that says no place."""
    if isinstance(place, str):
        raise _refused("`provider` is none of the model's deployments or hosts, and no zone.", "provider")
    profile = None if served.profile is None else moved(profile_from(served.profile), place.id)
    taken = Taken(name="deployment", value=served.name, why=f"its machines, as if they stood in {place.id}")
    return Basis(
        model=served.model,
        deployment=None,
        profile=None if profile is None else profile.record(),
        estimator=None if profile is None else estimator(profile),
        intensity=table.latest(place.id),
        expected_output_tokens=served.expected_output_tokens,
        taken=(taken,),
    )


def _known(found: Asked, snapshot: Snapshot, table: Table) -> Basis:
    """Of a model that is not configured, or not for this key: what the tables know. Raises Refusal 404 where they know nothing."""
    place = None if found.provider is None else _place(found.provider)
    zone = place.id if isinstance(place, Zone) else None
    profile = profile_of(Serving(upstream_model=found.model, zone=zone))
    if profile is None:
        raise no_such_model(found.model)
    taken: tuple[Taken, ...] = ()
    if isinstance(place, str):
        profile = _in_buildings_of(place, profile)
        taken = (Taken(name="provider", value=place, why="says nothing of the place; a zone would"),)
    return Basis(
        model=found.model,
        deployment=None,
        profile=profile.record(),
        estimator=estimator(profile),
        intensity=table.latest(zone),
        expected_output_tokens=snapshot.config.limits.expected_output_tokens,
        taken=taken,
    )


def _in_buildings_of(provider: str, profile: EnergyProfile) -> EnergyProfile:
    known = {row.scope: row.value for row in shipped.profiles().pue}
    return msgspec.structs.replace(profile, pue=known[provider], pue_from="provider") if provider in known else profile


def _place(provider: str) -> Zone | str:
    """A zone, or a vendor that says none. Raises Refusal 400."""
    try:
        return resolve_zone(provider)
    except UnknownZoneError as error:
        named = ALSO_CALLED.get(provider.lower(), provider.lower())
        if named in VENDORS or any(row.scope == named for row in shipped.profiles().pue):
            return named
        nearest = f" Nearest zones: {', '.join(error.nearest)}." if error.nearest else ""
        message = f"`provider` is neither a deployment, a host or a vendor that is known, nor a zone.{nearest}"
        raise _refused(message, "provider") from None


def _check_run(found: Asked) -> None:
    """What a run finds out for itself cannot be said beforehand."""
    if found.prompt is None:
        raise _refused("A run needs a `prompt`.", "prompt")
    for name in ("provider", "inference_ms"):
        if getattr(found, name) is not None:
            raise _refused(f"`{name}` is for `simulate`: a run goes where the policy sends it, and takes the time it takes.", name)


def _told(error: str) -> Refusal:
    """A validation error without the value in it."""
    message, _, place = error.partition(" - at `$.")
    member = place.rstrip("`") or None
    if message.startswith("Invalid enum value"):
        message = "Expected `simulate` or `run`"
    named = f"`{member}`: " if member else ""
    return _refused(f"{named}{message}."[:300], member)


def _refused(message: str, param: str | None = None) -> Refusal:
    return Refusal(400, None, message, param=param)


def messages(found: Asked) -> dict[str, Any]:
    """A run as a chat completion."""
    cap = {} if found.tokens_out is None else {"max_completion_tokens": found.tokens_out}
    return {"model": found.model, "messages": [{"role": "user", "content": found.prompt}], **cap}
