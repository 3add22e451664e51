"""`Carbon-Emissions-Scope-2` is grams of combustion on the grid where it happened, or it is not there."""

from __future__ import annotations

import pytest

from tests.harness import ask

FLEET = """
carbon: {{basis: {basis}, emissions_scope_2_header: {on}}}
deployments: {{a: {{model: m, base_url: "{url}", zone: "aws:eu-north-1", parameters_b: 8}}}}
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
NAME = "carbon-emissions-scope-2"


def told(proxy, upstream, basis, on, **more):
    served = proxy(FLEET.format(url=upstream().url, basis=basis, on=on), server='{port: 0, cors: {origins: ["https://app.test"]}}')
    return ask(served, CHAT | more, origin="https://app.test").headers


def test_it_is_the_figure_on_a_direct_basis_and_a_page_may_read_it(proxy, upstream):
    headers = told(proxy, upstream, "direct", "true")
    assert headers[NAME] == headers["x-carbon-g"]
    assert NAME in headers["access-control-expose-headers"].split(", ")


@pytest.mark.parametrize(("basis", "on", "stream"), [("lifecycle", "true", False), ("direct", "false", False), ("direct", "true", True)])
def test_elsewhere_it_is_absent(proxy, upstream, basis, on, stream):
    """A lifecycle figure has more than scope 2; without being asked; and a stream's headers leave before there is a figure."""
    assert NAME not in told(proxy, upstream, basis, on, stream=stream)
