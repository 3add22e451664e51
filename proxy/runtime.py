"""The running proxy put together: configuration to snapshot, peers, spool, ledger and workers; and reloading it all at once."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from carbon.calibration import Calibration
from carbon.components import ROUTER_W
from carbon.intensity import Intensity, Table
from carbon.profile import EnergyProfile, profile_from
from carbon.zones import resolve_zone
from proxy.catalogue import Secrets, recalibrated, regridded, snapshot
from proxy.config import Config, Deployment
from proxy.configuration import ConfigurationError, Problem, SecretError, load, version
from proxy.configuration.checking import is_loopback
from proxy.configuration.credentials import ledger_url, resolve_all, salts
from proxy.configuration.secret import Secret, resolve
from proxy.dataplane import inside
from proxy.dataplane.budget import Spent, period_start
from proxy.dataplane.endpoint import Around, DataPlane, inflated
from proxy.dataplane.peer import peers
from proxy.dataplane.settle import Settler
from proxy.exchange import Exchange
from proxy.records import Restatement, Row
from proxy.snapshot import Snapshot
from proxy.store.calibrations import CalibrationStore
from proxy.store.claims import claim
from proxy.store.codec import encode_into
from proxy.store.engine import require_place
from proxy.store.estimates import EstimateStore
from proxy.store.intensities import IntensityStore
from proxy.store.ledger import Ledger, StoreUnavailableError
from proxy.store.metered_days import DAY_S, Grown, MeteredDays
from proxy.store.migration import StoreVersionError
from proxy.store.spool import Preface
from proxy.store.spool_file import SpoolError
from proxy.store.usage import UsageQuery
from proxy.telemetry.logs import RequestLog
from proxy.telemetry.metrics import Labels, Metrics
from proxy.upstream._base import Upstream
from proxy.upstream.factory import upstream_for
from proxy.workers.calibration import Calibrator
from proxy.workers.intensity import Chain, Grids
from proxy.workers.ledger import LedgerWorker
from proxy.workers.metering import Metering
from proxy.workers.supervisor import Supervisor

log = logging.getLogger("greenlane")
FORGET_S = 3600.0
"""How often intensities past their time are looked for."""
DAYS_S = 60.0
"""How often the joules of metered deployments are added to the sums of the day."""
METERS_END_S = 8.0
"""For the last reading of all meters, and what is restated by it."""
GROWN = 10_000
"""Sums that wait for the store."""
ROUTER_S = 60.0
ROUTER_EXCHANGES = 1000
"""Fewer in a minute say more of what the proxy does without them."""
WATCH_S = 1.0
"""How often the configuration file's time of change is looked at."""
RETIRED_S = 600.0
"""Connections of a deployment that a reload took away are closed after the longest time an exchange may last."""


class Runtime:
    """One process's proxy. `start` and `stop` are called once each, on its event loop."""

    def __init__(self, config: Config, path: Path | None) -> None:
        self.config = config
        self.path = path
        self._stamp = None if path is None else _stamp(path)
        """Of the file as it was last read."""
        self._host = config.server.host
        """Where it listens, whatever a later file says."""
        self.metrics = Metrics()
        self.request_log = RequestLog(enabled=config.logs.requests)
        url = ledger_url(config, os.environ)
        require_place(url, config.ledger.spool_file)
        self.spool = claim(config.ledger.spool_file, config.ledger.spool_bytes)
        self.ledger = Ledger.later(url)
        self.worker = LedgerWorker(self.spool, self.ledger, config.ledger)
        self.supervisor = Supervisor()
        self.settler = Settler(self.metrics, self.request_log, self._keep, time.time)
        self.draining = False
        self._buffer = bytearray()
        """Of the record that is being written."""
        self._retired: list[Upstream] = []
        """Of deployments that a reload took away: what is under way there may still end."""
        self._began_s = time.time()
        self.grids = Grids(self._regrid, self._keep_samples, secret_of)
        self.intensities = IntensityStore(self.ledger)
        self.estimates = EstimateStore(self.ledger)
        self._forgotten_s = 0.0
        self.metering = Metering(self._restate)
        self.days = MeteredDays(self.ledger)
        self._grown: list[Grown] = []
        self._unstored: str | None = None
        """Why the last intensities did not reach the store."""
        self.calibrator = Calibrator(CalibrationStore(self.ledger), self._profiles, self._recalibrate)
        self.plane: DataPlane = msgspec.UNSET  # type: ignore[assignment]

    async def start(self) -> None:
        """Everything runs when it returns; the store may still be down: entries wait in the spool."""
        chain = self._chain(self.config)
        first = compiled(self.config, self.grids.table(chain))
        self.grids.adopt(chain)
        around = Around(accepting=self._accepting, look=self._look, now=lambda: datetime.now(UTC))
        self.plane = DataPlane(first, peers(first, {}, self.metrics, _connect), self.settler, self.metrics, around)
        self.metering.configure(self.plane.peers, first.config.carbon.meter_every_s)
        self._read_gauges()
        self.supervisor.start("ledger", self.worker.run)
        self.supervisor.start("budgets", self._load_budgets)
        self.supervisor.start("earlier intensities", self._recall_grids)
        self.supervisor.start("intensity", self.grids.run)
        self.supervisor.start("metering", self.metering.run)
        self.supervisor.start("metered days", self._keep_days)
        self.supervisor.start("router", self._measure_router)
        self.supervisor.start("calibration", self.calibrator.run)
        self.supervisor.start("tokenizer", lambda: asyncio.to_thread(self.plane.counter.load))
        if self.path is not None:
            self.supervisor.start("configuration", self._watch)

    async def stop(self) -> None:
        """Ends the workers; every entry is in the store or, if that is down, in the spool."""
        self.draining = True
        _close([*self._retired, *(peer.upstream for peer in self.plane.peers.values())])
        await self.worker.flush(5.0)
        await self.metering.end(METERS_END_S)
        await self._add_days()
        if self._grown:
            log.error("the joules that %d deployments used last are in no sum of a day: the store is unavailable", len(self._grown))
        await self.supervisor.stop()
        await self.grids.close()
        self.request_log.flush()
        await self.ledger.close()
        self.spool.close()

    def snapshot(self) -> Snapshot:
        return self.plane.snapshot

    def ready(self) -> str | None:
        if self.draining:
            return "draining"
        if not any(peer.breaker.closed for peer in self.plane.peers.values()):
            return "no deployment is usable"
        if self.spool.nearly_full:
            return "the ledger's spool is full: its store takes no entries"
        return None

    def up(self, deployment: str) -> bool:
        peer = self.plane.peers.get(deployment)
        return peer is not None and peer.breaker.closed

    def tokens(self, text: bytes) -> int:
        return self.plane.counter.tokens(text)

    def inflated(self, body: bytes, coding: str) -> bytes:
        return inflated(body, coding.encode(), self.plane.limits.body_bytes)

    async def chat(self, outer: Exchange, body: bytes) -> inside.Reply | None:
        return await inside.chat(self.plane, outer, body)

    async def written(self) -> bool:
        return await self.worker.flush(1.0)

    def swap(self, config: Config) -> None:
        """Takes a new configuration into force. Raises what `compiled` raises; then the old one stays."""
        chain = self._chain(config)
        fresh = compiled(config, self.grids.table(chain), self.calibrator.in_force)
        before = self.plane.peers
        after = peers(fresh, before, self.metrics, _connect)
        self.grids.adopt(chain)
        self.plane.swap(fresh, after)
        self.metering.configure(after, config.carbon.meter_every_s)
        self.config = config
        retired = [peer.upstream for name, peer in before.items() if after.get(name) is not peer]
        if retired:
            self._retired += retired
            asyncio.get_running_loop().call_later(RETIRED_S, self._close_retired, retired)

    def _close_retired(self, retired: list[Upstream]) -> None:
        _close(retired)
        self._retired = [each for each in self._retired if each not in retired]

    def reload(self) -> bool:
        """Reads the file again. What is wrong is logged and the last good configuration stays."""
        if self.path is None:
            return False
        try:
            config = load(self.path)
            self._require_servable(config)
            self.swap(config)
        except (ConfigurationError, SecretError, ValueError, OSError) as error:
            log.error("the configuration was not reloaded, the last good one stays: %s", error)
            return False
        log.info("configuration %s is in force", self.plane.snapshot.version)
        return True

    def _require_servable(self, config: Config) -> None:
        """Raises ConfigurationError for a file that is valid and must still not come into force."""
        if not config.deployments and self.config.deployments:
            # an editor empties a file before it writes it
            raise ConfigurationError([Problem(path="deployments", message="there are none: the file may not be whole yet")], str(self.path))
        if not config.keys and self.config.keys:
            # nor does a file of which the end is missing open a door that was locked
            raise ConfigurationError([Problem(path="keys", message="there are none any more: start anew to serve without")], str(self.path))
        if not config.keys and not is_loopback(self._host):
            message = f"without keys the proxy listens on loopback only, and it listens on {self._host}"
            raise ConfigurationError([Problem(path="keys", message=message)], str(self.path))

    async def _look(self, response_id: str, team: str | None) -> str | None:
        """The ledger's word on who made a response. Raises OSError where it cannot be asked."""
        try:
            await self.worker.flush(0.5)
            return await self.ledger.deployment_of_response(response_id, team)
        except StoreUnavailableError as error:
            raise OSError(error.kind) from error

    def _chain(self, config: Config) -> Chain:
        """The sources of a configuration that is to come into force, for the zones of its deployments."""
        zones = {resolve_zone(each.zone).id for each in config.deployments.values() if each.zone is not None}
        return self.grids.prepared(config.carbon, frozenset(zones))

    def _regrid(self, table: Table) -> None:
        """Takes other intensities into force; where none of ours changed, nothing happens."""
        before = self.plane.snapshot
        fresh = regridded(before, table)
        if any(fresh.served[name] is not served for name, served in before.served.items()):
            self.plane.swap(fresh, peers(fresh, self.plane.peers, self.metrics, _connect))

    def _recalibrate(self, calibrations: Mapping[str, Calibration]) -> None:
        """Takes other calibrations into force, as `_regrid` does intensities; requests under way keep theirs."""
        before = self.plane.snapshot
        fresh = recalibrated(before, calibrations)
        if any(fresh.served[name] is not served for name, served in before.served.items()):
            self.plane.swap(fresh, peers(fresh, self.plane.peers, self.metrics, _connect))

    def _profiles(self) -> dict[str, EnergyProfile]:
        return {name: profile_from(each.profile) for name, each in self.snapshot().served.items() if each.profile is not None}

    async def _recall_grids(self) -> None:
        """Takes in what the store knows of each source that comes into force, if it can be asked; the sources are asked meanwhile."""
        while True:
            feeds = await self.grids.newcomers()
            try:
                known = await self.intensities.latest(time.time() - self.config.carbon.max_age_s)
            except StoreUnavailableError as error:
                log.warning("the intensities of before the start are not known: the store is unavailable (%s)", error.kind)
            else:
                self.grids.recall(known, feeds)

    async def _restate(self, later: Sequence[Restatement]) -> None:
        """Raises OSError where the store cannot take them now. The entries themselves are there first."""
        try:
            await self.worker.flush(5.0)
            refused = await self.ledger.restate(later)
        except StoreUnavailableError as error:
            raise OSError(error.kind) from error
        except StoreVersionError as error:
            raise OSError("version") from error
        if refused:
            set_aside = self.metrics.numbers("greenlane_restatements_set_aside")
            if () not in set_aside:
                log.error(
                    "a restatement is put aside in ledger_quarantine, the store does not take it (%s); others are counted", refused[0]
                )
            self.metrics.add("greenlane_restatements_set_aside", (), float(len(refused)))

    async def _measure_router(self) -> None:
        """What the proxy itself takes for an exchange, from the processor time of the last minute."""
        while True:
            settled, cpu_s = self.settler.settled, time.process_time()
            await asyncio.sleep(ROUTER_S)
            exchanges = self.settler.settled - settled
            if exchanges >= ROUTER_EXCHANGES:
                # one digit: entries with the same figure share a context
                self.settler.router_j = float(f"{ROUTER_W * (time.process_time() - cpu_s) / exchanges:.1g}")

    async def _keep_days(self) -> None:
        while True:
            await asyncio.sleep(DAYS_S)
            await self._add_days()

    async def _add_days(self) -> None:
        """What deployments used since the last time goes to the sums of the day; what the store does not take goes with the next."""
        self._grown += self.metering.grown(int(time.time() // DAY_S))
        try:
            await self.days.add(self._grown)
        except StoreUnavailableError as error:
            log.warning("the joules of the day wait: the store is unavailable (%s)", error.kind)
            del self._grown[:-GROWN]
        else:
            self._grown.clear()

    async def _keep_samples(self, feed: str, samples: Sequence[Intensity]) -> None:
        try:
            await self.intensities.keep(feed, samples)
            if time.time() - self._forgotten_s > FORGET_S:
                self._forgotten_s = time.time()
                await self.intensities.forget(self._forgotten_s - self.config.carbon.keep_days * 86400)
        except StoreUnavailableError as error:
            if self._unstored != error.kind:
                log.warning("intensities are not stored: %s", error.kind)
            self._unstored = error.kind
        else:
            self._unstored = None

    async def _load_budgets(self) -> None:
        """What each team with a budget has spent already in the period under way, as the ledger has it."""
        now = datetime.now(UTC)
        for name, team in self.config.teams.items():
            if team.budget is None:
                continue
            start = period_start(team.budget.per, now)
            rows = await self.ledger.usage(UsageQuery(from_s=start.timestamp(), to_s=self._began_s, team=name))
            spent = Spent(start, *((rows[0].get("carbon_g") or 0.0, rows[0].get("cost_usd") or 0.0) if rows else (0.0, 0.0)))
            self.settler.budgets.load(name, spent)

    def _keep(self, row: Row, context: Preface) -> None:
        buffer = self._buffer
        encode_into(row, buffer)
        try:
            self.spool.append(buffer, context)
        except SpoolError as error:
            log.error("entry %s is lost to the ledger: %s", row.id, error)

    def _accepting(self) -> bool:
        return not self.spool.nearly_full

    def _read_gauges(self) -> None:
        metrics = self.metrics
        metrics.read_when_scraped("greenlane_ledger_pending", lambda: [((), float(self.worker.pending))])
        metrics.read_when_scraped("greenlane_inflight", lambda: self._of_peers(lambda name: float(self.plane.peers[name].inflight)))
        metrics.read_when_scraped("greenlane_deployment_up", lambda: self._of_peers(lambda name: float(self.up(name))))
        metrics.read_when_scraped("greenlane_grid_intensity_g_per_kwh", self._intensities)
        metrics.read_when_scraped("greenlane_grid_marginal_g_per_kwh", self._marginals)
        metrics.read_when_scraped("greenlane_grid_intensity_age_seconds", self._ages)
        metrics.read_when_scraped("greenlane_measured_energy_joules", lambda: self._measured(host=False))
        metrics.read_when_scraped("greenlane_measured_host_energy_joules", lambda: self._measured(host=True))
        metrics.read_when_scraped("greenlane_calibration_age_seconds", self._calibration_ages)
        metrics.read_when_scraped("greenlane_calibration_drift_ratio", self._drifts)

    def _of_peers(self, value: Callable[[str], float]) -> Iterable[tuple[Labels, float]]:
        return [(peer.labels, value(name)) for name, peer in list(self.plane.peers.items())]

    def _intensities(self) -> Iterable[tuple[Labels, float]]:
        found = {each.intensity.zone: each.intensity for each in self.snapshot().served.values() if each.intensity is not None}
        return [((zone, intensity.source), intensity.g_per_kwh) for zone, intensity in found.items()]

    def _marginals(self) -> Iterable[tuple[Labels, float]]:
        found = {each.marginal.zone: each.marginal for each in self.snapshot().served.values() if each.marginal is not None}
        return [((zone, marginal.source), marginal.g_per_kwh) for zone, marginal in found.items()]

    def _ages(self) -> Iterable[tuple[Labels, float]]:
        from proxy.telemetry.ages import age_s

        found = {each.intensity.zone: each.intensity for each in self.snapshot().served.values() if each.intensity is not None}
        return [((zone,), float(age_s(intensity.as_of, time.time()))) for zone, intensity in found.items()]

    def _measured(self, *, host: bool) -> Iterable[tuple[Labels, float]]:
        """What the accelerators drew, or the machines around them; nothing where these were never measured."""
        found: list[tuple[Labels, float]] = []
        for served, own, around in self.metering.books():
            books = around if host else own
            if host and not around.measured_j:
                continue
            shares = {"requests": books.attributed_j, "idle": books.pool_idle_j, "unattributed": books.unattributed_j}
            found += [((served.model, served.name, share), joules) for share, joules in shares.items()]
        return found

    def _calibration_ages(self) -> Iterable[tuple[Labels, float]]:
        served = self.snapshot().served
        return [((served[name].model, name), age_s) for name, age_s in self.calibrator.ages_s()]

    def _drifts(self) -> Iterable[tuple[Labels, float]]:
        served = self.snapshot().served
        return [((served[name].model, name), each.ratio) for name, each in list(self.calibrator.drifts.items()) if name in served]

    async def _watch(self) -> None:
        """Reloads when the file changes."""
        if self.path is None:
            return
        while True:
            await asyncio.sleep(WATCH_S)
            now = _stamp(self.path)
            if now is not None and now != self._stamp:
                self._stamp = now
                self.reload()


def compiled(config: Config, table: Table, calibrations: Mapping[str, Calibration] | None = None) -> Snapshot:
    """The snapshot of a checked configuration on these grids. Raises SecretError."""
    ours, clients = resolve_all(config, os.environ)
    secrets = Secrets(api_keys=_revealed(ours), keys=clients, salts=_revealed(salts(config, os.environ)))
    return snapshot(config, secrets, table, version(config), calibrations or {})


def _revealed(secrets: Mapping[str, Secret]) -> dict[str, str]:
    return {name: secret.reveal() for name, secret in secrets.items()}


def secret_of(reference: str) -> str:
    """What `env:NAME` or `file:PATH` stands for. Raises ValueError, whose text has no secret in it."""
    try:
        return resolve(reference, os.environ).reveal()
    except SecretError as error:
        raise ValueError(str(error)) from None


def _connect(deployment: Deployment, config: Config) -> Upstream:
    return upstream_for(deployment, config.limits)


def _close(upstreams: list[Upstream]) -> None:
    for upstream in upstreams:
        upstream.close()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
