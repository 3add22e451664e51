"""`python -m benchmarks run` measures and writes the report; `report FILE` writes it again; see --help for parts of a run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import build, machine, report, results
from benchmarks.estimates import measured
from benchmarks.measure import Bench, Settings
from benchmarks.profiling import profile
from benchmarks.results import Round, Run
from benchmarks.scenarios import BY_NAME, OPEN, Scenario
from benchmarks.stacks import Stack, stacks, versions


def main() -> int:
    options = _parser().parse_args()
    if options.command == "report":
        report.write(results.load(options.results))
        return 0
    try:
        missing = build.build()
        known = stacks()
        chosen = [known[name] for name in options.stack or known]
        scenarios = [BY_NAME[name] for name in options.scenario or BY_NAME]
        settings = Settings(
            core=options.core,
            realtime=options.realtime,
            scale=0.4 if options.quick else 1.0,
            patience_s=options.patience,
        )
        if options.profile:
            for stack in chosen:
                print(profile(stack, scenarios[0], settings))
            return 0
    except build.MissingError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    rounds = options.rounds or (1 if options.quick else 3)
    run = _run(chosen, scenarios, settings, rounds, missing)
    path = options.out or results_path(run)
    results.save(run, path)
    if not options.stack and not options.scenario:
        report.write(run)
    told = results.failures(run)
    print(report.goals(run), *told, f"kept in {path}", sep="\n")
    return 1 if told else 0


def _run(chosen: Sequence[Stack], scenarios: Sequence[Scenario], settings: Settings, rounds: int, missing: Sequence[str]) -> Run:
    """Round after round of every stack in turn, so that what changes on the machine meets all of them."""
    at = datetime.now(UTC).replace(microsecond=0).isoformat()
    began_s = time.monotonic()
    windows = [scenario for scenario in scenarios if scenario is not OPEN]
    found: list[Round] = []
    with Bench(settings) as bench:
        for number in range(1, rounds + 1):
            for stack in chosen:
                if windows:
                    found.append(bench.round(stack, number, windows))
                    _say(found[-1])
                if OPEN in scenarios and stack.command is not None:
                    found.append(bench.memory(stack, number))
                    _say(found[-1])
    print(f"took {time.monotonic() - began_s:.0f} s", flush=True)
    told = {"core": str(settings.core), "rounds": str(rounds), "window scale": f"{settings.scale:g}"}
    if settings.realtime:
        told["scheduling"] = "real-time"
    return Run(
        at=at,
        commit=machine.commit(),
        machine=machine.facts(),
        versions=versions(),
        settings=told,
        titles={stack.name: stack.title for stack in chosen},
        rounds=tuple(found),
        estimates=measured() if OPEN in scenarios else (),
        missing=tuple(missing),
    )


def _say(found: Round) -> None:
    """A line a round, while it runs."""
    parts = [f"{found.number} {found.stack:17}"]
    if found.failure:
        parts.append(found.failure)
    for window in found.windows:
        per = window.cpu_us / (window.events or window.requests or 1)
        parts.append(f"{window.scenario} {window.failure or f'{per:.1f} µs'}")
    if found.memory is not None:
        added = (found.memory.open_bytes - found.memory.idle_bytes) / found.memory.streams / 1024 if found.memory.streams else 0.0
        parts.append(f"open1000 {found.memory.failure or f'{added:.1f} KiB'}")
    print("  ".join(parts), flush=True)


def results_path(run: Run) -> Path:
    from benchmarks.places import RESULTS

    return RESULTS / f"{run.at.replace(':', '').replace('+0000', 'Z')}.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Greenlane beside nginx and vllm-router, on one core.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure; a whole run writes report.md and its charts")
    run.add_argument("--quick", action="store_true", help="one round of short windows: about a minute and a half")
    run.add_argument("--rounds", type=int, help="of every stack (default 3; quick: 1)")
    run.add_argument("--stack", action="append", help="only this one; may be repeated: direct, nginx, vllm-router, greenlane, ...")
    run.add_argument("--scenario", action="append", choices=list(BY_NAME), help="only this one; may be repeated")
    run.add_argument("--core", type=int, default=0, help="for proxy, upstream and load generator (default 0)")
    run.add_argument("--realtime", action="store_true", help="SCHED_RR for all three, on a machine that has other work; root only")
    run.add_argument("--patience", type=float, default=3.0, help="seconds to wait before each window for other work to end (default 3)")
    run.add_argument("--profile", action="store_true", help="show where the time goes instead (py-spy; first scenario)")
    run.add_argument("--out", type=Path, help="where to keep the results")
    again = commands.add_parser("report", help="write report.md from kept results")
    again.add_argument("results", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
