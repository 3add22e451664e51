"""The headers of every response, and the account as JSON. All in bytes, each header line with its CRLF."""

from __future__ import annotations

from functools import lru_cache

from carbon.footprint import Footprint
from carbon.format import plain
from carbon.savings import Saving
from proxy.dataplane.admit import Admission
from proxy.dataplane.operations import Operation
from proxy.snapshot import Snapshot
from proxy.telemetry.ages import age_s

NO_WORK = (
    b"x-carbon-g: 0\r\nx-carbon-low-g: 0\r\nx-carbon-high-g: 0\r\nx-energy-wh: 0\r\nx-energy-low-wh: 0\r\nx-energy-high-wh: 0\r\n"
    b"x-carbon-method: none\r\nx-carbon-confidence: none\r\n"
)


def ids(admission: Admission) -> bytes:
    """The two ids every response carries."""
    return f"x-request-id: {admission.request_id}\r\nx-greenlane-id: {admission.entry_id}\r\n".encode("ascii")


def claude_id(operation: Operation | None, admission: Admission) -> bytes:
    """The request's id under the name that Anthropic's clients read, on their routes."""
    return f"request-id: {admission.request_id}\r\n".encode("ascii") if operation is not None and operation.claude else b""


def cors(admission: Admission) -> bytes:
    """What lets a page of a configured origin read the answer and our headers."""
    origin = admission.headers.get(b"origin")
    if origin is None:
        return b""
    allowed = admission.snapshot.config.server.cors.origins
    if "*" in allowed:
        return b"access-control-allow-origin: *\r\naccess-control-expose-headers: *\r\n"
    if origin.decode("latin-1") in allowed:
        return b"access-control-allow-origin: " + origin + b"\r\nvary: origin\r\naccess-control-expose-headers: " + _EXPOSED_NAMES + b"\r\n"
    return b""


_NAMES = (
    "request-id x-request-id x-greenlane-id x-greenlane-model x-greenlane-deployment x-greenlane-policy x-greenlane-attempts "
    "x-greenlane-cache "
    "x-greenlane-reason x-greenlane-cost-usd x-greenlane-rejected x-greenlane-ignored x-greenlane-config-version "
    "x-carbon-g x-carbon-low-g x-carbon-high-g x-energy-wh x-energy-low-wh x-energy-high-wh "
    "x-carbon-forecast-g x-carbon-forecast-low-g x-carbon-forecast-high-g "
    "x-energy-forecast-wh x-energy-forecast-low-wh x-energy-forecast-high-wh x-carbon-method x-carbon-confidence "
    "x-carbon-intensity-g-per-kwh x-carbon-zone x-carbon-basis x-carbon-source x-carbon-as-of x-carbon-age-s "
    "x-carbon-avoided-g x-carbon-avoided-marginal-g carbon-emissions-scope-2 retry-after"
)
_EXPOSED_NAMES = _NAMES.replace(" ", ", ").encode()


def refused(admission: Admission, policy: str = "", attempts: int = 0, *, worked: bool = False) -> bytes:
    """Headers of an answer for which no work was done, or (`worked`) for which nobody knows how much."""
    named = f"x-greenlane-policy: {policy}\r\n" if policy else ""
    return (
        ids(admission)
        + f"{named}x-greenlane-attempts: {attempts}\r\nx-greenlane-cache: none\r\nx-greenlane-reason: refused\r\n".encode(
            "ascii", "replace"
        )
        + (b"" if worked else NO_WORK)
        + cors(admission)
    )


def counted(admission: Admission, policy: str, attempts: int) -> bytes:
    """Headers of a count that was made here, because no deployment made it."""
    return refused(admission, policy, attempts).replace(b"x-greenlane-reason: refused", b"x-greenlane-reason: estimated")


def answered(admission: Admission, choice: tuple[bytes, str, str, int], footprint: Footprint, cost_usd: float | None, word: str) -> bytes:
    """Headers of an answer a deployment gave: observed figures, or the forecast where they leave before the work is done.

    `choice`: the deployment's own lines (`Served.head`), the policy, the reason, and at which attempt. `word`: `` or `forecast-`.
    """
    energy_j, low_j, high_j = footprint.energy_j, footprint.energy_low_j, footprint.energy_high_j
    g, low_g, high_g = footprint.carbon_g, footprint.carbon_low_g, footprint.carbon_high_g
    # where `%#.2g` writes all of them as `digits` does
    if (
        energy_j is not None
        and low_j is not None
        and high_j is not None
        and g is not None
        and low_g is not None
        and high_g is not None
        and 0.36 <= low_j <= energy_j <= high_j < 34000
        and 0.0001 <= low_g <= g <= high_g < 9.5
    ):
        form = _form(choice, footprint.method, footprint.confidence, word)
        cost_line = b"" if cost_usd is None else b"x-greenlane-cost-usd: %b\r\n" % digits(cost_usd).encode()
        ids = admission.request_id.encode("ascii", "replace"), admission.entry_id.encode()
        head = form % (*ids, cost_line, energy_j / 3600, low_j / 3600, high_j / 3600, g, low_g, high_g)
        return head + cors(admission) if b"origin" in admission.headers else head
    cost = "" if cost_usd is None else f"x-greenlane-cost-usd: {digits(cost_usd)}\r\n"
    served_head, policy, reason, attempts = choice
    text = (
        f"x-request-id: {admission.request_id}\r\nx-greenlane-id: {admission.entry_id}\r\n"
        f"x-greenlane-policy: {policy}\r\nx-greenlane-attempts: {attempts}\r\nx-greenlane-cache: none\r\n"
        f"x-greenlane-reason: {reason}\r\n{cost}{carbon(footprint, forecast=bool(word))}"
    )
    head = served_head + text.encode("ascii", "replace")
    return head + cors(admission) if b"origin" in admission.headers else head


@lru_cache(maxsize=4096)
def _form(choice: tuple[bytes, str, str, int], method: str, confidence: str, word: str) -> bytes:
    """The headers of all answers that differ in their ids and figures alone: filling it in costs 2 µs, writing it anew 6."""
    head, policy, reason, attempts = choice
    named = f"x-greenlane-policy: {policy}\r\nx-greenlane-attempts: {attempts}\r\nx-greenlane-cache: none\r\n"
    named += f"x-greenlane-reason: {reason}\r\n"
    told = f"x-carbon-method: {method}\r\nx-carbon-confidence: {confidence}\r\n"
    return (
        head.replace(b"%", b"%%")
        + b"x-request-id: %b\r\nx-greenlane-id: %b\r\n"
        + named.replace("%", "%%").encode("ascii", "replace")
        + b"%b"
        + f"x-energy-{word}wh: %#.2g\r\nx-energy-{word}low-wh: %#.2g\r\nx-energy-{word}high-wh: %#.2g\r\n{told}"
        f"x-carbon-{word}g: %#.2g\r\nx-carbon-{word}low-g: %#.2g\r\nx-carbon-{word}high-g: %#.2g\r\n".encode()
    )


def carbon(footprint: Footprint, *, forecast: bool) -> str:
    """The carbon and energy lines. What could not be estimated is absent."""
    word = "forecast-" if forecast else ""
    lines = ""
    if footprint.energy_j is not None and footprint.energy_low_j is not None and footprint.energy_high_j is not None:
        lines = (
            f"x-energy-{word}wh: {digits(footprint.energy_j / 3600)}\r\n"
            f"x-energy-{word}low-wh: {digits(footprint.energy_low_j / 3600)}\r\n"
            f"x-energy-{word}high-wh: {digits(footprint.energy_high_j / 3600)}\r\n"
            f"x-carbon-method: {footprint.method}\r\nx-carbon-confidence: {footprint.confidence}\r\n"
        )
    if footprint.carbon_g is not None and footprint.carbon_low_g is not None and footprint.carbon_high_g is not None:
        lines += (
            f"x-carbon-{word}g: {digits(footprint.carbon_g)}\r\n"
            f"x-carbon-{word}low-g: {digits(footprint.carbon_low_g)}\r\n"
            f"x-carbon-{word}high-g: {digits(footprint.carbon_high_g)}\r\n"
        )
    return lines


def verbose(
    figures: tuple[Footprint, Saving | None],
    snapshot: Snapshot,
    told: tuple[tuple[str, ...], tuple[str, ...]],
    room_bytes: int,
    now_s: float,
) -> bytes:
    """The lines sent when asked for; `told` are the rejected and the ignored. What finds no room is left out, longest first."""
    rejected, ignored = told
    footprint, saved = figures
    intensity = footprint.intensity
    lines = [f"x-greenlane-config-version: {snapshot.version}\r\n"]
    if intensity is not None:
        lines += [
            f"x-carbon-basis: {intensity.basis}\r\n",
            f"x-carbon-source: {_token(intensity.source)}\r\n",
            f"x-carbon-as-of: {intensity.as_of}\r\n",
            f"x-carbon-age-s: {age_s(intensity.as_of, now_s)}\r\n",
        ]
    if saved is not None:
        lines.append(f"x-carbon-avoided-g: {plain(saved.g)}\r\n")
        if saved.marginal_g is not None:
            lines.append(f"x-carbon-avoided-marginal-g: {plain(saved.marginal_g)}\r\n")
    if rejected:
        lines.append(f"x-greenlane-rejected: {_listed(rejected, 300)}\r\n")
    if ignored:
        lines.append(f"x-greenlane-ignored: {_listed(ignored, 200)}\r\n")
    while lines and sum(map(len, lines)) > room_bytes:
        lines.remove(max(lines, key=len))
    return "".join(lines).encode("ascii", "replace")


def _listed(names: tuple[str, ...], most_bytes: int) -> str:
    """As many whole names as fit, and how many do not."""
    shown: list[str] = []
    for number, name in enumerate(names):
        if sum(map(len, shown)) + 2 * len(shown) + len(name) > most_bytes:
            return ", ".join([*shown, f"+{len(names) - number}"])
        shown.append(name)
    return ", ".join(shown)


def scope_2(footprint: Footprint) -> bytes:
    """`Carbon-Emissions-Scope-2` (draft-martin-http-carbon-emissions-scope-2-00): grams, of direct location-based figures alone."""
    intensity = footprint.intensity
    if footprint.carbon_g is None or intensity is None or intensity.basis != "direct":
        return b""
    return f"carbon-emissions-scope-2: {plain(footprint.carbon_g)}\r\n".encode()


def digits(value: float) -> str:
    """`carbon.format.plain`, with its common ranges done by one format each."""
    if 0.0001 <= value < 9.5:
        return f"{value:#.2g}"
    return f"{value:.6f}" if 0.000011 < value < 0.000099 else plain(value)


def _token(text: str) -> str:
    """At most 80 characters, cut between words."""
    cut = text if len(text) <= 80 else text[:81].rpartition(" ")[0] or text[:80]
    return cut.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
