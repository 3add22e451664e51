"""A dcgm-exporter's page, over real sockets: by UUID, by pod, under MIG, and when it is slow, huge, wrong or not there."""

from __future__ import annotations

import asyncio

import pytest

from carbon.meters import _http
from carbon.meters._base import DeniedError, NotSupportedError, OutOfReachError, Reading, UnreadableError
from carbon.meters.dcgm import Dcgm
from carbon.windows import Meterage
from tests.carbon.meters.reaching import reach
from tests.imitations.exporters import Exporter, Gpu, Page, dcgm

ONE, TWO = "GPU-c2f76b33-7953-256e-8f33-1343419b1a1c", "GPU-d7cbb0cd-d4bd-c2f7-dfaf-221df5e958ea"
CHAT, RAG = ("chat-0", "llm", "vllm"), ("rag-0", "llm", "vllm")


def read(page: Page, clock_s=lambda: 7.0, **settings) -> tuple[Reading, ...]:
    async def once():
        async with Exporter({"/metrics": page}) as exporter, reach(clock_s) as world:
            return await Dcgm(**{"url": exporter.url(), **settings}).read(world)

    return asyncio.run(once())


def test_every_gpu_on_the_page_is_read():
    """319,159,391 mJ and 409.692 W, 4,742,776 mJ and 16.365 W."""
    page = dcgm([Gpu(ONE, 319159391, 409.692, pods=(CHAT,)), Gpu(TWO, 4742776, 16.365, index=1)])
    assert read(page) == (
        Reading(
            device=ONE,
            at_s=7.0,
            energy_j=319159.391,
            power_w=409.692,
            labels={"model": "NVIDIA H100 80GB HBM3", "host": "node-a", "index": "0", "pod": "chat-0", "namespace": "llm"},
        ),
        Reading(
            device=TWO,
            at_s=7.0,
            energy_j=4742.776,
            power_w=16.365,
            labels={"model": "NVIDIA H100 80GB HBM3", "host": "node-a", "index": "1"},
        ),
    )


@pytest.mark.parametrize(
    "named",
    [{}, {"exported": True}, {"old": True}, {"old": True, "exported": True}],
    ids=["itself", "Prometheus", "old", "old, Prometheus"],
)
@pytest.mark.parametrize(
    ("settings", "devices"),
    [
        ({"gpus": (TWO,)}, [TWO]),
        ({"pod": "chat-0"}, [ONE]),
        ({"pod": "rag-*"}, [TWO]),
        ({"pod": "*", "namespace": "llm"}, [ONE, TWO]),
        ({"pod": "chat-0", "namespace": "llm"}, [ONE]),
    ],
)
def test_gpus_are_chosen_by_uuid_or_by_who_holds_them(settings, devices, named):
    page = dcgm([Gpu(ONE, 1, 1.0, pods=(CHAT,), **named), Gpu(TWO, 2, 2.0, pods=(RAG,), **named)])
    assert [reading.device for reading in read(page, **settings)] == devices


@pytest.mark.parametrize("settings", [{"gpus": ("GPU-nobody",)}, {"pod": "chat"}, {"pod": "chat-0", "namespace": "other"}])
def test_nothing_chosen_is_an_error(settings):
    with pytest.raises(NotSupportedError, match="of 1 GPUs on the exporter's page, none that is asked for"):
        read(dcgm([Gpu(ONE, 1, 1.0, pods=(CHAT,))]), **settings)


def test_under_mig_a_gpu_is_read_once_whole_and_says_so():
    """Each of its devices is told with the counter of the whole: their sum would count it twice."""
    page = dcgm([Gpu(ONE, 5000, 52.7, mig=(("1g.6gb", 3), ("1g.6gb", 4)), pods=(CHAT, RAG))])
    assert [(r.device, r.energy_j, r.flags) for r in read(page)] == [(ONE, 5.0, ("mig_whole_gpu",))]
    assert [(r.device, r.energy_j, r.flags) for r in read(page, pod="rag-0")] == [(ONE, 5.0, ("mig_whole_gpu",))]


def test_a_gpu_shared_by_pods_is_read_once_and_says_so():
    (reading,) = read(dcgm([Gpu(ONE, 5000, 52.7, pods=(CHAT, RAG))]), pod="chat-0")
    assert (reading.energy_j, reading.flags, reading.labels["pod"]) == (5.0, ("shared",), "chat-0 rag-0")


def test_what_dcgm_says_for_none_is_none():
    """DCGM_INT64_BLANK and its neighbours, DCGM_FP64_BLANK; a counter without power and power without a counter."""
    for blank in (9223372036854775792, 9223372036854775794):
        (reading,) = read(dcgm([Gpu(ONE, blank, 16.5)]))
        assert (reading.energy_j, reading.power_w) == (None, 16.5)
    (reading,) = read(dcgm([Gpu(ONE, 1000, 140737488355328.0)]))
    assert (reading.energy_j, reading.power_w) == (1.0, None)
    (reading,) = read(dcgm([Gpu(ONE, 1000)]))
    assert (reading.energy_j, reading.power_w) == (1.0, None)


def test_a_page_without_the_two_counters_says_what_is_missing():
    with pytest.raises(NotSupportedError, match="neither DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION nor DCGM_FI_DEV_POWER_USAGE"):
        read(dcgm([Gpu(ONE)]))


def test_windows_follow_the_exporters_samples():
    meterage, windows = Meterage(), []
    for at_s, energy_mj in ((0.0, 0), (2.0, 600_000), (4.0, 600_000), (6.0, 1_800_000)):
        windows += meterage.closed(read(dcgm([Gpu(ONE, energy_mj, 300.0)]), lambda now=at_s: now))
    assert [(w.start_s, w.end_s, w.energy_j) for w in windows] == [(0, 2, 600), (2, 6, 1200)]


@pytest.mark.parametrize(
    ("page", "error", "says"),
    [
        (Page(b"no", 500), OutOfReachError, "answers 500"),
        (Page(b"no", 503), OutOfReachError, "answers 503"),
        (Page(b"no", 401), DeniedError, "refuses us with 401"),
        (Page(b"no", 403), DeniedError, "refuses us with 403"),
        (Page(b"no", 404), NotSupportedError, "not there"),
        (Page(b"", 302, headers=("location: http://127.0.0.1:1/",)), OutOfReachError, "answers 302"),
        (Page(b"x", headers=("content-encoding: gzip",)), UnreadableError, "compressed"),
        (Page(b"<html>DCGM_FI_DEV_POWER_USAGE</html>"), NotSupportedError, "neither"),
        (Page(b"DCGM_FI_DEV_POWER_USAGE{UUID=GPU} 1\n"), UnreadableError, "text format"),
        (Page(b'DCGM_FI_DEV_POWER_USAGE{UUID="GPU"} much\n'), UnreadableError, "text format"),
        (Page(b"DCGM_FI_DEV_POWER_USAGE\xff 1\n"), UnreadableError, "text format"),
        (Page(b'DCGM_FI_DEV_POWER_USAGE{UUID="GPU"} NaN\n'), NotSupportedError, "neither"),
        (Page(b'DCGM_FI_DEV_POWER_USAGE{UUID="GPU"} -5\n'), NotSupportedError, "none that is asked for"),
        (Page(b'DCGM_FI_DEV_POWER_USAGE{gpu="0"} 5\n'), NotSupportedError, "neither"),
    ],
)
def test_each_failure_says_what_it_is(page, error, says):
    with pytest.raises(error, match=says):
        read(page)


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (Page(b"no", 500), "status"),
        (Page(b"no", 403), "forbidden"),
        (Page(b"no", 404), "unsupported"),
        (Page(b"DCGM_FI_DEV_POWER_USAGE much\n"), "garbled"),
        (Page(b"x" * 2000), "too_large"),
        (Page(wait_s=60), "timeout"),
    ],
)
def test_each_failure_has_its_kind(page, kind, monkeypatch):
    monkeypatch.setattr(_http, "MOST_BYTES", 1000)
    with pytest.raises(OutOfReachError) as raised:
        read(page, timeout_s=0.3 if page.wait_s else 60)
    assert raised.value.kind == kind
    assert str(raised.value).startswith(f"{kind}: ")


def test_a_page_that_does_not_end_is_given_up(monkeypatch):
    monkeypatch.setattr(_http, "MOST_BYTES", 100_000)
    with pytest.raises(UnreadableError, match="more than 100000 bytes"):
        read(Page(b"# a comment\n" * 10_000))


@pytest.mark.parametrize("page", [Page(b"late", wait_s=30), Page(b"slow", pause_s=30)], ids=["no answer", "half an answer"])
def test_a_slow_page_is_given_up_in_time(page):
    with pytest.raises(OutOfReachError, match=r"did not answer within 0\.1 s"):
        read(page, timeout_s=0.1)


def test_nobody_there_is_out_of_reach_and_no_password_is_told():
    with pytest.raises(OutOfReachError, match=r"http://127.0.0.1:1/metrics is out of reach") as raised:
        read(Page(), url="http://user:secret@127.0.0.1:1/metrics?token=secret")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("url", "error"), [("127.0.0.1/metrics", OutOfReachError), ("http://127.0.0.1:x/", NotSupportedError)])
def test_an_address_that_is_none_says_so(url, error):
    with pytest.raises(error):
        read(Page(), url=url)
