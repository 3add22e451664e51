"""The whole chain of one figure, from what a record keeps: methods, formula, parts, assumptions, grid, counterfactual.

Pure and off the path: everything is worked out again, and shown only where it comes to what the record says.
"""

from __future__ import annotations

from math import exp, isclose, log, sqrt

import msgspec

from carbon.arithmetic import DIGITS, Line, Number, Sheet, digits_for, number
from carbon.bands import confidence
from carbon.calibrated import recorded
from carbon.calibration import Boundary
from carbon.components import ROUTER_W, components
from carbon.energy import J_PER_WH, LADDER, Estimator, Method, estimator
from carbon.footprint import (
    J_PER_KWH,
    TOKENS_ESTIMATED,
    UNSTATED_HIGH,
    UNSTATED_LOW,
    Footprint,
    ProviderReport,
    Workload,
)
from carbon.formulas import FORMULAS, Factor, Work, band_end, calibrated, factors, vendor_end
from carbon.intensity import Intensity
from carbon.profile import EnergyProfile, profile_from
from carbon.shipped import DATA_VERSION, SPEC_VERSION
from carbon.stated import Assumption, Warned, assumptions, paced, warned

SAME = 1e-9
"""How near a figure worked out again must come to the record's."""
PRINTED = 1e-4
"""And how near the printed arithmetic must."""

Record = dict[str, float | str | None]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A value and its 80 % band, in whatever unit."""

    low: float
    value: float
    high: float


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """What would have served otherwise, as a record keeps it, and what was said to be avoided."""

    deployment: str
    model: str
    profile: Record | None
    intensity: Intensity | None
    marginal: Intensity | None
    output_tokens: int | None
    """What it would have written; None: what was written."""
    decode_s: float | None = None
    """The pace of the stream, which the same machine elsewhere would have had too."""
    avoided: Figures | None
    avoided_marginal_g: float | None
    retried: bool
    """Attempts failed before the answer, and what they took is in the difference."""
    router_g: float = 0.0
    """What the proxy itself took, which is in the difference too."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a record keeps of one figure."""

    data_version: str
    method: Method
    energy_j: Figures | None
    carbon_g: Figures | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int = 0
    estimated: bool = False
    decode_s: float | None = None
    paced_by: str | None = None
    """Who tells that, where it is not the answer's own stream: `answer`, `streams`."""
    batch: float | None = None
    """Requests that were served together, where a figure was made of it."""
    profile: Record | None = None
    reported_j: float | None = None
    """What the provider's own object says."""
    router_j: float | None = None
    """What the proxy itself took."""
    intensity: Intensity | None = None
    marginal: Intensity | None = None
    age_s: int | None = None
    """Of the intensity, when the figure was made."""
    warnings: tuple[str, ...] = ()
    instead: Instead | None = None


class Qualified(msgspec.Struct, frozen=True, kw_only=True):
    """One method that has what it needs."""

    method: Method
    published: bool
    energy_j: float
    energy_low_j: float
    energy_high_j: float
    confidence: str
    band: tuple[Factor, ...]
    """Where its band comes from; several are combined as independent ones."""
    formula: tuple[Line, ...] = ()
    """To the value, in the last line; and below, from there to both ends."""
    low_end: tuple[Line, ...] = ()
    high_end: tuple[Line, ...] = ()


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The intensity in use, and how old it was."""

    sample: Intensity
    age_s: int | None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the joules went. Null is unknown; what is known adds up to the total."""

    gpu_active_j: float | None
    gpu_idle_j: float | None
    host_j: float | None
    facility_j: float | None
    router_j: float | None
    provider_j: float | None
    total_j: float


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The counterfactual of an answer."""

    deployment: str
    model: str
    formula: tuple[Line, ...]
    """Its energy."""
    lines: tuple[Line, ...]
    """From there to what was avoided."""
    avoided_g: float | None
    avoided_low_g: float | None
    avoided_high_g: float | None
    avoided_marginal_g: float | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`recomputed` false: `note` says why, and there are no figures but the record's own."""

    spec_version: str
    data_version: str
    recomputed: bool
    note: str | None
    methods: tuple[Qualified, ...] = ()
    """Best first; the published one is the first."""
    carbon: tuple[Line, ...] = ()
    """From the published energy to grams."""
    components: Parts | None = None
    intensity: Grid | None = None
    assumptions: tuple[Assumption, ...] = ()
    warnings: tuple[Warned, ...] = ()
    counterfactual: Compared | None = None


def explained(facts: Facts) -> Explanation:
    """The chain of the figure these facts are of."""
    grid = None if facts.intensity is None else Grid(sample=facts.intensity, age_s=facts.age_s)
    bare = Explanation(
        spec_version=SPEC_VERSION,
        data_version=DATA_VERSION,
        recomputed=False,
        note=None,
        intensity=grid,
        warnings=warned(facts.warnings),
    )
    if facts.data_version != DATA_VERSION:
        made = facts.data_version or "of an unknown version"
        return msgspec.structs.replace(bare, note=f"Made with methods and data {made}; this version has {DATA_VERSION} and would err.")
    if facts.energy_j is None:
        return msgspec.structs.replace(bare, note="The energy is not known: nothing was told of the model, or of its tokens.")
    if facts.method == "none":
        return msgspec.structs.replace(bare, recomputed=True, note="Nothing was computed for this answer.")
    try:
        profile, own = (None, None) if facts.profile is None else _known(facts.profile, facts.batch)
    except msgspec.ValidationError:
        return msgspec.structs.replace(bare, note="The energy profile on record is not one this version reads.")
    if not _agrees(facts, own):
        return msgspec.structs.replace(bare, note="This version does not come to the figures on record: they were made by another.")
    found = qualified(facts, profile, own)
    if not found or not _prints(found[0]):
        return msgspec.structs.replace(bare, note="This version has no formula for the method on record.")
    return msgspec.structs.replace(
        bare,
        recomputed=True,
        methods=found,
        carbon=_carbon_lines(facts, found[0]),
        components=_parts(facts, profile),
        assumptions=(
            *paced(facts.decode_s, facts.paced_by),
            *assumptions(facts.method, profile, facts.intensity, estimated=facts.estimated, boundary=_boundary(facts.profile)),
        ),
        counterfactual=None if facts.instead is None else _compared(facts, facts.instead),
    )


def _known(record: Record, batch: float | None = None) -> tuple[EnergyProfile, Estimator]:
    """The estimator a record was made by, of an answer served in such a batch. Raises msgspec.ValidationError."""
    profile, fitted = profile_from(record), recorded(record)
    prior = estimator(profile)
    return profile, prior if fitted is None else fitted.estimator(prior, batch)


def _boundary(record: Record | None) -> Boundary:
    """Where the joules of a calibration end; of anything else it is not asked."""
    fitted = None if record is None else recorded(record)
    return "facility" if fitted is None else fitted.boundary


def workload(facts: Facts) -> Workload:
    return Workload(
        input_tokens=facts.input_tokens or 0,
        output_tokens=facts.output_tokens or 0,
        cached_tokens=facts.cached_tokens,
        estimated=facts.estimated,
        decode_s=facts.decode_s,
    )


def qualified(facts: Facts, profile: EnergyProfile | None, own: Estimator | None) -> tuple[Qualified, ...]:
    """Every method that qualifies for the workload, in the order of the ladder."""
    found: dict[Method, tuple[float, float, float]] = {}
    counted = facts.input_tokens is not None and facts.output_tokens is not None
    work = workload(facts)
    tokens = (work.input_tokens, work.cached_tokens, work.output_tokens)
    if facts.reported_j is not None:
        found["provider_reported"] = (facts.reported_j * UNSTATED_LOW, facts.reported_j, facts.reported_j * UNSTATED_HIGH)
    if own is not None and counted:
        if own.runtime is not None and work.decode_s is not None:
            paced = own.runtime.figures(*tokens, work.decode_s)
            if paced is not None:
                found["runtime_power"] = paced
        each: Estimator | None = own
        while each is not None:
            found[each.method] = each.figures(*tokens)
            each = each.cross
    widened = {method: _widened(figures, facts) if method != "provider_reported" else figures for method, figures in found.items()}
    return tuple(_qualified(method, widened[method], facts, profile) for method in LADDER if method in widened)


def _qualified(method: Method, figures: tuple[float, float, float], facts: Facts, profile: EnergyProfile | None) -> Qualified:
    low, value, high = figures
    band = _band(method, profile, facts.profile, facts.batch)
    if facts.estimated and method != "provider_reported":
        band = (*band, Factor(low=1 / TOKENS_ESTIMATED, high=TOKENS_ESTIMATED, why="tokens counted here: on top of the others"))
    told = Qualified(
        method=method,
        published=method == facts.method,
        energy_j=value,
        energy_low_j=low,
        energy_high_j=high,
        confidence=confidence(low, high),
        band=band,
    )
    if method == "provider_reported":
        return _reported(told, band)
    return told if profile is None else _worked_out(told, facts, profile)


def _widened(figures: tuple[float, float, float], facts: Facts) -> tuple[float, float, float]:
    low, value, high = figures
    return (low / TOKENS_ESTIMATED, value, high * TOKENS_ESTIMATED) if facts.estimated else figures


def _band(method: Method, profile: EnergyProfile | None, record: Record | None, batch: float | None) -> tuple[Factor, ...]:
    if method == "calibrated" and record is not None and (fitted := recorded(record)) is not None:
        band, drifted = fitted.band(batch), "" if fitted.calibration_drift is None else f", and a drift of {fitted.calibration_drift:g}"
        return (Factor(low=band.low, high=band.high, why=f"calibration {fitted.calibration}: its own errors{drifted}"),)
    if method == "provider_reported":
        return (Factor(low=UNSTATED_LOW, high=UNSTATED_HIGH, why="the provider does not say what its figure includes"),)
    return () if profile is None else factors(method, profile)


def _worked_out(told: Qualified, facts: Facts, profile: EnergyProfile) -> Qualified:
    """With its lines, where there is a formula."""
    formula, fitted = FORMULAS.get(told.method), recorded(facts.profile) if told.method == "calibrated" and facts.profile else None
    if formula is None and fitted is None:
        return told
    value_sheet, low_sheet, high_sheet = Sheet(), Sheet(), Sheet()
    work, found = _work(facts), _band(told.method, profile, facts.profile, facts.batch)
    value = calibrated(value_sheet, fitted, work) if fitted is not None else FORMULAS[told.method](value_sheet, profile, work)
    for sheet, high in ((low_sheet, False), (high_sheet, True)):
        end = band_end(sheet, value, found, high=high) if found else vendor_end(sheet, profile, work, value, high=high)
        if facts.estimated:
            by = number(TOKENS_ESTIMATED)
            sheet.line("tokens counted here", f"{end} {'*' if high else '/'} {by}", end * by if high else end / by, "J")
    return msgspec.structs.replace(told, formula=value_sheet.lines(), low_end=low_sheet.lines(), high_end=high_sheet.lines())


def _work(facts: Facts) -> Work:
    read = facts.input_tokens or 0
    return Work(
        input=read,
        cached=min(facts.cached_tokens, read),
        output=facts.output_tokens or 0,
        decode_s=facts.decode_s,
        batch=facts.batch,
    )


def _reported(told: Qualified, band: tuple[Factor, ...]) -> Qualified:
    value_sheet, low_sheet, high_sheet = Sheet(), Sheet(), Sheet()
    joules = value_sheet.line("as reported", f"{number(told.energy_j)}", told.energy_j, "J")
    band_end(low_sheet, joules, band, high=False)
    band_end(high_sheet, joules, band, high=True)
    return msgspec.structs.replace(told, formula=value_sheet.lines(), low_end=low_sheet.lines(), high_end=high_sheet.lines())


def _agrees(facts: Facts, own: Estimator | None) -> bool:
    """Whether this version makes of the record's inputs what the record says."""
    report = None if facts.reported_j is None else ProviderReport(energy_j=facts.reported_j, source="")
    counted = facts.input_tokens is not None and facts.output_tokens is not None
    again = Footprint.of(workload(facts), own if counted else None, facts.intensity, report)
    pairs = [
        *_pairs(facts.energy_j, (again.energy_low_j, again.energy_j, again.energy_high_j)),
        *_pairs(facts.carbon_g, (again.carbon_low_g, again.carbon_g, again.carbon_high_g)),
    ]
    return again.method == facts.method and all(
        ours is theirs if ours is None or theirs is None else isclose(ours, theirs, rel_tol=SAME) for ours, theirs in pairs
    )


def _pairs(recorded: Figures | None, again: tuple[float | None, ...]) -> list[tuple[float | None, float | None]]:
    known = (None, None, None) if recorded is None else (recorded.low, recorded.value, recorded.high)
    return list(zip(known, again, strict=True))


def _prints(published: Qualified) -> bool:
    """Whether the lines come to the figure."""
    return published.published and bool(published.formula) and isclose(published.formula[-1].result, published.energy_j, rel_tol=PRINTED)


def _parts(facts: Facts, profile: EnergyProfile | None) -> Parts | None:
    found = (
        None
        if facts.energy_j is None
        else components(
            facts.energy_j.value,
            facts.method,
            profile,
            None if facts.router_j is None else facts.router_j / ROUTER_W,
            _boundary(facts.profile),
        )
    )
    return None if found is None else Parts(**msgspec.structs.asdict(found), total_j=found.total_j)


def _carbon_lines(facts: Facts, published: Qualified) -> tuple[Line, ...]:
    if facts.intensity is None:
        return ()
    low_j, joules, high_j = (number(lines[-1].result) for lines in (published.low_end, published.formula, published.high_end))
    return carbon_lines(facts.intensity, (low_j, joules, high_j))


def carbon_lines(grid: Intensity, ends: tuple[Number, Number, Number]) -> tuple[Line, ...]:
    """From the joules just worked out (low, value, high) to grams; each end as its own joules and grid have it, combined."""
    sheet = Sheet()
    low_j, joules, high_j = ends
    rate = number(grid.g_per_kwh)
    sheet.line("energy", f"{joules} / {number(J_PER_WH)}", joules / J_PER_WH, "Wh")
    grams = _grams(sheet, "carbon", joules, rate)
    for name, end, at in (("low end", low_j, number(grid.low)), ("high end", high_j, number(grid.high))):
        if low_j <= 0 or grid.low <= 0:
            _grams(sheet, name, end, at)
            continue
        sign = -1 if name == "low end" else 1
        root = sqrt(log(end / joules) ** 2 + log(at / rate) ** 2)
        told = f"{grams} * exp({'-' if sign < 0 else ''}sqrt(ln({end} / {joules})^2 + ln({at} / {rate})^2))"
        sheet.line(name, told, grams * exp(sign * root), "g")
    return sheet.lines()


def _grams(sheet: Sheet, name: str, joules: Number, rate: Number, digits: int = DIGITS) -> Number:
    return sheet.line(name, f"{joules} / {number(J_PER_KWH)} * {rate}", joules / J_PER_KWH * rate, "g", digits)


def _compared(facts: Facts, instead: Instead) -> Compared:
    """The counterfactual reads the same prompt; empty lines where it cannot be worked out again."""
    avoided = instead.avoided
    bare = Compared(
        deployment=instead.deployment,
        model=instead.model,
        formula=(),
        lines=(),
        avoided_g=None if avoided is None else avoided.value,
        avoided_low_g=None if avoided is None else avoided.low,
        avoided_high_g=None if avoided is None else avoided.high,
        avoided_marginal_g=instead.avoided_marginal_g,
    )
    if instead.profile is None or avoided is None or facts.energy_j is None or facts.carbon_g is None:
        return bare
    try:
        profile, own = _known(instead.profile)
    except msgspec.ValidationError:
        return bare
    there = msgspec.structs.replace(facts, decode_s=instead.decode_s, output_tokens=instead.output_tokens or facts.output_tokens)
    footprint = Footprint.of(workload(there), own, instead.intensity)
    if instead.decode_s is not None and not _close(footprint, facts, avoided.value, instead.router_g):
        # with failed attempts, or tokens counted here, the pace is not carried over
        there = msgspec.structs.replace(there, decode_s=None)
        footprint = Footprint.of(workload(there), own, instead.intensity)
    if footprint.method not in FORMULAS or footprint.energy_j is None or footprint.carbon_g is None:
        return bare
    if instead.intensity is None or facts.intensity is None:
        return bare
    close = _close(footprint, facts, avoided.value, instead.router_g)
    if not instead.retried and not close:
        return bare
    extra_g = instead.router_g if close else footprint.carbon_g - facts.carbon_g.value - avoided.value
    formula = Sheet()
    FORMULAS[footprint.method](formula, profile, _work(there))
    lines = _avoided_lines(facts, instead, (footprint.energy_j, facts.energy_j.value), extra_g)
    return msgspec.structs.replace(bare, formula=formula.lines(), lines=lines)


def _close(instead: Footprint, facts: Facts, avoided_g: float, router_g: float) -> bool:
    """Whether the difference, less the proxy's own share, is what was said to be avoided."""
    if instead.carbon_g is None or facts.carbon_g is None:
        return False
    value = facts.carbon_g.value
    return isclose(instead.carbon_g - value - router_g, avoided_g, rel_tol=SAME, abs_tol=SAME * max(instead.carbon_g, value))


def _avoided_lines(facts: Facts, instead: Instead, joules: tuple[float, float], extra_g: float) -> tuple[Line, ...]:
    """Grams of the counterfactual less grams of what happened, on the average grid and on the margin where both are known."""
    sheet = Sheet()
    average = (instead.intensity, facts.intensity, instead.avoided.value if instead.avoided else None)
    margin = (instead.marginal, facts.marginal, instead.avoided_marginal_g)
    for named, (there, here, avoided_g) in (("", average), (" on the margin", margin)):
        if there is None or here is None or avoided_g is None:
            continue
        both = [each / J_PER_KWH * grid.g_per_kwh for each, grid in zip(joules, (there, here), strict=True)]
        digits = digits_for(avoided_g, *both)
        a, b = (
            _grams(sheet, name + named, number(each, digits), number(grid.g_per_kwh, digits), digits)
            for name, each, grid in (("otherwise", joules[0], there), ("as it was", joules[1], here))
        )
        if instead.retried:
            extra_g = both[0] - both[1] - avoided_g
        if extra_g:
            name_of = "failed attempts and this proxy" if instead.retried else "this proxy"
            extra = sheet.line(name_of, f"{number(extra_g, digits)}", extra_g, "g", digits)
            sheet.line("avoided" + named, f"{a} - {b} - {extra}", a - b - extra, "g")
        else:
            sheet.line("avoided" + named, f"{a} - {b}", a - b, "g")
    return sheet.lines()
