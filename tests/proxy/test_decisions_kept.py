"""Decisions kept for like requests are bounded over all keys and models, not for each."""

from __future__ import annotations

import httpx

from proxy import snapshot
from proxy.configuration import key_hash
from proxy.dataplane import endpoint

KEYS = 4
SIZES = 12


def test_kept_decisions_are_bounded_over_all_keys(proxy, upstream, monkeypatch):
    monkeypatch.setattr(endpoint, "STOOD", 60)  # of a lone deployment: twenty decisions
    host = upstream()
    keys = "".join(f'  k{each}: {{team: t, key: "sha256:{key_hash(f"sk-{each}")}"}}\n' for each in range(KEYS))
    served = proxy(f'teams: {{t: {{}}}}\ndeployments:\n  a: {{model: small, base_url: "{host.url}", privacy: local}}\nkeys:\n{keys}')

    def kept():
        return served.call(lambda runtime: sum(len(plan.standing) for plan in runtime.plane.snapshot.plans.values()))

    seen = []
    with httpx.Client(timeout=60) as client:
        for most in range(1, SIZES + 1):
            for each in range(KEYS):
                body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": most}
                answer = client.post(f"{served.url}/chat/completions", json=body, headers={"authorization": f"Bearer sk-{each}"})
                assert answer.status_code == 200
            seen.append(kept())
    assert seen[:3] == [KEYS, 2 * KEYS, 3 * KEYS]
    assert max(seen) <= 20


def test_a_request_s_own_limits_leave_no_decision(proxy, upstream):
    host = upstream()
    served = proxy(f'deployments:\n  a: {{model: small, base_url: "{host.url}", privacy: local}}')
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "greenlane": {"privacy": "local"}}
    assert httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).status_code == 200
    assert served.call(lambda runtime: runtime.plane._stood) == 0


def test_plans_are_bounded_over_all_that_may_be_named_together(proxy, upstream, monkeypatch):
    """Every policy for every operation of every model, by every key: each would be kept as long as the configuration."""
    monkeypatch.setattr(snapshot, "PLANS", 5)
    host = upstream()
    policies = "".join(f"  p{each}: {{require: {{max_usd: {each}}}}}\n" for each in range(1, 13))
    place = f'{{model: small, base_url: "{host.url}", usd_per_mtok: {{input: 0, output: 1000}}}}'
    served = proxy(f"deployments:\n  a: {place}\npolicies:\n{policies}")
    for _ in range(2):
        for each in range(1, 13):
            body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6500}
            answer = httpx.post(f"{served.url}/chat/completions", json=body, headers={"x-greenlane-policy": f"p{each}"}, timeout=60)
            assert answer.status_code == (200 if each > 6 else 422)
            assert served.call(lambda runtime: len(runtime.plane.snapshot.plans)) <= 5
