"""A decision that is kept for like requests says what a new one would say."""

from __future__ import annotations

import concurrent.futures

import pytest

from tests.harness import ask, chosen, held, until


@pytest.mark.parametrize(("more_usd", "first"), [("1.0000005", "near"), ("1.00000002", "far")])
def test_load_decides_among_equal_prices_and_not_among_nearly_equal_ones(proxy, upstream, more_usd, first):
    """Whether the decision is made or recalled: in single precision the first differs from 1 and the second does not."""
    near = upstream()
    served = proxy(f"""
deployments:
  near: {{model: small, base_url: "{near.url}", usd_per_request: 1.0}}
  far: {{model: small, base_url: "{upstream().url}", usd_per_request: {more_usd}}}
policies: {{cheap: {{objective: cheapest}}}}
policy: cheap
""")
    assert chosen(ask(served)) == ("near", "cheapest")
    let = held(near)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        busy = pool.submit(ask, served)
        until(lambda: len(near.requests) == 2)
        recalled = pool.submit(ask, served)
        until(lambda: recalled.done() or len(near.requests) == 3)
        let.set()
        assert chosen(busy.result()) == ("near", "cheapest")
        assert chosen(recalled.result()) == (first, "cheapest")
