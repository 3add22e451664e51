"""The formula of each method with its numbers put in, line by line; joules at the facility at the end (docs/carbon.md).

The same figures as the estimators', worked out once more in the open: the tests hold them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, log, sqrt

import msgspec

from carbon.arithmetic import Number, Sheet, number
from carbon.bands import Band
from carbon.calibrated import Recorded
from carbon.energy import (
    ACCELERATOR_BANDS,
    BATCH_UNKNOWN,
    GPU_UNKNOWN,
    HOST_AND_IDLE,
    J_PER_WH,
    LEAST_HIGH,
    LEAST_LOW,
    PUE_ASSUMED,
    RUNTIME_BAND,
    TOKEN_PROXY,
    VENDOR_BATCH,
    VENDOR_HIGH_BATCH,
    VENDOR_HIGH_FACTOR,
    VENDOR_HIGH_PUE,
    VENDOR_LOW_BATCH,
    VENDOR_LOW_FACTOR,
    VENDOR_LOW_PUE,
    WH_PER_1K_TOKENS,
    Method,
)
from carbon.profile import PUE, EnergyProfile
from carbon.roofline import ACCELERATORS, REFERENCE, UNCACHED_SHARE, Accelerator
from carbon.runtime import LARGE_BATCH, LARGE_SHARE, SMALL_BATCH, SMALL_SHARE, power_share

PER_TOKEN = "J per token"  # noqa: S105 - a unit
TOKEN_DIGITS = 12
"""Counts are printed whole."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens a formula is about. No more of them are cached than there are."""

    input: int
    cached: int
    output: int
    decode_s: float | None = None
    batch: float | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A model on its accelerators, as printed. Parameters in 1e9."""

    chip: Accelerator
    total: Number
    active: Number
    batch: Number
    gpus: Number
    kv_bytes: float | None
    d_model: float | None


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One independent source of error, as factors of the value."""

    low: float
    high: float
    why: str


Formula = Callable[[Sheet, EnergyProfile, Work], Number]


def flops_roofline(sheet: Sheet, profile: EnergyProfile, work: Work) -> Number:
    machine = Machine(
        chip=ACCELERATORS[profile.gpu],
        total=number(profile.total_b),
        active=number(profile.active_b),
        batch=number(profile.batch),
        gpus=number(profile.gpu_count),
        kv_bytes=profile.kv_bytes,
        d_model=profile.d_model,
    )
    read = _read(sheet, machine)
    flop = _flop(sheet, machine)
    token = _token(sheet, machine, (read, flop, _cache(sheet, machine, work)), number(profile.bytes_per_parameter))
    prompt = _prompt(sheet, machine, work, flop)
    output = number(work.output, TOKEN_DIGITS)
    joules = sheet.line("at the accelerators", f"{output} * {token} + {prompt}", output * token + prompt, "J")
    return _at_facility(sheet, profile, joules)


def runtime_power(sheet: Sheet, profile: EnergyProfile, work: Work) -> Number:
    """Only for a workload whose pace was seen, on an accelerator whose limit is known."""
    output, batch, gpus = number(work.output, TOKEN_DIGITS), number(profile.batch), number(profile.gpu_count)
    decode_s, tdp = number(work.decode_s or 0.0), number(profile.tdp_w or 0.0)
    itl = sheet.line("seconds a token", f"{decode_s} / ({output} - 1)", decode_s / (output - 1), "s")
    small, large, few, many = (number(each) for each in (SMALL_SHARE, LARGE_SHARE, SMALL_BATCH, LARGE_BATCH))
    if few < batch < many:
        at = (log(batch) - log(few)) / (log(many) - log(few))
        told = f"{small} + ({large} - {small}) * (ln({batch}) - ln({few})) / (ln({many}) - ln({few}))"
        share = sheet.line("power drawn of the limit", told, small + (large - small) * at, "")
    else:
        share = number(power_share(profile.batch))
    slot = sheet.line("power of one request", f"{share} * {tdp} * {gpus} / {batch}", share * tdp * gpus / batch, "W")
    machine = Machine(
        chip=ACCELERATORS[profile.gpu],
        total=number(profile.total_b),
        active=number(profile.active_b),
        batch=batch,
        gpus=gpus,
        kv_bytes=profile.kv_bytes,
        d_model=profile.d_model,
    )
    prompt = _prompt(sheet, machine, work, _flop(sheet, machine))
    joules = sheet.line("at the accelerators", f"{slot} * {itl} * {output} + {prompt}", slot * itl * output + prompt, "J")
    return _at_facility(sheet, profile, joules)


def vendor_prior(sheet: Sheet, profile: EnergyProfile, work: Work) -> Number:
    low, high = number(profile.active_low_b), number(profile.active_high_b)
    active = sheet.line("active parameters", f"sqrt({low} * {high})", sqrt(low * high), "1e9")
    machine = _vendor_machine("H100", profile, active, VENDOR_BATCH)
    read, flop = _read(sheet, machine), _flop(sheet, machine)
    cache = _cache(sheet, machine, work)
    tokens = [_token(sheet, machine, (read, flop, cache), number(each), f" in {name}") for each, name in ((2, "bf16"), (1, "fp8"))]
    prompt = _plain_prompt(sheet, work, flop)
    output = number(work.output, TOKEN_DIGITS)
    each = [
        sheet.line(f"at the accelerators in {name}", f"{output} * {token} + {prompt}", output * token + prompt, "J")
        for token, name in zip(tokens, ("bf16", "fp8"), strict=True)
    ]
    mean = sheet.line("geometric mean", f"sqrt({each[0]} * {each[1]})", sqrt(each[0] * each[1]), "J")
    return _at_facility(sheet, profile, mean)


def vendor_end(sheet: Sheet, profile: EnergyProfile, work: Work, value: Number, *, high: bool) -> Number:
    """The best or the worst that can be imagined, but never closer to the value than a factor of two."""
    known = profile.pue_from != "assumed"
    if high:
        gpu, active_b, width, batch, factor = "H100", profile.active_high_b, 2, VENDOR_HIGH_BATCH, VENDOR_HIGH_FACTOR
        least, pue = LEAST_HIGH, profile.pue if known else VENDOR_HIGH_PUE
    else:
        gpu, active_b, width, batch, factor = "B200", profile.active_low_b, 1, VENDOR_LOW_BATCH, VENDOR_LOW_FACTOR
        least, pue = LEAST_LOW, profile.pue if known else VENDOR_LOW_PUE
    machine = _vendor_machine(gpu, profile, number(active_b), batch)
    read, flop = _read(sheet, machine), _flop(sheet, machine)
    token = _token(sheet, machine, (read, flop, _cache(sheet, machine, work)), number(width))
    prompt = _plain_prompt(sheet, work, flop)
    output, machines, building, bound = number(work.output, TOKEN_DIGITS), number(factor), number(pue), number(least)
    joules = sheet.line(
        "worst case" if high else "best case",
        f"({output} * {token} + {prompt}) * {machines} * {building}",
        (output * token + prompt) * machines * building,
        "J",
    )
    if (joules >= value * bound) if high else (joules <= value * bound):
        return joules
    return sheet.line("never nearer than", f"{value} * {bound}", value * bound, "J")


def token_proxy(sheet: Sheet, profile: EnergyProfile, work: Work) -> Number:
    total, active = number(profile.total_b), number(profile.active_b)
    if total != active:
        sheet.line("parameters of a dense model of like effort", f"sqrt({total} * {active})", sqrt(total * active), "1e9")
    exact_b = sqrt(profile.total_b * profile.active_b)
    output_wh, input_wh = next((out, read) for most_b, out, read in WH_PER_1K_TOKENS if exact_b <= most_b)
    out_wh, in_wh, output, computed = number(output_wh), number(input_wh), number(work.output, TOKEN_DIGITS), _computed(sheet, work)
    value = (output * out_wh + computed * in_wh) / 1000
    wh = sheet.line("by its class", f"({output} * {out_wh} + {computed} * {in_wh}) / 1000", value, "Wh")
    pue, usual, per_wh = number(profile.pue), number(PUE), number(J_PER_WH)
    if pue == usual:
        return sheet.line("at the facility", f"{wh} * {per_wh}", wh * per_wh, "J")
    return sheet.line("at the facility", f"{wh} * {per_wh} * {pue} / {usual}", wh * per_wh * pue / usual, "J")


def calibrated(sheet: Sheet, fitted: Recorded, work: Work) -> Number:
    """So much a request, a token, a token of its context, and a prompt token, as they were fitted."""
    known = None if work.batch is None else fitted.at_batch
    terms = fitted.terms if known is None else known.terms
    each_j = (terms.request_j, terms.form.token, terms.form.context, terms.form.prefill)
    request, token_j, context_j, prefill_j = (number(each) for each in each_j)
    if known is not None and work.batch is not None:
        step, batch = number(known.step_j), number(known.inside(work.batch))
        token_j = sheet.line("one output token in that batch", f"{token_j} + {step} / {batch}", token_j + step / batch, "J per token")
    read, output = number(work.input, TOKEN_DIGITS), number(work.output, TOKEN_DIGITS)
    mean = sheet.line("mean context", f"{read} + {output} / 2", read + output / 2, "tokens")
    token = sheet.line("one output token", f"{token_j} + {context_j} * {mean}", token_j + context_j * mean, "J per token")
    prompt = prefill_j
    if terms.form.attention:
        attention = number(terms.form.attention)
        prompt = sheet.line(
            "one input token", f"{prefill_j} * (1 + {attention} * {read})", prefill_j * (1 + attention * read), "J per token"
        )
    computed = _computed(sheet, work)
    value = request + output * token + computed * prompt
    return sheet.line("as fitted", f"{request} + {output} * {token} + {computed} * {prompt}", value, "J")


FORMULAS: Mapping[Method, Formula] = {
    "runtime_power": runtime_power,
    "flops_roofline": flops_roofline,
    "vendor_prior": vendor_prior,
    "token_proxy": token_proxy,
}
"""A method that comes to the ladder comes here; one that is not here is told by its figures alone."""


def factors(method: Method, profile: EnergyProfile) -> tuple[Factor, ...]:
    """Where the band of a method comes from; none for one whose limits are no factors of its value."""
    if method == "token_proxy":
        return (_factor(TOKEN_PROXY, "only a size is known"),)
    if method not in ("flops_roofline", "runtime_power"):
        return ()
    found = []
    if profile.batch_from != "stated":
        found.append(_factor(BATCH_UNKNOWN, "the batch is assumed; more than all other errors, it stands for them"))
    else:
        if method == "flops_roofline":
            found.append(
                _factor(ACCELERATOR_BANDS[profile.gpu], f"at the accelerators: errors on families unseen by the fit, {profile.gpu}")
            )
        else:
            found.append(_factor(RUNTIME_BAND, "at the accelerators: power and pace"))
        found.append(_factor(HOST_AND_IDLE, "the rest of the machine, and idle capacity"))
        if profile.pue_from == "assumed":
            found.append(_factor(PUE_ASSUMED, "the PUE is assumed"))
    if method == "flops_roofline" and profile.gpu_from == "assumed":
        found.append(_factor(GPU_UNKNOWN, "the accelerator is not one of those measured, or not stated"))
    return tuple(found)


def band_end(sheet: Sheet, value: Number, found: tuple[Factor, ...], *, high: bool) -> Number:
    """One end of the band: a factor, or several combined as independent ones."""
    numbers = [number(each.high if high else each.low) for each in found]
    name = "high end" if high else "low end"
    if len(numbers) == 1:
        return sheet.line(name, f"{value} * {numbers[0]}", value * numbers[0], "J")
    squares = " + ".join(f"ln({each})^2" for each in numbers)
    sign = "" if high else "-"
    root = sqrt(sum(log(each) ** 2 for each in numbers))
    return sheet.line(name, f"{value} * exp({sign}sqrt({squares}))", value * exp(root if high else -root), "J")


def _factor(band: Band, why: str) -> Factor:
    return Factor(low=band.low, high=band.high, why=why)


def _vendor_machine(gpu: str, profile: EnergyProfile, active: Number, batch: float) -> Machine:
    return Machine(
        chip=REFERENCE[gpu],
        total=number(profile.total_b),
        active=active,
        batch=number(batch),
        gpus=number(1.0),
        kv_bytes=None,
        d_model=None,
    )


def _read(sheet: Sheet, machine: Machine) -> Number:
    total, active, batch = machine.total, machine.active, machine.batch
    if total <= active:
        return active
    value = active + (total - active) * (1 - (1 - active / total) ** max(0.0, batch - 1))
    expression = f"{active} + ({total} - {active}) * (1 - (1 - {active} / {total})^{f'({batch} - 1)' if batch >= 1 else '0'})"
    return sheet.line("parameters read in one step", expression, value, "1e9")


def _flop(sheet: Sheet, machine: Machine) -> Number:
    flop, active = number(machine.chip.flop_pj), machine.active
    return sheet.line("arithmetic", f"{flop} * 2 * {active} / 1000", flop * 2 * active / 1000, PER_TOKEN)


def _cache(sheet: Sheet, machine: Machine, work: Work) -> Number:
    """What reading the cache costs an output token, by the mean length of its context."""
    per_gb, active = number(machine.chip.kv_j_per_gb), machine.active
    if not per_gb:
        return per_gb
    if machine.kv_bytes is None:
        kv = sheet.line("cache per token of context", f"60000 * sqrt({active} / 3)", 60e3 * sqrt(active / 3), "bytes")
    else:
        kv = number(machine.kv_bytes)
    read, output = number(work.input, TOKEN_DIGITS), number(work.output, TOKEN_DIGITS)
    context = sheet.line("mean context", f"{read} + {output} / 2", read + output / 2, "tokens")
    return sheet.line("reading the cache", f"{per_gb} * {kv} * {context} / 1000000000", per_gb * kv * context / 1e9, PER_TOKEN)


def _token(sheet: Sheet, machine: Machine, parts: tuple[Number, Number, Number], width: Number, named: str = "") -> Number:
    read, flop, cache = parts
    chip, batch, gpus = machine.chip, machine.batch, machine.gpus
    per_gb = number(chip.read_j_per_gb)
    weights = sheet.line(f"reading the weights{named}", f"{per_gb} * {width} * {read} / {batch}", per_gb * width * read / batch, PER_TOKEN)
    token, gpu, step = number(chip.token_j), number(chip.gpu_token_j), number(chip.step_j)
    constants: list[tuple[str, float]] = [(f" + {cache}", cache)] if cache else []
    constants += [(f" + {token}", token)] if token else []
    constants += [(f" + {gpus} * {gpu}", gpus * gpu)] if gpu else []
    constants += [(f" + {gpus} * {step} / {batch}", gpus * step / batch)] if step else []
    expression = f"{weights} + {flop}" + "".join(told for told, _ in constants)
    return sheet.line(f"one output token{named}", expression, weights + flop + sum(value for _, value in constants), PER_TOKEN)


def _computed(sheet: Sheet, work: Work) -> Number:
    """Input tokens, those from the cache at their share."""
    if not work.cached:
        return number(work.input, TOKEN_DIGITS)
    read, cached, share = number(work.input, TOKEN_DIGITS), number(work.cached, TOKEN_DIGITS), number(UNCACHED_SHARE)
    return sheet.line("input tokens that count", f"{read} - {share} * {cached}", read - share * cached, "tokens", TOKEN_DIGITS)


def _prompt(sheet: Sheet, machine: Machine, work: Work, flop: Number) -> Number:
    """Of the whole prompt, with its attention."""
    if machine.d_model is None:
        width = sheet.line("width of the model", f"2048 * {machine.active}^0.34", 2048 * machine.active**0.34, "")
    else:
        width = number(machine.d_model)
    read = number(work.input, TOKEN_DIGITS)
    token = sheet.line("one input token", f"{flop} * (1 + {read} / (12 * {width}))", flop * (1 + read / (12 * width)), PER_TOKEN)
    computed = _computed(sheet, work)
    return sheet.line("the prompt", f"{computed} * {token}", computed * token, "J")


def _plain_prompt(sheet: Sheet, work: Work, flop: Number) -> Number:
    computed = _computed(sheet, work)
    return sheet.line("the prompt", f"{computed} * {flop}", computed * flop, "J")


def _at_facility(sheet: Sheet, profile: EnergyProfile, joules: Number) -> Number:
    host, idle, pue = number(profile.host_factor), number(profile.idle_factor), number(profile.pue)
    return sheet.line("at the facility", f"{joules} * {host} * {idle} * {pue}", joules * host * idle * pue, "J")
