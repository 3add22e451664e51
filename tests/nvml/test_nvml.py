"""The real binding, pynvml of nvidia-ml-py, against a stand-in for its library. This is no evidence about real hardware."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pynvml
import pytest

from carbon.meters import nvml as module
from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reading
from carbon.meters.nvml import Nvml
from carbon.windows import Meterage
from tests.carbon.meters.reaching import reach
from tests.imitations.nvml import library
from tests.imitations.nvml.library import gpu

ROOT = Path(__file__).parents[2]
ONE, TWO = "GPU-11111111-0000-0000-0000-000000000000", "GPU-22222222-0000-0000-0000-000000000000"
MIG = "MIG-33333333-0000-0000-0000-000000000000"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes the lines that say what NVML finds; the binding begins afresh, as in a new process."""
    library.load()
    state = tmp_path / "nvml"
    monkeypatch.setenv("IMITATED_NVML", str(state))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    yield lambda *lines: state.write_text("\n".join(lines))
    while pynvml.nvmlLib is not None:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            break


def read(meter: Nvml, clock_s=lambda: 7.0) -> tuple[Reading, ...]:
    async def once():
        async with reach(clock_s) as world:
            return await meter.read(world)

    return asyncio.run(once())


def test_all_gpus_are_read_by_counter_and_power(machine):
    machine(gpu(ONE, 5_000_000, 412_000), gpu(TWO, 900, 75_500))
    assert read(Nvml()) == (
        Reading(device=ONE, at_s=7.0, energy_j=5000.0, power_w=412.0, labels={"model": "Imitated GPU"}),
        Reading(device=TWO, at_s=7.0, energy_j=0.9, power_w=75.5, labels={"model": "Imitated GPU"}),
    )


def test_the_instant_is_the_middle_of_the_calls(machine):
    machine(gpu(ONE, 1, 1))
    ticks = iter([10.0, 10.5])
    assert read(Nvml(), lambda: next(ticks))[0].at_s == 10.25


@pytest.mark.parametrize("named", [(1,), (TWO,), (1, TWO)], ids=["index", "UUID", "both"])
def test_devices_are_named_by_index_or_uuid_and_read_once(machine, named):
    machine(gpu(ONE, 1, 1), gpu(TWO, 2, 2))
    assert [reading.device for reading in read(Nvml(devices=named))] == [TWO]


def test_two_readings_make_a_window_of_the_counters_difference(machine):
    """300 J in 2 s."""
    meterage = Meterage()
    for at_s, energy_mj in ((1.0, 5_000_000), (3.0, 5_300_000)):
        machine(gpu(ONE, energy_mj, 150_000))
        (*windows,) = meterage.closed(read(Nvml(), lambda now=at_s: now))
    assert [(window.device, window.energy_j, window.source) for window in windows] == [(ONE, 300.0, "counter")]


@pytest.mark.parametrize("result", [library.NOT_SUPPORTED, library.NO_PERMISSION])
def test_power_steps_in_where_the_counter_is_refused_or_unknown(machine, result):
    machine(gpu(ONE, 1, 75_000, energy_result=result))
    (reading,) = read(Nvml())
    assert (reading.energy_j, reading.power_w) == (None, 75.0)


def test_a_counter_alone_will_do(machine):
    machine(gpu(ONE, 1000, 0, power_result=library.NOT_SUPPORTED))
    (reading,) = read(Nvml())
    assert (reading.energy_j, reading.power_w) == (1.0, None)


@pytest.mark.parametrize("named", [(0,), (ONE,), (MIG,), (MIG, ONE)], ids=["index", "GPU", "MIG", "MIG and its GPU"])
def test_under_mig_the_counter_is_the_whole_gpus_and_says_so(machine, named):
    machine(gpu(ONE, 2000, 1000, mig=1), f"mig {MIG} 0")
    assert [(r.device, r.energy_j, r.flags) for r in read(Nvml(devices=named))] == [(ONE, 2.0, ("mig_whole_gpu",))]


def test_a_gpu_that_knows_no_mig_is_read_without(machine):
    machine(gpu(ONE, 2000, 1000, mig=library.OLD))
    assert read(Nvml())[0].flags == ()


def test_a_gpu_that_is_lost_is_left_out_and_the_others_go_on(machine):
    machine(gpu(ONE, 1, 1, energy_result=library.GPU_IS_LOST), gpu(TWO, 2000, 1))
    assert [(r.device, r.energy_j) for r in read(Nvml())] == [(TWO, 2.0)]
    machine(gpu(ONE, 1, 1), gpu(TWO, 2000, 1, handle_result=library.GPU_IS_LOST))
    assert [r.device for r in read(Nvml())] == [ONE]


def test_a_driver_that_was_loaded_again_is_met_again_and_its_counter_is_not_believed(machine):
    """The counter begins anew: the window across it has no figure."""
    meterage, windows = Meterage(), []
    for at_s, lines in enumerate(
        [
            (gpu(ONE, 9_000_000),),
            ("generation 1", gpu(ONE, 40_000)),
            ("generation 1", gpu(ONE, 90_000)),
        ]
    ):
        machine(*lines)
        windows += meterage.closed(read(Nvml(), lambda now=float(at_s): now))
    assert [(w.energy_j, w.source, w.flags) for w in windows[1:]] == [(50.0, "counter", ())]
    assert (windows[0].source, windows[0].flags) == ("power", ("counter_reset",))


@pytest.mark.parametrize(
    ("lines", "error", "says"),
    [
        (["init 9"], OutOfReachError, "driver is not loaded"),
        (["init 18"], OutOfReachError, "start the process again"),
        (["init 4"], DeniedError, "refuses this user"),
        (["init 999"], OutOfReachError, "NVML: Unknown Error"),
        (["init 0"], NotSupportedError, "no GPU on this machine"),
        ([gpu(ONE, energy_result=4, power_result=4)], DeniedError, "refuses this user"),
        ([gpu(ONE, energy_result=4, power_result=3)], DeniedError, "refuses this user"),
        ([gpu(ONE, energy_result=3, power_result=3)], NotSupportedError, "GPU 0 tells neither its energy nor its power"),
        ([gpu(ONE, energy_result=15)], OutOfReachError, "fallen off the bus"),
        ([gpu(ONE, handle_result=15)], OutOfReachError, "fallen off the bus"),
        ([gpu(ONE, energy_result=16)], OutOfReachError, "must be reset"),
        ([gpu(ONE, energy_result=999)], OutOfReachError, "NVML: Unknown Error"),
    ],
)
def test_each_failure_says_what_it_is(machine, lines, error, says):
    machine(*lines)
    with pytest.raises(error, match=says) as raised:
        read(Nvml())
    assert isinstance(raised.value, OSError)


@pytest.mark.parametrize("named", [7, "GPU-nobody", "MIG-nobody"])
def test_a_device_that_is_not_here_is_named_as_a_setting_gone_wrong(machine, named):
    machine(gpu(ONE, 1, 1))
    with pytest.raises(NotSupportedError, match="knows no GPU of one of the indices or UUIDs"):
        read(Nvml(devices=(named,)))


def test_after_a_failure_the_next_reading_begins_again(machine):
    machine("init 9")
    with pytest.raises(OutOfReachError):
        read(Nvml())
    machine(gpu(ONE, 1000))
    assert read(Nvml())[0].energy_j == 1.0


def test_a_hanging_gpu_holds_up_nobody_else(machine):
    """The event loop goes on, the reading fails in time, and the next one does not pile up behind the first."""
    machine("stall 400", gpu(ONE, 1, 1))

    async def once() -> list[str]:
        said = []
        async with reach() as world:
            for _ in range(2):
                with pytest.raises(OutOfReachError) as raised:
                    await Nvml(timeout_s=0.05).read(world)
                said.append(str(raised.value))
        return said

    said = asyncio.run(once())
    assert "did not answer within 0.05 s" in said[0]
    assert module._CALLING.acquire(timeout=5)
    module._CALLING.release()
    assert threading.active_count() < 10


def outside(tmp_path, *options: str, lines: str) -> str:
    """What a process of its own says, whose loader finds only what is built here."""
    if options:
        library.build(tmp_path, *(option for option in options if option))
    (tmp_path / "nvml").write_text(lines)
    program = """
import asyncio, httpx
from carbon.meters._base import OutOfReachError, Reach
from carbon.meters.nvml import Nvml
async def main():
    async with httpx.AsyncClient() as client:
        try:
            found = await Nvml(timeout_s=2.0).read(Reach(client, str, clock_s=lambda: 0.0))
            print([(r.device, r.energy_j, r.power_w) for r in found])
        except OutOfReachError as error:
            print(type(error).__name__, error)
asyncio.run(main())
"""
    environ = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "IMITATED_NVML": str(tmp_path / "nvml"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_the_loader_finds_the_library_by_its_name(tmp_path):
    assert outside(tmp_path, "", lines=gpu(ONE, 3000, 2000)) == f"[('{ONE}', 3.0, 2.0)]"


def test_a_gpu_that_hangs_does_not_keep_the_process_from_ending(tmp_path):
    """For ten times as long as the process may last here."""
    assert outside(tmp_path, "", lines=f"stall 600000\n{gpu(ONE, 1, 1)}").startswith(
        "OutOfReachError timeout: NVML did not answer within 2 s"
    )


def test_a_library_too_old_for_the_counter_is_read_by_power(tmp_path):
    assert outside(tmp_path, "-DWITHOUT_COUNTER", lines=gpu(ONE, 3000, 2000)) == f"[('{ONE}', None, 2.0)]"


def test_a_machine_without_a_driver_says_so(tmp_path):
    assert outside(tmp_path, lines="").startswith("NotSupportedError unsupported: libnvidia-ml.so.1 is not here")
