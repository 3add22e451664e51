"""RAPL as the kernel shows it: a tree of folders, made here as it is there."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from carbon.meters import _codecarbon
from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reading, UnreadableError
from carbon.meters.host import Host
from carbon.windows import Meterage
from tests.carbon.meters.reaching import reach

ROOT = Path(__file__).parents[3]


def read(root: Path, clock_s=lambda: 7.0, **settings) -> tuple[Reading, ...]:
    async def once():
        async with reach(clock_s) as world:
            return await Host(root=str(root), **settings).read(world)

    return asyncio.run(once())


def zone(root: Path, folder: str, name: str, energy_uj: object, range_uj: object = 262143328850) -> None:
    made = root / folder
    made.mkdir(exist_ok=True)
    (made / "name").write_text(f"{name}\n")
    (made / "energy_uj").write_text(f"{energy_uj}\n")
    (made / "max_energy_range_uj").write_text(f"{range_uj}\n")


@pytest.fixture
def server(tmp_path):
    """Two sockets with memory, as Xeons show them, and what must not be counted beside them."""
    zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 4_000_000)
    zone(tmp_path, "intel-rapl:0:1", "dram", 700_000, 65712999613)
    zone(tmp_path, "intel-rapl:0:2", "uncore", 100_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 6_000_000)
    zone(tmp_path, "intel-rapl:1:0", "dram", 800_000, 65712999613)
    zone(tmp_path, "intel-rapl:2", "psys", 99_000_000)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5_000_001)
    (tmp_path / "intel-rapl").mkdir()
    (tmp_path / "dtpm").mkdir()
    return tmp_path


def test_packages_and_memory_are_read_once_each(server):
    """Core and uncore are inside their package, packages inside psys, and mmio tells a package again."""
    assert [(r.device, r.energy_j, r.range_j, r.measured) for r in read(server)] == [
        ("intel-rapl:0 package-0", 5.0, 262143.328850, True),
        ("intel-rapl:0:1 dram", 0.7, 65712.999613, True),
        ("intel-rapl:1 package-1", 6.0, 262143.328850, True),
        ("intel-rapl:1:0 dram", 0.8, 65712.999613, True),
    ]
    assert {r.at_s for r in read(server)} == {7.0}


def test_the_whole_board_may_be_read_in_their_place(server):
    assert [(r.device, r.energy_j) for r in read(server, domains=("psys",))] == [("intel-rapl:2 psys", 99.0)]
    # all others are in it: asked for together, they would be counted twice
    assert [(r.device, r.energy_j) for r in read(server, domains=("package", "psys"))] == [("intel-rapl:2 psys", 99.0)]


def test_core_is_never_added_to_its_package(server):
    assert len(read(server, domains=("package", "dram", "core", "uncore"))) == 4


def test_a_counter_that_begins_again_is_followed_around(tmp_path):
    """From 262,143.3 J to 100 J past its range: 128.85 J in 2 s."""
    meterage = Meterage()
    for at_s, energy_uj in ((0.0, 262_114_478_850), (2.0, 100_000_000)):
        zone(tmp_path, "intel-rapl:0", "package-0", energy_uj)
        (*windows,) = meterage.closed(read(tmp_path, lambda now=at_s: now))
    assert [(window.energy_j, window.flags) for window in windows] == [(pytest.approx(128.85), ())]


def test_a_machine_without_says_so(tmp_path):
    with pytest.raises(NotSupportedError, match="no powercap driver"):
        read(tmp_path / "absent")
    with pytest.raises(NotSupportedError, match="no zone of package, dram"):
        read(tmp_path)


def test_a_file_that_is_no_counter_says_so(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", "many")
    with pytest.raises(UnreadableError, match="intel-rapl:0 holds no counter"):
        read(tmp_path)


def test_a_zone_that_goes_away_says_so(server):
    (server / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(OutOfReachError, match="No such file"):
        read(server)


def test_a_counter_for_root_alone_says_how_to_be_let_in(server):
    """In a process without root's powers, for root may read what nobody may."""
    (server / "intel-rapl:0" / "energy_uj").chmod(0)
    for folder in (server, *server.parents):
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    program = """
import asyncio, os, sys, httpx
from carbon.meters._base import OutOfReachError, Reach
from carbon.meters.host import Host
async def main():
    await asyncio.to_thread(os.getpid)  # all that is imported late: the interpreter may lie where only root can read
    async with httpx.AsyncClient() as client:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            await Host(root=sys.argv[1]).read(Reach(client, str))
        except OutOfReachError as error:
            print(type(error).__name__, error)
asyncio.run(main())
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, str(server)], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(DeniedError.__name__)
    assert "energy_uj is for root alone" in done.stdout


# CodeCarbon, where RAPL cannot be read


class Tracker:
    """As codecarbon 3.3's OfflineEmissionsTracker is used: one task, whose energies are kWh. 0.5 J and 10 J a task."""

    def __init__(self, *, country_iso_code, save_to_file, log_level, allow_multiple_runs):
        self.started = None

    def start_task(self, task_name):
        self.started = task_name

    def stop_task(self, task_name):
        assert self.started == task_name
        return SimpleNamespace(cpu_energy=0.5 / 3.6e6, ram_energy=10 / 3.6e6, gpu_energy=99.0)


@pytest.fixture
def codecarbon(monkeypatch):
    monkeypatch.setattr(_codecarbon, "_ESTIMATE", _codecarbon._Estimate())
    module = ModuleType("codecarbon")
    module.OfflineEmissionsTracker = Tracker
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return module


def test_an_estimate_stands_in_where_it_is_asked_for_and_is_never_called_measured(codecarbon, tmp_path):
    readings = [read(tmp_path / "absent", lambda now=now: now, otherwise="codecarbon") for now in (1.0, 2.0, 3.0)]
    assert [(r.device, r.at_s, r.energy_j, r.measured) for (r,) in readings] == [
        ("codecarbon", 1.0, 0.0, False),
        ("codecarbon", 2.0, pytest.approx(10.5), False),
        ("codecarbon", 3.0, pytest.approx(21.0), False),
    ]
    meterage = Meterage()
    windows = [window for batch in readings for window in meterage.closed(batch)]
    assert [(window.energy_j, window.measured) for window in windows] == [(pytest.approx(10.5), False)] * 2


def test_what_can_be_measured_is_not_estimated(codecarbon, server):
    assert all(reading.measured for reading in read(server, otherwise="codecarbon"))


def test_an_estimate_that_fails_is_a_meters_error_and_the_next_one_begins_again(codecarbon, tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "start_task", lambda self, name: 1 / 0)
    with pytest.raises(OutOfReachError, match="CodeCarbon failed: ZeroDivisionError"):
        read(tmp_path / "absent", otherwise="codecarbon")
    monkeypatch.setattr(Tracker, "start_task", lambda self, name: setattr(self, "started", name))
    assert read(tmp_path / "absent", otherwise="codecarbon")[0].energy_j == 0.0


@pytest.mark.filterwarnings("ignore")  # what it imports warns of its own past
def test_the_real_codecarbon_or_its_extras_name(tmp_path, monkeypatch):
    """With the extra installed it is read for real; without, the error names it."""
    monkeypatch.setattr(_codecarbon, "_ESTIMATE", _codecarbon._Estimate())
    if importlib.util.find_spec("codecarbon") is None:
        with pytest.raises(NotSupportedError, match="install the extra `codecarbon`"):
            read(tmp_path / "absent", otherwise="codecarbon")
        return
    first, second = (read(tmp_path / "absent", otherwise="codecarbon", timeout_s=60)[0] for _ in range(2))
    assert first.energy_j == 0.0
    assert 0 < second.energy_j < 1000
    assert not second.measured
