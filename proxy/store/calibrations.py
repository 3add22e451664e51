"""Calibrations in the ledger's store, and the measured records they are made of. No team, key or task is read: energy only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from statistics import median
from typing import Any

import msgspec
from sqlalchemy import Executable, Select, and_, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from carbon.bands import Band
from carbon.calibration import BOUNDARIES, LEAST_RECORDS, Boundary, Calibration, Evidence, Measured, Source, machine_of
from carbon.profile import EnergyProfile, profile_from
from proxy.records import Inputs
from proxy.store.ledger import Ledger
from proxy.store.tables import calibrations, contexts, exchanges, restatements

SINCE_S = 14 * 86400.0
"""How far back measurements are read."""
SLICE_S = 3600.0
LOCK = 0x6C616363
"""Of PostgreSQL's advisory locks, with a deployment: whoever holds it may bring a calibration into force."""
NOWHERE: Origin = ("", None, "provider_unknown")
MOST_OF_SLICE = 148
"""Of each hour the last so many, so that a busy day does not stand for all: at most 49,728 of a deployment."""
SOURCES: tuple[Source, ...] = ("measured_attributed", "provider_reported")
Origin = tuple[str, str | None, Boundary]
"""Of a context: the model, the machine, and where a provider's report ends, if there is one."""


class CalibrationStore:
    """Calibrations by their id, which is made of their content. Methods raise StoreUnavailableError."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def keep(self, calibration: Calibration, instead_of: str | None = None) -> Calibration:
        """As it is in the store on return, accepted or not; the same twice is one.

        `instead_of`: the id of what was in force when it was fitted, of whatever machine; None: nothing was. Where another came into force
        since, whoever fitted that was first: this one is kept as overtaken. Two that come at once are taken one after the other.
        """
        if not calibration.accepted:
            await self._add(calibration)
            return calibration
        await self._add(calibration, instead_of or "")
        held = [each.id for each in await self.of(calibration.deployment) if each.accepted]
        if calibration.id in held:
            return calibration
        late = msgspec.structs.replace(calibration, accepted=False, overtaken=held[0] if held else instead_of).named()
        await self._add(late)
        return late

    async def _add(self, calibration: Calibration, expected: str | None = None) -> None:
        """With `expected`, only while that is the id of the deployment's last accepted one (empty: it has none), or this one's own."""
        c, sqlite_here = calibrations.c, self._ledger.is_sqlite
        row = {name: getattr(calibration, name) for name in ("id", "deployment", "model", "machine", "fitted_at_s", "accepted")}
        row["content"] = msgspec.json.encode(calibration).decode()
        adding = (sqlite if sqlite_here else postgresql).insert(calibrations)
        if expected is None:
            await self._ledger.write([(adding.on_conflict_do_nothing(), [row])])
            return
        accepted = select(c.id).where(c.deployment == calibration.deployment, c.accepted.is_(True))
        newest = accepted.order_by(c.fitted_at_s.desc(), c.id.desc()).limit(1).scalar_subquery()
        values = select(*(literal(value, c[name].type) for name, value in row.items())).where(func.coalesce(newest, "") == expected)
        statements: list[tuple[Executable, list[dict[str, Any]]]] = [(adding.from_select(list(row), values).on_conflict_do_nothing(), [])]
        if not sqlite_here:
            # a statement of PostgreSQL's sees what was there when it began; SQLite has one writer at a time
            statements.insert(0, (select(func.pg_advisory_xact_lock(LOCK, func.hashtext(calibration.deployment))), []))
        await self._ledger.write(statements)

    async def latest(self) -> dict[str, Calibration]:
        """The last that was accepted of each deployment."""
        c = calibrations.c
        newest = select(c.deployment, func.max(c.fitted_at_s).label("at_s")).where(c.accepted.is_(True)).group_by(c.deployment).subquery()
        same = (c.deployment == newest.c.deployment) & (c.fitted_at_s == newest.c.at_s) & c.accepted.is_(True)
        found = await self._ledger.rows(select(c.content).join(newest, same).order_by(c.id))
        return {each.deployment: each for each in map(_calibration, found)}

    async def of(self, deployment: str, limit: int = 100) -> list[Calibration]:
        """All of one deployment, those that were not accepted as well, newest first."""
        c = calibrations.c
        statement = select(c.content).where(c.deployment == deployment).order_by(c.fitted_at_s.desc(), c.id.desc()).limit(limit)
        return [_calibration(row) for row in await self._ledger.rows(statement)]

    async def measured(
        self, deployment: str, profile: EnergyProfile, now_s: float, since_s: float = SINCE_S, boundary: Boundary | None = None
    ) -> Evidence:
        """What was measured of a deployment on its machine as it is now, of one boundary.

        Without one, of the better one that has enough for a fit, else of the one that has more.
        """
        machine = machine_of(profile)
        found: dict[Boundary, list[tuple[Measured, Band]]] = {each: [] for each in BOUNDARIES}
        models: dict[Boundary, str] = {}
        known: dict[int, Origin] = {}
        from_s = now_s - since_s
        while from_s < now_s:
            rows = await self._ledger.rows(_hour(deployment, from_s, min(now_s, from_s + SLICE_S)))
            from_s += SLICE_S
            await self._learn({row.context for row in rows} - known.keys(), known)
            for row in rows:
                model, on, theirs = known.get(row.context, NOWHERE)
                if on == machine:
                    ends: Boundary = "facility" if row.method == "measured_attributed" else theirs
                    models[ends] = model
                    found[ends].append(_measured(row))
        by = boundary or _best({each: len(found[each]) for each in BOUNDARIES})
        band, records = await asyncio.to_thread(_summed, found[by])
        return Evidence(
            deployment=deployment,
            model=models.get(by, ""),
            gpu=profile.gpu,
            machine=machine,
            boundary=by,
            band=band,
            records=records,
        )

    async def _learn(self, ids: set[int], known: dict[int, Origin]) -> None:
        """Model and machine of contexts, by their profiles, and their boundary by their warnings."""
        if ids:
            statement = select(contexts.c.id, contexts.c.model, contexts.c.inputs).where(contexts.c.id.in_(sorted(ids)))
            for row in await self._ledger.rows(statement):
                inputs = msgspec.json.decode(row.inputs, type=Inputs)
                on = None if inputs.profile is None else _machine(inputs.profile)
                known[row.id] = (row.model or "", on, "provider_unknown" if "boundary_unknown" in inputs.warnings else "provider_stated")


def _best(counts: Mapping[Boundary, int]) -> Boundary:
    return next((each for each in BOUNDARIES if counts[each] >= LEAST_RECORDS), max(BOUNDARIES, key=lambda each: counts[each]))


def _hour(deployment: str, from_s: float, to_s: float) -> Select[Any]:
    """Measured exchanges of that time, those that failed as well, with what their last restatement was made of."""
    c, last, after = exchanges.c, restatements.alias("last"), restatements.alias("after")
    replaced = select(after.c.id).where(after.c.replaces == last.c.id).exists()
    figures = (c.energy_low_j, c.energy_j, c.energy_high_j)
    return (
        select(
            c.id, c.at_s, c.context, c.method, c.input_tokens, c.cached_tokens, c.output_tokens, *figures, last.c.inputs.label("made_of")
        )
        .select_from(exchanges.outerjoin(last, and_(last.c.entry == c.id, ~replaced)))
        .where(c.deployment == deployment, c.at_s >= from_s, c.at_s < to_s, c.method.in_(SOURCES))
        .where(c.energy_j > 0, c.input_tokens.is_not(None), c.output_tokens.is_not(None))
        .order_by(c.at_s.desc(), c.id)
        .limit(MOST_OF_SLICE)
    )


def _measured(row: Any) -> tuple[Measured, Band]:
    batch = None if row.made_of is None else _number(msgspec.json.decode(row.made_of), "batch")
    record = Measured(row.id, row.at_s, row.input_tokens, row.cached_tokens or 0, row.output_tokens, row.energy_j, batch)
    low, high = row.energy_low_j or row.energy_j, row.energy_high_j or row.energy_j
    return record, Band(min(1.0, low / row.energy_j), max(1.0, high / row.energy_j))


def _summed(taken: list[tuple[Measured, Band]]) -> tuple[Band, tuple[Measured, ...]]:
    """Records, and the band of the one in the middle. Tens of milliseconds for all that may be read."""
    if not taken:
        return Band(1.0, 1.0), ()
    band = Band(median(band.low for _, band in taken), median(band.high for _, band in taken))
    return band, tuple(record for record, _ in taken)


def _number(made_of: Any, name: str) -> float | None:
    found = made_of.get(name) if isinstance(made_of, Mapping) else None
    return float(found) if isinstance(found, int | float) and found > 0 else None


def _machine(profile: dict[str, float | str | None]) -> str | None:
    try:
        return machine_of(profile_from(profile))
    except msgspec.ValidationError:
        return None


def _calibration(row: Any) -> Calibration:
    found = msgspec.json.decode(row.content, type=Calibration)
    if BOUNDARIES[found.boundary] == found.source:
        return found
    # kept by a version that had no boundaries: no provider states one
    return msgspec.structs.replace(found, boundary="provider_unknown")
