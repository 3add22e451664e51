"""Workers begin again when they fail, and end in the opposite order of their beginning."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxy.workers.supervisor import Backoff, Supervisor, WorkerStatus


@pytest.mark.parametrize(("failures", "pause_s"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5000, 30.0)])
def test_pauses_double_up_to_the_most(failures, pause_s):
    assert Backoff(first_s=0.5, most_s=30.0).pause_s(failures) == pause_s


def test_a_worker_that_fails_begins_again_after_growing_pauses(caplog):
    transcript = []

    async def pause(seconds_s):
        transcript.append(f"pause {seconds_s}")

    async def main():
        done = asyncio.Event()

        async def run():
            transcript.append("run")
            if transcript.count("run") < 4:
                raise ConnectionError("password=hunter2")
            done.set()

        supervisor = Supervisor(sleep=pause)
        supervisor.start("probes", run)
        await done.wait()
        await asyncio.sleep(0)
        status = supervisor.status()
        await supervisor.stop()
        return status

    with caplog.at_level(logging.ERROR):
        status = asyncio.run(main())
    assert transcript == ["run", "pause 0.5", "run", "pause 1.0", "run", "pause 2.0", "run"]
    assert status == (WorkerStatus(name="probes", state="ended", failures=3, last_error_kind="ConnectionError"),)
    assert len(caplog.records) == 3
    assert caplog.messages[0].startswith("worker probes failed: ConnectionError at ")
    assert caplog.messages[0].endswith("; again in 0.5 s")
    assert "hunter2" not in caplog.text


def test_a_steady_run_makes_the_pauses_short_again():
    pauses = []

    async def pause(seconds_s):
        pauses.append(seconds_s)

    async def main():
        done = asyncio.Event()

        async def run():
            if len(pauses) == 3:
                done.set()
                return
            raise OSError

        supervisor = Supervisor(steady_s=0.0, sleep=pause)
        supervisor.start("probes", run)
        await done.wait()
        await supervisor.stop()

    asyncio.run(main())
    assert pauses == [0.5, 0.5, 0.5]


def test_one_that_fails_does_not_disturb_the_others():
    async def main():
        beats = asyncio.Semaphore(0)

        async def fails():
            raise OSError

        async def beats_on():
            while True:
                beats.release()
                await asyncio.sleep(0)

        async def for_ever(_):
            await asyncio.Event().wait()

        supervisor = Supervisor(sleep=for_ever)
        supervisor.start("fails", fails)
        supervisor.start("beats", beats_on)
        for _ in range(5):
            await beats.acquire()
        status = supervisor.status()
        await supervisor.stop()
        return [(worker.name, worker.state, worker.failures) for worker in status]

    assert asyncio.run(main()) == [("fails", "waiting", 1), ("beats", "running", 0)]


def test_they_end_one_after_another_the_last_begun_first():
    transcript = []

    async def main():
        begun = asyncio.Semaphore(0)

        def worker(name):
            async def run():
                begun.release()
                try:
                    await asyncio.Event().wait()
                finally:
                    transcript.append(f"{name} ends")
                    await asyncio.sleep(0)
                    transcript.append(f"{name} ended")

            return run

        supervisor = Supervisor()
        for name in ("ledger", "intensity", "probes"):
            supervisor.start(name, worker(name))
        for _ in range(3):
            await begun.acquire()
        await supervisor.stop()
        return [worker.state for worker in supervisor.status()]

    assert asyncio.run(main()) == ["stopped"] * 3
    assert transcript == ["probes ends", "probes ended", "intensity ends", "intensity ended", "ledger ends", "ledger ended"]


def test_one_that_will_not_end_holds_up_nobody(caplog):
    async def main():
        released = asyncio.Event()
        begun = asyncio.Event()

        async def stubborn():
            begun.set()
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue

        supervisor = Supervisor()
        supervisor.start("stubborn", stubborn)
        await begun.wait()
        await supervisor.stop(grace_s=0.01)
        released.set()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert caplog.messages == ["worker stubborn did not stop within 0.01 s"]


def test_names_are_used_once_and_nothing_begins_after_the_stop():
    async def main():
        async def run():
            await asyncio.Event().wait()

        supervisor = Supervisor()
        supervisor.start("a", run)
        with pytest.raises(ValueError, match="worker a exists"):
            supervisor.start("a", run)
        await supervisor.stop()
        with pytest.raises(RuntimeError, match="has stopped"):
            supervisor.start("b", run)

    asyncio.run(main())
