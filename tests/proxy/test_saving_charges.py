"""What is charged to a saving: attempts that failed after work was done, each with its band and its own margin; answers that broke off."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from carbon.footprint import Footprint, Workload, grams
from carbon.intensity import Intensity
from carbon.sources.static import Static
from proxy.access import ANYONE
from proxy.configuration import loads
from proxy.dataplane.compare import NOTHING_BURNT, Done, burnt, compared
from proxy.records import Attempt, Tokens
from proxy.runtime import compiled
from proxy.snapshot import plan_of
from tests.harness import ask, chosen, chunk

FLEET = """
models: {{big: {{policy: green, default: big-pl}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  big-pl: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{pl}", zone: PL}}
  big-se: {{model: big, upstream_model: Qwen/Qwen3-32B, base_url: "{se}", zone: SE}}
"""
CHAT = {"model": "big", "messages": [{"role": "user", "content": "Hi"}]}
ROUTER_G = 0.002 / 3.6e6 * 472.9
TOKENS = Tokens(input=1000, output=500)


def entry(served, answer):
    return httpx.get(f"{served.base}/v1/greenlane/requests/{answer.headers['x-greenlane-id']}", timeout=10).json()


def half(_, handler):
    """A stream that breaks after its second piece."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for piece in (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"})):
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.flush()
    handler.close_connection = True


def broken(_, handler):
    """A whole answer that stops in the middle of its body."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id":')
    handler.wfile.flush()
    handler.close_connection = True


def test_an_answer_that_broke_off_earns_no_credit_and_is_lost_work(proxy, upstream):
    """Whoever asked asks again, and that answer has the credit: this one is added to what was emitted."""
    served = proxy(FLEET.format(pl=upstream().url, se=upstream(half).url))
    found = entry(served, ask(served, {**CHAT, "stream": True}))
    assert (found["deployment"], found["outcome"]) == ("big-se", "truncated")
    account = found["account"]
    assert found["avoided_g"] == pytest.approx(-account["carbon_g"] - ROUTER_G)
    assert found["avoided_low_g"] == pytest.approx(-account["carbon_high_g"] - ROUTER_G)
    assert found["avoided_high_g"] == pytest.approx(-account["carbon_low_g"] - ROUTER_G)
    assert found["explanation"]["counterfactual"]["lines"] == []


def test_nor_does_a_response_that_failed(proxy, upstream):
    """However its words came: whoever asked asks again."""
    counts = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}
    says = {"id": "r1", "object": "response", "status": "failed", "error": {"code": "invalid_prompt"}, "output": [], "usage": counts}
    host = upstream(lambda _, handler: handler.reply(200, says))
    served = proxy(FLEET.replace("zone:", "apis: [responses], zone:").format(pl=host.url, se=host.url))
    found = entry(served, ask(served, {"model": "big", "input": "Hi"}, "/responses"))
    assert (found["deployment"], found["outcome"]) == ("big-se", "failed")
    assert found["avoided_g"] == pytest.approx(-found["account"]["carbon_g"] - ROUTER_G)
    assert found["explanation"]["counterfactual"]["lines"] == []


def test_an_answer_that_the_default_broke_off_is_no_fault_of_the_choice(proxy, upstream):
    served = proxy(FLEET.format(pl=upstream(half).url, se=upstream().url))
    found = entry(served, ask(served, {**CHAT, "stream": True}, x_greenlane_regions="PL"))
    assert (found["deployment"], found["outcome"], found["avoided_g"]) == ("big-pl", "truncated", pytest.approx(-ROUTER_G))


def test_what_a_failed_attempt_took_is_charged_with_its_band(proxy, upstream):
    served = proxy(FLEET.format(pl=upstream().url, se=upstream(broken).url))
    answer = ask(served, CHAT)
    assert chosen(answer)[0] == "big-pl"
    found = entry(served, answer)
    assert found["avoided_low_g"] < 1.3 * found["avoided_g"] < found["avoided_g"] < 0.8 * found["avoided_g"] < found["avoided_high_g"] < 0


def marginal(g: float, basis: str = "direct") -> Intensity:
    return Intensity(
        zone="Z", g_per_kwh=g, low=g, high=g, basis=basis, source="t", as_of="2026-01-01T00:00:00Z", licence="none", signal="marginal"
    )


def compiled_with(pl: Intensity | None, se: Intensity | None):
    """The plan, and its deployments by name, with these marginal rates."""
    snapshot = compiled(loads(FLEET.format(pl="http://127.0.0.1:1", se="http://127.0.0.1:1")), Static().table())
    plan = snapshot.plan("chat", snapshot.models["big"], ANYONE, "green")
    margins = {"big-pl": pl, "big-se": se}
    served = {place: msgspec.structs.replace(each, marginal=margins[each.name]) for place, each in plan.served.items()}
    return plan_of(plan.prepared, served, plan.terms, translates=False), {each.name: each for each in served.values()}


def took(served):
    return Footprint.of(Workload(input_tokens=1000, output_tokens=500), served.estimator, served.intensity)


def test_marginal_rates_of_two_bases_are_not_compared():
    plan, named = compiled_with(marginal(600), marginal(900, "lifecycle"))
    found = compared(plan, named["big-se"], Done(TOKENS, took(named["big-se"])))
    assert found.g > 0
    assert found.marginal_g is None
    plan, named = compiled_with(marginal(600), marginal(900))
    found = compared(plan, named["big-se"], Done(TOKENS, took(named["big-se"])))
    assert found.marginal_g < 0
    with_router = compared(plan, named["big-se"], Done(TOKENS, took(named["big-se"])), router_g=5.0)
    assert msgspec.structs.astuple(with_router) == pytest.approx([each - 5.0 for each in msgspec.structs.astuple(found)])


@pytest.mark.parametrize("margins", [(marginal(600), None), (None, marginal(900)), (None, None)])
def test_a_margin_that_is_not_known_on_both_sides_is_not_told(margins):
    plan, named = compiled_with(*margins)
    found = compared(plan, named["big-se"], Done(TOKENS, took(named["big-se"])))
    assert found.g > 0
    assert found.marginal_g is None


def test_on_the_margin_a_failed_attempt_is_charged_by_its_own_marginal_rate():
    """Poland 600 on the margin, Sweden 900; the one attempt that failed was in Sweden, and so is the one that served."""
    plan, named = compiled_with(marginal(600), marginal(900))
    se, actual = named["big-se"], took(named["big-se"])
    failed = Attempt(deployment="big-se", kind="garbled", status=200, seconds_s=1.0)
    charges = burnt([failed], frozenset({"connect"}), {"big-se": (se, actual)})
    found = compared(plan, se, Done(TOKENS, actual), charges)
    assert found.g == pytest.approx(took(named["big-pl"]).carbon_g - 2 * actual.carbon_g)
    assert found.marginal_g == pytest.approx(grams(actual.energy_j, 600) - 2 * grams(actual.energy_j, 900))


def test_where_a_failed_attempts_margin_is_unknown_so_is_the_savings():
    plan, named = compiled_with(marginal(600), marginal(900))
    failed = Attempt(deployment="gone", kind="garbled", status=200, seconds_s=1.0)
    unknown = msgspec.structs.replace(named["big-se"], marginal=None)
    charges = burnt([failed], frozenset(), {"gone": (unknown, took(unknown))})
    found = compared(plan, named["big-se"], Done(TOKENS, took(named["big-se"])), charges)
    assert (found.g > 0, found.marginal_g) == (True, None)
    assert burnt([failed], frozenset({"garbled"}), {"gone": (unknown, took(unknown))}) is NOTHING_BURNT


def test_a_sum_whose_band_holds_zero_is_no_robust_saving(proxy, upstream):
    """Two models of unknown machines a third apart in size: each within the other's band."""
    url = upstream().url
    served = proxy(
        f"""
models: {{auto: {{members: [a, b], policy: green, default: a}}}}
policies: {{green: {{objective: lowest_carbon}}}}
deployments:
  a: {{model: a, base_url: "{url}", zone: SE, parameters_b: 9}}
  b: {{model: b, base_url: "{url}", zone: SE, parameters_b: 7}}
"""
    )
    assert chosen(ask(served, {**CHAT, "model": "auto"}))[0] == "b"
    (row,) = httpx.get(f"{served.base}/v1/greenlane/savings", timeout=10).json()["data"]
    assert row["avoided_low_g"] < 0 < row["avoided_g"] < row["avoided_high_g"]
    assert (row["verdict"], row["because"]) == ("no robust saving", "indistinguishable")
