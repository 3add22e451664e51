"""A stream is accounted by its pace where accelerator and batch are stated, and checked by the roofline."""

from __future__ import annotations

import threading
import time

import pytest

from tests.harness import DONE, chunk, heard, serving

FLEET = """
deployments:
  stated: {{model: stated, base_url: "{url}", zone: SE, privacy: local, parameters_b: 8, batch: 64, hardware: {{gpu: H100, count: 1}}}}
  assumed: {{model: assumed, base_url: "{url}", zone: SE, privacy: local, parameters_b: 8, hardware: {{gpu: H100, count: 1}}}}
"""
WORDS, GAP_S = 20, 0.004


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(lambda url: FLEET.format(url=url), tmp_path_factory.mktemp("pace")) as made:
        yield made


def paced(tokens, begun):
    yield chunk({"content": "word "})
    begun.wait(60)
    for _ in range(WORDS - 1):
        time.sleep(GAP_S)  # the pace is what is accounted
        yield chunk({"content": "word "})
    yield chunk({}, "stop", usage={"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens})
    yield DONE


def entry(served, model, tokens=WORDS):
    begun = threading.Event()
    served.host.answer = lambda _, handler: handler.events(paced(tokens, begun))
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    return served.entry(heard(served, body, begun).headers["x-greenlane-id"])


def test_the_pace_of_a_stream_makes_its_account(served):
    """.83 x 700 W / 64 = 9.08 W for 20 tokens, of which 19 took at least 4 ms, and .19 J for the prompt; x 1.785."""
    found = entry(served, "stated")
    assert found["account"]["method"] == "runtime_power"
    assert found["decode_s"] >= 19 * GAP_S
    assert found["account"]["energy_j"] == pytest.approx((9.08 * found["decode_s"] * 20 / 19 + 0.19) * 1.785, rel=0.02)
    assert found["cross_check"] == {"method": "flops_roofline", "energy_j": pytest.approx(4.40, rel=0.02)}


@pytest.mark.parametrize(("model", "tokens"), [("assumed", WORDS), ("stated", 7), ("stated", 100_000)], ids=["no batch", "few", "a burst"])
def test_a_stream_without_batch_or_pace_is_accounted_like_a_whole_answer(served, model, tokens):
    """A hundred thousand tokens in a tenth of a second are no machine's pace."""
    found = entry(served, model, tokens)
    assert found["account"]["method"] == "flops_roofline"
    assert found.get("cross_check") is None
