"""The arguments of `greenlane`, and which function answers them. Exit codes: 0 done, 1 no (problems, a refusal), 2 could not try."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from proxy import __version__
from proxy.cli import calibrating, checking, estimating, explaining, importing, intensity, routing, savings, serving, usage
from proxy.configuration import ConfigurationError

_FORMATTER = argparse.RawDescriptionHelpFormatter


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exits with the code of the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of others may have letters that the terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Does what the arguments say and returns the exit code. SystemExit for --help, --version and wrong arguments, as argparse has it."""
    options = parser().parse_args(arguments)
    try:
        return int(options.answer(options))
    except ConfigurationError as error:
        for problem in error.problems:
            sys.stderr.write(problem.told(error.source_name) + "\n")
        return 1
    except BrokenPipeError:  # the reader (`| head`) has left; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="greenlane",
        description="An OpenAI-compatible inference proxy that routes by policy and puts energy and carbon on every response.",
        formatter_class=_FORMATTER,
    )
    top.add_argument("--version", action="version", version=f"greenlane {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _serve(commands)
    _config(commands)
    _route(commands)
    _usage(commands)
    _savings(commands)
    _intensity(commands)
    _explain(commands)
    _estimate(commands)
    _calibrate(commands)
    _import(commands)
    return top


def _serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "serve",
        help="run the proxy",
        description="Runs the proxy. Without a configuration it serves what it finds on this machine, and simulations.",
    )
    command.add_argument("--config", metavar="FILE", help="the configuration (default: $GREENLANE_CONFIG, else the embedded fleet)")
    command.add_argument("--host", help="address to listen on (default: the configuration's, 127.0.0.1)")
    command.add_argument("--port", type=_port, help="port to listen on (default: the configuration's, 8080)")
    command.add_argument(
        "--vendors", action="store_true", help="let vendors join the embedded fleet whose usual key variable is set: they cost money"
    )
    command.set_defaults(answer=serving.serve)


def _config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("config", help="check a configuration, or print its JSON Schema")
    inner = command.add_subparsers(required=True, metavar="COMMAND", title="commands")
    check = inner.add_parser(
        "check",
        help="tell everything that is wrong with a configuration",
        description="Reads a configuration and tells everything that is wrong with it.",
        epilog="Exit code: 0 it can be served (warnings may be told), 1 it cannot, 2 it cannot be read.",
    )
    check.add_argument("file", metavar="FILE")
    check.add_argument("--no-secrets", action="store_true", help="only warn of secrets that are not present here")
    check.add_argument("--json", action="store_true", help="print the problems as JSON")
    check.set_defaults(answer=checking.check)
    schema = inner.add_parser("schema", help="print the JSON Schema of the configuration, for editors")
    schema.set_defaults(answer=checking.schema)


def _route(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "route",
        help="explain which deployment a request would go to, without sending it",
        description="Explains which deployment a request would go to, and why; nothing is sent. Grids are taken at their yearly means:"
        " no live source is asked (see greenlane intensity).",
        epilog="Exit code: 0 it would be served, 1 it would be refused, 2 there is no such key.",
    )
    command.add_argument("--config", metavar="FILE", help="the configuration (default: $GREENLANE_CONFIG, else the embedded fleet)")
    command.add_argument("--vendors", action="store_true", help="with the embedded fleet: as in serve")
    command.add_argument("--model", required=True, help="as a client would write it: NAME or NAME/POLICY")
    command.add_argument("--key", metavar="NAME", help="the name of the key it comes with, whose team's policy and limits count")
    command.add_argument("--input-tokens", type=_amount, default=1000, metavar="N", help="tokens of the prompt (default: 1000)")
    command.add_argument("--max-tokens", type=_count, metavar="N", help="the client's cap on the answer (default: none)")
    for name, header in routing.CONSTRAINTS.items():
        command.add_argument(f"--{name}", metavar=name.upper().replace("-", "_"), help=f"as the header {header}")
    command.add_argument(
        "--header", action="append", default=[], type=routing.header, metavar="NAME=VALUE", help="any other header of the request"
    )
    command.add_argument("--json", action="store_true", help="print the decision as JSON")
    command.set_defaults(answer=routing.route)


def _usage(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "usage",
        help="show what a running proxy has accounted",
        description="Asks a running proxy for the sums of its ledger. A key is sent from $GREENLANE_API_KEY where that is set.",
    )
    _sums(command, "model")
    command.set_defaults(answer=usage.usage)


def _savings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "savings",
        help="show what choices avoided, and what was emitted",
        description="Asks a running proxy what its choices avoided against each model's default, signed, beside the totals."
        " A key is sent from $GREENLANE_API_KEY where that is set.",
    )
    _sums(command, "policy")
    command.set_defaults(answer=savings.savings)


def _sums(command: argparse.ArgumentParser, group: str) -> None:
    command.add_argument("--url", default="http://127.0.0.1:8080", help="the proxy's address (default: %(default)s)")
    command.add_argument("--from", dest="from_", metavar="TIME", help="first day or time (2026-11-01, 2026-11-01T08:00:00Z)")
    command.add_argument("--to", metavar="TIME", help="day or time after the last")
    command.add_argument("--group-by", choices=usage.GROUPS, default=group, help="what a line is (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print the answer as it came")


def _intensity(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "intensity",
        help="show how much CO2e a kilowatt-hour carries now",
        description="Shows the grids of a running proxy's fleet, or one zone with its past and its forecast.",
        epilog="Times are written 90m, 24h or 2d. A key is sent from $GREENLANE_API_KEY where that is set.",
    )
    command.add_argument("zone", nargs="?", metavar="ZONE", help="cloud region, country, grid zone, city (default: those of the fleet)")
    command.add_argument("--horizon", metavar="TIME", help="show the forecast for so long")
    command.add_argument("--history", metavar="TIME", help="show what was read for so long back")
    command.add_argument("--url", default="http://127.0.0.1:8080", help="the proxy's address (default: %(default)s)")
    command.add_argument("--config", metavar="FILE", help="ask the sources of this configuration, no proxy")
    command.add_argument("--json", action="store_true", help="print the answer as it came")
    command.set_defaults(answer=intensity.intensity)


def _explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "explain-carbon",
        help="show how a figure came about, to be redone by hand",
        description="Shows how the energy and carbon of one request, or of one estimate, came about: every line can be redone by hand.",
        epilog="A key is sent from $GREENLANE_API_KEY where that is set.",
    )
    command.add_argument("id", metavar="ID", help="of an answer (its header x-greenlane-id), or of an estimate (est-...)")
    command.add_argument("--url", default="http://127.0.0.1:8080", help="the proxy's address (default: %(default)s)")
    command.add_argument("--json", action="store_true", help="print the answer as it came")
    command.set_defaults(answer=explaining.explain)


def _estimate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "estimate",
        help="work out what a request would take, without a proxy",
        description="Works out the energy and carbon of a request from the tables, or a model's own config.json; yearly grid means.",
        epilog="What is not stated is assumed, and the answer lists it. POST /estimate of a running proxy keeps its estimates.",
    )
    command.add_argument("--model", required=True, help="a name the tables know, or any with --parameters or --hf-config")
    command.add_argument("--hf-config", metavar="FILE", help="the model's config.json: layers, heads, experts")
    command.add_argument("--parameters", type=_parameters, metavar="TOTAL[:ACTIVE]", help="in billions (235:22)")
    command.add_argument("--tokens-in", type=_amount, default=1000, metavar="N", help="of the prompt (default: 1000)")
    command.add_argument("--tokens-cached", type=_amount, default=0, metavar="N", help="of these, out of the prefix cache (default: 0)")
    command.add_argument("--tokens-out", type=_amount, default=500, metavar="N", help="of the answer (default: 500)")
    command.add_argument("--decode-s", type=_positive, metavar="S", help="seconds from the first token to the last, as observed")
    command.add_argument("--gpu", help="A100, H100, B200 or another")
    command.add_argument("--gpus", type=_count, metavar="N", help="of one replica (default: as many as hold the model)")
    command.add_argument("--batch", type=_positive, metavar="N", help="requests that run together")
    command.add_argument("--pue", type=_pue, help="power usage effectiveness of the building")
    command.add_argument("--zone", help="cloud region, country, grid zone, city (default: the world)")
    command.add_argument("--json", action="store_true", help="print the answer as JSON")
    command.set_defaults(answer=estimating.estimate)


def _calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "calibrate",
        help="fit estimates to what was measured",
        description="Fits each deployment's energy to what the ledger has of measured requests; a running proxy does it once a day.",
        epilog="A fit that is accepted is in force in every proxy on that ledger within a minute. Needs the extra `calibration`.",
    )
    command.add_argument("--deployment", metavar="NAME", help="only this one (default: all)")
    command.add_argument("--config", metavar="FILE", help="whose ledger and deployments (default: $GREENLANE_CONFIG)")
    command.add_argument("--dry-run", action="store_true", help="show it and keep nothing")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.set_defaults(answer=calibrating.calibrate)


def _import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("import", help="turn another proxy's configuration into ours")
    inner = command.add_subparsers(required=True, metavar="FORMAT", title="formats")
    litellm = inner.add_parser(
        "litellm",
        help="read a LiteLLM config.yaml",
        description="Prints our configuration for a LiteLLM one. What cannot be expressed is told on standard error and in comments.",
        epilog="Keys written in the file are never copied: each becomes env:NAME, and the name is told.",
    )
    litellm.add_argument("file", metavar="FILE")
    litellm.set_defaults(answer=importing.litellm)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def _pue(text: str) -> float:
    number = _positive(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _parameters(text: str) -> str:
    total, colon, active = text.partition(":")
    if _positive(total) < (_positive(active) if colon else 0):
        raise argparse.ArgumentTypeError("is TOTAL, or TOTAL:ACTIVE with ACTIVE no more than TOTAL")
    return text


def _count(text: str) -> int:
    number = _amount(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _amount(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)


def _port(text: str) -> int:
    number = _amount(text)
    if number > 65535:
        raise argparse.ArgumentTypeError("must be at most 65535")
    return number
