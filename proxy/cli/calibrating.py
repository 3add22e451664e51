"""`greenlane calibrate`: fits what was measured of each deployment, and says how good that is and whether it is taken."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

import msgspec

from carbon.calibrating import Verdict
from carbon.calibration import Calibration, Evidence
from carbon.profile import EnergyProfile
from proxy.catalogue import energy_profile
from proxy.cli.table import table
from proxy.config import Config
from proxy.configuration import load
from proxy.configuration.credentials import ledger_url
from proxy.store.calibrations import CalibrationStore
from proxy.store.engine import StoreUrlError
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.migration import StoreVersionError
from proxy.workers.calibration import Calibrator, fits_here, fitted

_COLUMNS = ("deployment", "records", "hours", "tokens", "a + b·tokens", "three terms", "prior", "last day", "in force", "verdict")
_TERMS = ("calibration", "J/request", "J/input", "J/output", "J/output·context", "band", "of the fit")

Answer = tuple[Evidence, Verdict]


def calibrate(options: argparse.Namespace) -> int:
    """0: fitted, or told what is missing; 1: a name is not known; 2: the store cannot be used, or the extra is missing."""
    if not fits_here():
        sys.stderr.write("greenlane: calibrations are fitted with scipy: install the extra `calibration`, as in greenlane[calibration]\n")
        return 2
    source = options.config or os.environ.get("GREENLANE_CONFIG")
    if not source:
        sys.stderr.write("greenlane: which ledger? Name a configuration with --config FILE or $GREENLANE_CONFIG\n")
        return 1
    config = load(source)
    if options.deployment is not None and options.deployment not in config.deployments:
        sys.stderr.write(f"greenlane: there is no deployment {options.deployment!r}; there are {', '.join(config.deployments)}\n")
        return 1
    try:
        answers = asyncio.run(_fitted(config, options.deployment, keep=not options.dry_run))
    except (StoreUrlError, StoreVersionError, StoreUnavailableError) as error:
        sys.stderr.write(f"greenlane: {error}\n")
        return 2
    sys.stdout.write(json.dumps([_told(each) for each in answers], indent=2) + "\n" if options.json else _shown(answers))
    return 0


async def _fitted(config: Config, deployment: str | None, *, keep: bool) -> list[Answer]:
    profiles = {
        name: profile
        for name, settings in config.deployments.items()
        if deployment in {None, name} and (profile := energy_profile(settings)) is not None
    }
    ledger = await Ledger.open(ledger_url(config, os.environ))
    try:
        calibrator = Calibrator(CalibrationStore(ledger), lambda: profiles, lambda _: None, time.time)
        await calibrator.look()
        answers = []
        for name, profile in profiles.items():
            evidence, verdict = await calibrator.consider(name, profile, _here)
            if keep:
                verdict = await calibrator.keep(verdict)
            answers.append((evidence, verdict))
        return answers
    finally:
        await ledger.close()


async def _here(evidence: Evidence, profile: EnergyProfile, incumbent: Calibration | None, now_s: float) -> Verdict:
    return fitted(evidence, profile, incumbent, now_s)


def _told(answer: Answer) -> dict[str, Any]:
    evidence, verdict = answer
    calibration = verdict.calibration
    return {
        "deployment": evidence.deployment,
        "records": len(evidence.records),
        "source": evidence.source,
        "boundary": evidence.boundary,
        "span_s": evidence.span_s,
        "token_span": evidence.token_span,
        "missing": list(verdict.missing),
        "why": None if calibration is None else calibration.why,
        "calibration": None if calibration is None else msgspec.to_builtins(calibration),
    }


def _shown(answers: list[Answer]) -> str:
    if not answers:
        return "no deployment's model is known: nothing to fit\n"
    shown = table(_COLUMNS, [_line(*each) for each in answers])
    made = [verdict.calibration for _, verdict in answers if verdict.calibration is not None]
    return shown + ("\n" + table(_TERMS, [_terms(each) for each in made]) if made else "")


def _line(evidence: Evidence, verdict: Verdict) -> list[Any]:
    counts: list[Any] = [evidence.deployment, len(evidence.records), None, None]
    if evidence.records:
        counts[2:] = [round(evidence.span_s / 3600, 1), f"×{evidence.token_span:.1f}"]  # noqa: RUF001
    made = verdict.calibration
    if made is None:
        return [*counts, *[None] * 5, "not yet: " + "; ".join(verdict.missing)]
    errors = (made.plain_cv_mdape, made.cv_mdape, made.prior_error, made.held_out_error, made.incumbent_error)
    return [*counts, *(f"{100 * each:.1f} %" for each in errors), _verdict(made)]


def _verdict(made: Calibration) -> str:
    if made.accepted:
        return "accepted"
    return "not accepted: " + ("not better by 5 %" if made.overtaken is None else made.why)


def _terms(made: Calibration) -> list[Any]:
    form = made.terms.form
    joules = [_exactly(each) for each in (made.terms.request_j, form.prefill, form.token, form.context)]
    return [made.id, *joules, f"×{made.low:.2f}–{made.high:.2f}", f"{100 * made.weight:.0f} %"]  # noqa: RUF001


def _exactly(joules: float) -> str:
    return f"{joules:.3g}"
