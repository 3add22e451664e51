"""One thing wrong between the parts of a configuration, told with path and suggestion."""

from __future__ import annotations

import pytest

from proxy.configuration import examine

BASE = """
models: {big: {substitutes: [small]}, auto: {members: [big, small]}}
deployments:
  a: {model: big, base_url: "http://a:8000/v1", zone: SE}
  b: {model: small, base_url: "http://a:8000/v1"}
policies: {green: {objective: lowest_carbon}, home: {extends: green, require: {privacy: local, regions: [EU, DE, "aws:eu-north-1"]}}}
teams: {t: {policy: green, budget: {g: 5}}}
keys: {k: {team: t, key: env:K, models: [auto, big]}}
"""


def found(extra: str, base: str = "") -> list[tuple[str, str, str | None]]:
    problems = examine(base + extra).problems
    return [(problem.path, problem.message, problem.suggestion) for problem in problems if not problem.warning]


def warned(text: str) -> list[tuple[str, str]]:
    examination = examine(text)
    assert examination.config is not None
    return [(problem.path, problem.message) for problem in examination.problems]


def place(**settings: str) -> str:
    members = {"model": "m", "base_url": "http://h:1/v1"} | settings
    return "deployments: {a: {" + ", ".join(f"{name}: {value!r}" for name, value in members.items()) + "}}"


def test_a_sound_configuration_has_nothing_wrong_and_two_deployments_may_share_a_url():
    assert examine(BASE).problems == []


@pytest.mark.parametrize(
    ("extra", "path", "word", "suggestion"),
    [
        ("models: {bgi: {}}\n" + place(model="big"), "models.bgi", "no deployment serves it", "big"),
        ("models: {x: {substitutes: [mm]}}\n" + place(), "models.x.substitutes[0]", "'mm' is not known", "m"),
        ("models: {x: {members: [q]}}\n" + place(), "models.x.members[0]", "'q' is not known", None),
        ("models: {x: {members: []}}\n" + place(), "models.x.members", "is empty", None),
        ("models: {x: {members: [m, x]}}\n" + place(), "models.x.members[1]", "one of its own members", None),
        ("models: {m: {substitutes: [m]}}\n" + place(), "models.m.substitutes[0]", "one of its own substitutes", None),
        ("models: {x: {members: [m]}, y: {members: [x]}}\n" + place(), "models.y.members[0]", "is a group", None),
        ("models: {x: {members: [m]}, m: {substitutes: [x]}}\n" + place(), "models.m.substitutes[0]", "is a group", None),
        ("models: {m: {policy: gren}}\npolicies: {green: {}}\n" + place(), "models.m.policy", "'gren' is not known", "green"),
        ("models: {g: {members: [m]}}\ndeployments: {a: {model: g, base_url: 'http://h'}, b: {model: m, base_url: 'http://h'}}",
         "deployments.a.model", "has no deployments", None),
        (place(dialect="openia"), "deployments.a.dialect", "'openia' is not known", "openai"),
        (place(dialect="azure", base_url="https://x.openai.azure.com"), "deployments.a.api_version", "is missing", None),
        ("deployments: {a: {model: m, base_url: 'http://h', abilities: [tool]}}", "deployments.a.abilities[0]", "not known", "tools"),
        ("deployments: {a: {model: m, base_url: 'http://h', apis: [caht]}}", "deployments.a.apis[0]", "not known", "chat"),
        ("deployments: {a: {model: m, base_url: 'http://h', residency: [Atlantis]}}", "deployments.a.residency[0]", "not known", None),
        ("deployments: {a: {model: m, base_url: 'http://h', parameters_b: {total: 8, active: 9}}}", "deployments.a.parameters_b.active",
         "more than total", None),
        (place(zone="aws:eu-nord-1"), "deployments.a.zone", "is not known", "aws:eu-north-1"),
        ("policy: x\n" + place(), "policy", "'x' is not known; there are none", None),
        ("policies: {p: {extends: q}}\n" + place(), "policies.p.extends", "'q' is not known", None),
        ("policies: {p: {objective: lowest_carbn}}\n" + place(), "policies.p.objective", "is not known", "lowest_carbon"),
        ("policies: {p: {objective: weighted, weights: {carbon: 0}}}\n" + place(), "policies.p.weights", "above 0", None),
        ("policies: {p: {require: {regions: []}}}\n" + place(), "policies.p.require.regions", "is empty", None),
        ("prefer: {regions: [Nowhereland]}\n" + place(), "prefer.regions[0]", "is not known", None),
        ("teams: {t: {policy: p}}\n" + place(), "teams.t.policy", "'p' is not known", None),
        ("teams: {t: {budget: {per: day}}}\n" + place(), "teams.t.budget", "needs g or usd", None),
        ("keys: {k: {team: t, key: env:K}}\n" + place(), "keys.k.team", "'t' is not known", None),
        ("teams: {t: {}}\nkeys: {k: {team: t, key: env:K, models: [n]}}\n" + place(), "keys.k.models[0]", "'n' is not known", None),
        ("carbon: {sources: [statik]}\n" + place(), "carbon.sources[0]", "not known", "static"),
        ("server: {tls_key_file: k.pem}\n" + place(), "server.tls_certificate_file", "is missing", None),
        ("server: {cors: {origins: ['https://a.example/']}}\n" + place(), "server.cors.origins[0]", "without a path", None),
        (place(model="a b"), "deployments.a.model", "printable ASCII", None),
        ("deployments: {'a,b': {model: m, base_url: 'http://h'}}", "deployments.a,b", "printable ASCII", None),
        ("deployments: {" + "a" * 101 + ": {model: m, base_url: 'http://h'}}", "deployments." + "a" * 101, "1 to 100", None),
        ("teams: {'': {}}\n" + place(), "teams.", "1 to 100", None),
    ],
)  # fmt: skip
def test_a_name_that_refers_to_nothing_or_in_a_circle_is_told(extra, path, word, suggestion):
    problems = found(extra)
    assert [problem[0] for problem in problems] == [path]
    assert word in problems[0][1]
    if suggestion is not None:
        assert suggestion in problems[0][2]


def test_policies_that_extend_each_other_in_a_circle_are_told_once_each():
    text = "policies: {a: {extends: b}, b: {extends: c}, c: {extends: b}, d: {extends: d}}\n" + place()
    assert found(text) == [
        ("policies.b.extends", "goes in a circle: b -> c -> b", None),
        ("policies.c.extends", "goes in a circle: c -> b -> c", None),
        ("policies.d.extends", "goes in a circle: d -> d", None),
    ]


@pytest.mark.parametrize(
    ("text", "path", "word"),
    [
        ("", "deployments", "no deployments"),
        ("policies: {p: {}}\n" + place(model="m/p"), "deployments", "MODEL/POLICY"),
        ("models: {m/p: {}}\npolicies: {p: {}}\n" + place(model="m/p"), "models.m/p", "MODEL/POLICY"),
        ("policies: {p: {weights: {carbon: 1}}}\n" + place(), "policies.p.weights", "weighted only"),
        ("policies: {p: {prefer: {regions: []}}}\n" + place(), "policies.p.prefer.regions", "is empty"),
        ("models: {x: {members: [m, m]}}\n" + place(), "models.x.members[1]", "twice"),
        ("models: {x: {members: [m], min_quality: 0.6}}\n" + place(), "models.x.min_quality", "nobody out"),
        ("models: {x: {members: [m], min_quality: 0.6}}\n" + place(quality=0.5), "models.x.min_quality", "everybody out"),
        ("server: {host: 0.0.0.0}\n" + place(), "server.host", "only loopback"),
    ],
)
def test_what_is_odd_is_only_warned_of(text, path, word):
    warnings = [warning for warning in warned(text) if warning[0] == path]
    assert len(warnings) == 1
    assert word in warnings[0][1]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host):
    assert warned(f"server: {{host: '{host}'}}\n" + place()) == []


def test_weights_that_are_inherited_by_a_weighted_policy_are_fine():
    text = "policies: {w: {objective: weighted}, v: {extends: w, weights: {cost: 1}}}\n" + place()
    assert warned(text) == []


def test_models_may_stand_in_for_each_other_and_for_another_name():
    models = "models: {a: {substitutes: [b]}, b: {substitutes: [a]}, alias: {substitutes: [a]}}\n"
    assert warned(models + "deployments: {x: {model: a, base_url: 'http://h'}, y: {model: b, base_url: 'http://h'}}") == []
