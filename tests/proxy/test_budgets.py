"""A team's budget, from outside: spent, refused with 429, and known again after a restart."""

from __future__ import annotations

import httpx

from proxy.configuration import key_hash

FLEET = """
deployments:
  only:
    {{model: small, upstream_model: Qwen/Qwen3-8B, base_url: "{url}", zone: SE, privacy: local,
      usd_per_mtok: {{input: 1000, output: 1000}}}}
teams:
  search: {{budget: {{per: month, usd: 0.02}}}}
  other: {{}}
keys:
  search: {{team: search, key: "sha256:{search}"}}
  other: {{team: other, key: "sha256:{other}"}}
"""
ASK = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_budget_that_is_used_up_refuses_the_team_and_nobody_else(proxy, upstream):
    """One answer costs (9 + 3) tokens x 0.001 $: the second begins under the budget, the third does not."""
    text = FLEET.format(url=upstream().url, search=key_hash("sk-search"), other=key_hash("sk-other"))
    served = proxy(text)

    def ask(key):
        return httpx.post(f"{served.url}/chat/completions", json=ASK, headers={"authorization": f"Bearer {key}"}, timeout=60)

    assert [ask("sk-search").status_code for _ in range(3)] == [200, 200, 429]
    refused = ask("sk-search")
    assert refused.json()["error"]["code"] == "budget_exceeded"
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) > 0
    assert ask("sk-other").status_code == 200
