"""What the configuration may name that lives in other packages: dialects, objectives, carbon sources, zones.

The one module of this package that knows how those packages are laid out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple, cast, get_args, get_origin

import msgspec

from adapters import adapters
from carbon.meters import meters
from carbon.meters._base import Meter
from carbon.sources import SOURCES
from carbon.zones import UnknownZoneError, resolve_regions, resolve_zone
from policies.objectives import OBJECTIVES
from proxy.configuration.problems import nearest

HOST = "host"
"""The meter that may stand beside another: of the machine around the accelerators."""


def dialects() -> frozenset[str]:
    """Names for `dialect`."""
    return frozenset(adapters())


def abilities() -> frozenset[str]:
    """Names for `abilities`: what any dialect can."""
    return frozenset[str]().union(*(adapter.abilities for adapter in adapters().values()))


def apis() -> frozenset[str]:
    """Names for `apis`: operations any dialect has, and `messages`, which some hosts have beside OpenAI's."""
    return frozenset({"messages"}).union(*(adapter.apis for adapter in adapters().values()))


def objectives() -> frozenset[str]:
    """Names for `objective`: one file each in policies/objectives."""
    return frozenset(OBJECTIVES)


def sources() -> frozenset[str]:
    """Names for `carbon.sources`: one file each in carbon/sources/."""
    return frozenset(SOURCES)


def sources_in(written: Any) -> list[str]:
    """The names of the sources that one item of `carbon.sources` sets."""
    return [name for name in SOURCES if getattr(written, name) is not None]


def source_wanting(name: str) -> list[str]:
    """The settings a source cannot do without."""
    return _required(SOURCES[name]) if name in SOURCES else []


def _required(settings: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(settings) if field.required]


def source_findings(written: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a source's settings that their types cannot say, each with where; a source may have a `problems` of its own."""
    source = getattr(written, sources_in(written)[0])
    check = getattr(source, "problems", None)
    if check is not None:
        yield from check()


def source_secrets(written: Iterable[Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The secrets that sources refer to: where each stands below `carbon.sources`, and the reference."""
    for index, each in enumerate(written):
        for name in () if isinstance(each, str) else sources_in(each):
            source = getattr(each, name)
            for field in msgspec.structs.fields(source):
                value = getattr(source, field.name)
                if value is not None and _is_reference(field.type):
                    yield (index, name, field.encode_name), value


def _is_reference(wanted: Any) -> bool:
    """Whether a field's type is a secret written `env:NAME` or `file:PATH`."""
    metas = [part for part in (wanted, *get_args(wanted)) if get_origin(part) is Annotated]
    return any(
        isinstance(meta, msgspec.Meta) and (meta.pattern or "").startswith("^(env|file)") for part in metas for meta in get_args(part)[1:]
    )


def source_of(written: Any) -> tuple[str, Any]:
    """Name and source of one checked item of `carbon.sources`."""
    if isinstance(written, str):
        return written, SOURCES[written]()
    name = sources_in(written)[0]
    return name, getattr(written, name)


def meter_findings(written: Any) -> Iterator[tuple[tuple[str | int, ...], str, str | None]]:
    """What is wrong with a deployment's `meter`: where below it, why, and what is meant."""
    known = meters()
    if isinstance(written, str):
        if written not in known:
            yield (), f"the meter {written!r} is not known; there are {', '.join(known)}", nearest(written, known)
        elif wanting := _required(known[written]):
            yield (), f"needs settings: {{{written}: {{{', '.join(f'{name}: ...' for name in wanting)}}}}}", None
    elif len(named := [name for name in known if getattr(written, name) is not None]) != 1 and (len(named) != 2 or HOST not in named):
        yield (), f"is one meter with its settings, or one of accelerators and `{HOST}` beside it, not {len(named)} of them", None
    elif len(named) == 2:
        if getattr(written, HOST).otherwise is not None:
            yield (
                (HOST, "otherwise"),
                "is an estimate: beside measured accelerators `host_factor` stands in where RAPL cannot be read",
                None,
            )
        if "psys" in getattr(written, HOST).domains:
            yield (HOST, "domains"), "psys is the whole board: the accelerators beside it may be counted in it already", None


def counted_by(written: Any) -> Iterator[str]:
    """What a checked setting's meters count, by names that are the same where the same joules are."""
    chosen = meter_of(written)
    for name, meter in ((chosen.name, chosen.meter), (HOST, chosen.host)):
        if meter is None:
            continue
        settings: dict[str, Any] = msgspec.structs.asdict(cast("msgspec.Struct", meter))
        if name == HOST:
            yield f"the host at {settings['root']}"
        elif devices := settings.get("devices") or settings.get("gpus") if name in ("nvml", "dcgm") else None:
            yield from (f"GPU {device}" for device in devices)
        elif name == "nvml":
            yield "all GPUs of this machine"
        else:
            yield f"{name} {sorted((key, value) for key, value in settings.items() if key != 'timeout_s' and isinstance(value, str))}"


class Chosen(NamedTuple):
    """What measures a deployment."""

    name: str
    meter: Meter
    host: Meter | None
    """Of the machine around the accelerators that `meter` measures."""


def meter_of(written: Any) -> Chosen:
    """The meters of a checked setting."""
    known = meters()
    if isinstance(written, str):
        return Chosen(written, known[written](), None)
    named = {name: found for name in known if (found := getattr(written, name)) is not None}
    host = named.pop(HOST) if len(named) > 1 else None
    name, meter = named.popitem()
    return Chosen(name, meter, host)


def unknown_zone(name: str) -> tuple[str, ...] | None:
    """The nearest known zones if `name` is none; None if it is one."""
    try:
        resolve_zone(name)
    except UnknownZoneError as error:
        return error.nearest
    return None


def unknown_region(name: str) -> tuple[str, ...] | None:
    """The nearest known regions if `name` is none; None if it is one."""
    try:
        resolve_regions([name])
    except UnknownZoneError as error:
        return error.nearest
    return None
