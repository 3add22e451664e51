"""Calibrations beside the requests: those in force, taken from the store, and new ones fitted once a day in a process of their own.

A fit takes seconds of processor time and scipy's memory: neither is the proxy's. Whoever fits (another process, `greenlane calibrate`)
puts the result into the store, and every proxy on that store takes it into force within a minute. Fitting needs the extra `calibration`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import msgspec

from carbon.calibrating import Verdict, calibrate, drawn
from carbon.calibration import DAY_S, LEAST_RECORDS, Calibration, Drift, Evidence, drift, machine_of, missing
from carbon.energy import estimator
from carbon.profile import EnergyProfile
from proxy.store.calibrations import CalibrationStore
from proxy.store.ledger import StoreUnavailableError

log = logging.getLogger("greenlane.calibration")

LOOK_S = 60.0
"""How often the store is asked what is in force."""
FIRST_S = 3600.0
"""Of uptime before anything is fitted: a proxy that is started again and again does not fit again and again."""
DRIFT_S = 3600.0
DRIFTED_S = 2 * DAY_S
"""What a fit is made of where the calibration in force has drifted."""
SPARSE_S = 7 * DAY_S
"""Between two fits where a day brings fewer records than a fit needs; elsewhere a day."""
NICENESS = 10
MOST_S = 600.0
"""For one fit: sixty times what 8,000 records take."""

Fit = Callable[[Evidence, EnergyProfile, Calibration | None, float], Awaitable[Verdict]]
Profiles = Callable[[], Mapping[str, EnergyProfile]]
"""The deployments of now with what is known of them."""


class Calibrator:
    """One process's calibrations. `in_force` is what the store said last, those that have drifted with wider bands."""

    def __init__(
        self,
        store: CalibrationStore,
        profiles: Profiles,
        publish: Callable[[Mapping[str, Calibration]], None],
        now_s: Callable[[], float] = time.time,
        fit: Fit | None = None,
    ) -> None:
        self._store, self._profiles, self._publish, self._now_s = store, profiles, publish, now_s
        self._fit = fit or (in_process if fits_here() else None)
        """None: the extra is missing, and calibrations come from elsewhere."""
        self._began_s = now_s()
        self._due_s: dict[str, float] = {}
        self._drift_due_s = 0.0
        self._unavailable: str | None = None
        self._kept: Mapping[str, Calibration] = {}
        self.in_force: Mapping[str, Calibration] = {}
        self.drifts: dict[str, Drift] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
                await self._work()
            except StoreUnavailableError as error:
                if self._unavailable != error.kind:
                    log.warning("calibrations: the store is unavailable (%s)", error.kind)
                self._unavailable = error.kind
            else:
                self._unavailable = None
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """What the store says is in force, is. Raises StoreUnavailableError."""
        found = await self._store.latest()
        if {name: each.id for name, each in found.items()} == {name: each.id for name, each in self._kept.items()}:
            return
        for name, each in found.items():
            if name not in self._kept or self._kept[name].id != each.id:
                log.info("calibration %s of %s: %s", each.id, name, each.why)
                self.drifts.pop(name, None)
        self._kept = found
        self._drift_due_s = 0.0
        self._take(found)

    async def consider(self, name: str, profile: EnergyProfile, fit: Fit) -> tuple[Evidence, Verdict]:
        """Fits what was measured of a deployment; nothing is kept or in force for that. Raises StoreUnavailableError.

        Where the calibration in force has drifted, of the last days alone if they have what a fit needs: what was measured before says
        another thing, and would keep it in force for a week.
        """
        now_s = self._now_s()
        evidence = await self._store.measured(name, profile, now_s)
        held = self._of_machine(name, profile)
        incumbent = held if held is not None and held.boundary == evidence.boundary else None
        if incumbent is not None:
            evidence = await asyncio.to_thread(_since_drift, evidence, incumbent, now_s)
        return evidence, await fit(evidence, profile, incumbent, now_s)

    async def keep(self, verdict: Verdict) -> Verdict:
        """Whatever was fitted is kept, accepted or not: as it is in the store. Raises StoreUnavailableError.

        It was compared with what `look` found last; where another process has brought another into force since, it is kept as overtaken.
        """
        made = verdict.calibration
        if made is None:
            return verdict
        held = self._kept.get(made.deployment)
        return Verdict(calibration=await self._store.keep(made, None if held is None else held.id))

    def ages_s(self) -> Iterable[tuple[str, float]]:
        """Of those that deployments of now are accounted by."""
        now_s = self._now_s()
        used = ((name, self._of_machine(name, profile)) for name, profile in self._profiles().items())
        return [(name, max(0.0, now_s - each.fitted_at_s)) for name, each in used if each is not None]

    async def _work(self) -> None:
        if self._now_s() >= self._drift_due_s:
            self._drift_due_s = self._now_s() + DRIFT_S
            await self._watch_drift()
        if self._fit is None or self._now_s() - self._began_s < FIRST_S:
            return
        for name, profile in self._profiles().items():
            if self._now_s() >= self._due_s.get(name, 0.0):
                self._due_s[name] = self._now_s() + DAY_S
                self._due_s[name] = await self._fit_one(name, profile, self._fit)
                await self.look()

    async def _fit_one(self, name: str, profile: EnergyProfile, fit: Fit) -> float:
        """When to fit this deployment again. One that another process has just fitted is left to it."""
        now_s = self._now_s()
        kept = await self._store.of(name, 1)
        if kept and now_s - kept[0].fitted_at_s < DAY_S / 2:
            return kept[0].fitted_at_s + DAY_S
        evidence, verdict = await self.consider(name, profile, fit)
        verdict = await self.keep(verdict)
        if verdict.calibration is None:
            return now_s + DAY_S
        if not verdict.calibration.accepted:
            log.info("calibration of %s was not accepted: %s", name, verdict.calibration.why)
        of_today = await asyncio.to_thread(_since, evidence, now_s - DAY_S)
        return now_s + (DAY_S if of_today >= LEAST_RECORDS else SPARSE_S)

    async def _watch_drift(self) -> None:
        for name, profile in self._profiles().items():
            calibration = self._of_machine(name, profile)
            if calibration is None:
                self.drifts.pop(name, None)
                continue
            evidence = await self._store.measured(name, profile, self._now_s(), DAY_S, calibration.boundary)
            found = await asyncio.to_thread(drift, calibration, evidence.records, self._now_s())
            before = self.drifts.pop(name, None)
            if found is not None:
                self.drifts[name] = found
            self._tell(calibration, before is not None and before.alarm, found)
        under_drift = {name: each.drifted(self.drifts.get(name)) for name, each in self._kept.items()}
        if under_drift != self.in_force:
            self._take(under_drift)

    def _take(self, calibrations: Mapping[str, Calibration]) -> None:
        self.in_force = calibrations
        self._publish(calibrations)

    def _tell(self, calibration: Calibration, before: bool, found: Drift | None) -> None:
        now = found is not None and found.alarm
        if found is not None and now and not before:
            # whatever is measured seldom is not left so for a week
            self._due_s[calibration.deployment] = min(self._due_s.get(calibration.deployment, 0.0), self._now_s() + DAY_S)
            log.warning(
                "calibration %s of %s has drifted: measured energy is %.2f times what it foresees (%d requests of 24 h)",
                calibration.id,
                calibration.deployment,
                found.ratio,
                found.n,
            )
        elif before and not now:
            log.info("calibration %s of %s no longer drifts", calibration.id, calibration.deployment)

    def _of_machine(self, name: str, profile: EnergyProfile) -> Calibration | None:
        held = self._kept.get(name)
        return held if held is not None and held.machine == machine_of(profile) else None


def fits_here() -> bool:
    """Whether the extra `calibration` is installed."""
    return importlib.util.find_spec("scipy") is not None


def fitted(evidence: Evidence, profile: EnergyProfile, incumbent: Calibration | None, now_s: float) -> Verdict:
    """A fit in this process. Raises MissingExtraError."""
    return calibrate(evidence, estimator(profile), incumbent, now_s)


async def in_process(evidence: Evidence, profile: EnergyProfile, incumbent: Calibration | None, now_s: float) -> Verdict:
    """The same in a process of its own, which ends with it: a thread would hold the interpreter for 30 ms at a time.

    Raises EOFError where the process died, TimeoutError where it takes too long.
    """
    child = _Child()
    try:
        async with asyncio.timeout(MOST_S):
            return await asyncio.to_thread(child.verdict, _Asked(evidence, profile, incumbent, now_s))
    finally:
        child.end()


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    """What `fitted` is given, as it crosses to the other process: encoded, a fiftieth of the time it takes to pickle."""

    evidence: Evidence
    profile: EnergyProfile
    incumbent: Calibration | None
    now_s: float


class _Child:
    """One fit in a process. `verdict` waits for it, in a thread; it ends when `end` is called."""

    def __init__(self) -> None:
        self._process: SpawnProcess | None = None
        self._ended = False

    def verdict(self, asked: _Asked) -> Verdict:
        encoded = msgspec.msgpack.encode(msgspec.structs.replace(asked, evidence=drawn(asked.evidence)))
        spawning = multiprocessing.get_context("spawn")
        answer, answering = spawning.Pipe(duplex=False)
        self._process = process = spawning.Process(target=_answer, args=(answering, encoded), name="calibration", daemon=True)
        with answer:
            process.start()
            answering.close()
            if self._ended:
                process.terminate()
            found = msgspec.msgpack.decode(answer.recv_bytes(), type=Verdict)
        process.join()
        return found

    def end(self) -> None:
        self._ended = True
        if self._process is not None and self._process.pid is not None:
            self._process.terminate()


def _answer(answering: Connection, encoded: bytes) -> None:
    """The other process. Interrupts from the terminal are its parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    asked = msgspec.msgpack.decode(encoded, type=_Asked)
    answering.send_bytes(msgspec.msgpack.encode(fitted(asked.evidence, asked.profile, asked.incumbent, asked.now_s)))


def _since_drift(evidence: Evidence, incumbent: Calibration, now_s: float) -> Evidence:
    found = drift(incumbent, evidence.records, now_s)
    if found is None or not found.alarm:
        return evidence
    recent = tuple(each for each in evidence.records if each.at_s > now_s - DRIFTED_S)
    since = msgspec.structs.replace(evidence, records=recent)
    return evidence if missing(since) else since


def _since(evidence: Evidence, at_s: float) -> int:
    return sum(each.at_s > at_s for each in evidence.records)
