"""A run as a page: tables of medians with their ranges, ratios to the peers of the same run, charts, and how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.charts import Bar, Group, chart, number
from benchmarks.places import CHARTS, REPORT
from benchmarks.results import Figure, Run, Window
from benchmarks.scenarios import BY_NAME

OURS = "greenlane"
PEER = "vllm-router"
FLOOR = "nginx"
KIB = 1024.0
GOAL_KIB = 20.0

REQUEST = """
Microseconds of processor time of the proxy for one whole answer, user and system, with what it does after the answer. Asked are 0.7 to
3.7 KB (in the last column up to 40 KB), answered 0.7 KB."""
CHUNK = """
Microseconds of processor time of the proxy for one event of a stream; the rest of the request's work is shared among its 65 events."""
LATENCY = "Microseconds beyond asking the mock upstream itself in the same round, one request at a time."
MEMORY = """
KiB (proportional set size) that each of 1,000 open streams adds to the proxy's processes. What the kernel holds for the sockets is in
nobody's figure."""
ESTIMATE = """
Microseconds of processor time in memory, the least of many batches: a candidate with its forecast, price, latency and load, as a decision
is made of them; and the account of an answer (joules and grams with their bands) by each method."""
RATE = """
With the proxy, the upstream and the load generator on one core: a check of the figures above rather than a figure of its own."""

NONE = "-"
Read = Callable[[str], Figure | None]
"""A stack's figure of one quantity."""


def write(run: Run, report: Path = REPORT, charts: Path = CHARTS) -> None:
    """The page and its charts."""
    charts.mkdir(exist_ok=True)
    for name, drawn in drawings(run).items():
        (charts / f"{name}.svg").write_text(drawn)
    report.write_text(page(run, charts.name))


def page(run: Run, charts: str) -> str:
    sections = (
        f"# Greenlane beside its peers\n\n{_opening(run)}",
        f"## Against the goals\n\n{goals(run)}",
        _section("CPU of a request", REQUEST, _table(run, _requests(run)), f"{charts}/request.svg"),
        _section("CPU of a streamed chunk", CHUNK, _table(run, _chunks(run)), f"{charts}/chunk.svg"),
        _section("Latency added", LATENCY, _table(run, _latencies(run)), f"{charts}/latency.svg"),
        _section("Memory of an open stream", MEMORY, _table(run, _memory(run)), f"{charts}/memory.svg"),
        _section("Cost of a figure", ESTIMATE, _estimates(run)),
        _section("Requests a second", RATE, _table(run, _rates(run), ratios=False)),
        f"## How it was measured\n\n{_how(run)}",
    )
    return "\n\n".join(sections) + "\n"


def _section(title: str, intro: str, table: str, chart_path: str | None = None) -> str:
    parts = [f"## {title}", " ".join(intro.split()), table]
    if chart_path is not None:
        parts.append(f"![{title}]({chart_path})")
    return "\n\n".join(parts)


def goals(run: Run) -> str:
    """The three figures that Greenlane promises, everything switched on."""
    asked = (
        ("CPU of a request, 32 at a time", "µs", _cpu(run, "ns32"), None),
        ("CPU of a chunk, one every 10 ms", "µs", _cpu(run, "sd100"), None),
        ("memory of an open stream", "KiB", lambda stack: _kib(results.per_stream_bytes(run, stack)), GOAL_KIB),
    )
    lines = [f"| | Greenlane | {FLOOR} | {PEER} | goal | |", "|---|---|---|---|---|---|"]
    for title, unit, read, bound in asked:
        ours, floor, peer = read(OURS), read(FLOOR), read(PEER)
        limit = bound if bound is not None else None if peer is None else peer.value
        goal = f"≤ {number(bound)} {unit}" if bound is not None else f"≤ {PEER}"
        verdict = (
            "not measured"
            if ours is None or limit is None
            else "met"
            if ours.value <= limit
            else f"missed: {ours.value / limit:.2f} times it"
        )
        shown = [f"{number(each.value)} {unit}" if each is not None else NONE for each in (ours, floor, peer)]
        lines.append(f"| {title} | {' | '.join(shown)} | {goal} | {verdict} |")
    return "\n".join(lines)


def drawings(run: Run) -> dict[str, str]:
    """The charts by name."""
    return {
        "request": chart("CPU of a request", "µs", _groups(run, _requests(run))),
        "chunk": chart("CPU of a streamed chunk", "µs", _groups(run, _chunks(run))),
        "latency": chart("Latency added, one request at a time", "µs", _groups(run, _latencies(run))),
        "memory": chart("Memory of an open stream", "KiB", _groups(run, _memory(run)[:1])),
    }


def _requests(run: Run) -> list[tuple[str, Read]]:
    columns = [(f"{BY_NAME[name].concurrency} at a time", _cpu(run, name)) for name in ("ns1", "ns32", "ns256")]
    return [*columns, ("32 at a time, up to 40 KB", _cpu(run, "wide32"))]


def _chunks(run: Run) -> list[tuple[str, Read]]:
    return [("one every 10 ms, 100 streams", _cpu(run, "sd100")), ("without a pace, 32 streams", _cpu(run, "st32"))]


def _latencies(run: Run) -> list[tuple[str, Read]]:
    return [
        ("median", lambda stack: results.added_us(run, stack, "ns1", lambda window: window.latency_p50_us)),
        ("99th percentile", lambda stack: results.added_us(run, stack, "ns1", lambda window: window.latency_p99_us)),
    ]


def _memory(run: Run) -> list[tuple[str, Read]]:
    return [
        ("an open stream", lambda stack: _kib(results.per_stream_bytes(run, stack))),
        ("the process without one", lambda stack: _kib(results.idle_bytes(run, stack))),
    ]


def _rates(run: Run) -> list[tuple[str, Read]]:
    def read(name: str) -> Read:
        return lambda stack: results.of_windows(run, stack, name, lambda window: window.requests / window.seconds_s)

    return [(BY_NAME[name].title, read(name)) for name in ("ns1", "ns32", "ns256", "st32")]


def _cpu(run: Run, name: str) -> Read:
    """Processor time of a request, or of an event where the scenario streams."""
    per: Callable[[Window], float] = results.cpu_per_event_us if BY_NAME[name].chunks else results.cpu_per_request_us
    return lambda stack: results.of_windows(run, stack, name, per)


def _table(run: Run, columns: Sequence[tuple[str, Read]], *, ratios: bool = True) -> str:
    """A row a stack: each column absolute (with its range), then against the peers."""
    heads = [part for title, _ in columns for part in (title, *([f"÷ {FLOOR}", f"÷ {PEER}"] if ratios else []))]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for stack, title in run.titles.items():
        if ratios and stack == "direct":
            continue
        cells = []
        for _, read in columns:
            figure = read(stack)
            cells.append(_shown(figure))
            if ratios:
                cells += [_ratio(figure, read(FLOOR)), _ratio(figure, read(PEER))]
        if any(cell != NONE for cell in cells):
            lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _estimates(run: Run) -> str:
    lines = ["| | µs | goal | |", "|---|---|---|---|"]
    for each in run.estimates:
        verdict = "met" if each.took_us <= each.goal_us else "missed"
        lines.append(f"| {each.what} | {each.took_us:.2f} | ≤ {each.goal_us:g} | {verdict} |")
    return "\n".join(lines)


def _groups(run: Run, columns: Sequence[tuple[str, Read]]) -> list[Group]:
    groups = []
    for title, read in columns:
        found = [(stack, shown, read(stack)) for stack, shown in run.titles.items() if stack != "direct"]
        bars = tuple(Bar(label=shown, figure=figure, ours=stack.startswith(OURS)) for stack, shown, figure in found if figure is not None)
        groups.append(Group(title=title, bars=bars))
    return groups


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return NONE
    return number(figure.value) if figure.rounds == 1 else f"{number(figure.value)} ({number(figure.least)} to {number(figure.most)})"


def _ratio(figure: Figure | None, other: Figure | None) -> str:
    return NONE if figure is None or other is None or other.value <= 0 else f"{figure.value / other.value:.2f}"


def _kib(figure: Figure | None) -> Figure | None:
    if figure is None:
        return None
    return Figure(value=figure.value / KIB, least=figure.least / KIB, most=figure.most / KIB, rounds=figure.rounds)


def _opening(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    machine = ", ".join(f"{name}: {value}" for name, value in run.machine.items())
    troubles = "".join(f"\n- {line}" for line in (*run.missing, *results.failures(run)))
    return (
        f"Taken on {run.at[:10]} at commit `{run.commit}` with `make bench`, all stacks in one run, in turn. {versions}.\n\n{machine}."
        + (f"\n\nNot measured, or measured wrongly and left out:\n{troubles}" if troubles else "")
    )


def _how(run: Run) -> str:
    windows = [window for each in run.rounds for window in each.windows if window.failure is None]
    others = sorted(window.others_cores for window in windows)
    noise = f"{others[len(others) // 2]:.2f} cores in the median window, {others[-1]:.2f} in the worst" if others else "unknown"
    settings = ", ".join(f"{name}: {value}" for name, value in run.settings.items())
    return f"""\
- **One core for all.** Proxy, mock upstream and load generator share core {run.settings.get("core", "0")} ({settings}). No wake-up
  crosses cores, so the figures repeat; they flatter every stack alike. Read the ratios: the absolute figures are this machine's.
- **CPU** is the scheduler's count for all threads of the proxy, from the first request until it has been idle after the last: what is
  put off (Greenlane's ledger rows) is counted. Where a figure has a range, it is the least and the most of the rounds, and the figure
  their median.
- **The mock upstream** (`native/mock.c`) answers at once, sends every chunk by itself, and sends usage only where it is asked for.
- **The load generator** (`native/load.c`) checks every answer: its status, its number of events, its last bytes. No request is as long
  as the one before it. Greenlane keeps decisions for requests of the same size in tokens; with prompts of up to 40 KB it meets a size
  again less often than it has room for. Its answers must show their grams, energy, price, policy and reason, and afterwards every
  request must have its row in the ledger with its grams and its line in the log. A stack that fails in any of this has no figures,
  only the reason, above.
- **Greenlane** is switched on entirely: a key, a team, a policy of lowest carbon with a cap on cost and a preference over twenty
  deployments in twenty grids, energy, carbon and price on every answer, ledger, request log, metrics. *One deployment* is the same
  without the policy and the choice. **nginx** proxies and does nothing else: no log, no buffering. **{PEER}** routes round robin to one
  worker, retries off, logging errors alone, metrics on.
- **Noise**: other work on the machine took {noise}."""
