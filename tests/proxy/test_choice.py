"""Which deployment serves, by what is configured and by what the request says; and the reason that is given for it."""

from __future__ import annotations

import concurrent.futures
import time

import httpx
import pytest

from proxy.configuration import ConfigurationError
from tests.harness import ask, chosen, completion, held, until

CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
STREAMED = {**CHAT, "stream": True}
NORTH = "zone: SE, privacy: local, zero_retention: true, quality: 0.5, usd_per_mtok: {input: 10, output: 1000}"
SOUTH = "zone: PL, privacy: vendor, quality: 0.9, usd_per_mtok: {input: 1, output: 100}"


def place(upstream, settings, model="small"):
    return f'{{model: {model}, upstream_model: Qwen/Qwen3-8B, base_url: "{upstream.url}", {settings}}}'


@pytest.fixture
def pair(proxy, upstream):
    """North: clean, local, dear, plain. South: dirty, a vendor, cheap, good."""
    north, south = upstream(), upstream()

    def make(more="", north_more="", south_more=""):
        text = f"""
deployments:
  north: {place(north, NORTH + north_more)}
  south: {place(south, SOUTH + south_more)}
{more}"""
        served = proxy(text)
        served.north, served.south, served.text = north, south, text
        return served

    return make


def in_body(**ours):
    return {**CHAT, "max_tokens": 10, "greenlane": ours}


# objectives

OBJECTIVES = {
    "{objective: lowest_carbon}": ("north", "lowest-carbon"),
    "{objective: cheapest}": ("south", "cheapest"),
    "{objective: best_quality}": ("south", "best-quality"),
    "{objective: least_loaded}": ("north", "least-loaded"),
    "{objective: round_robin}": ("north", "round-robin"),
    "{objective: weighted, weights: {carbon: 1}}": ("north", "weighted"),
    "{objective: weighted, weights: {cost: 1}}": ("south", "weighted"),
    "{objective: weighted, weights: {quality: 1}}": ("south", "weighted"),
    "{weights: {cost: 1}}": ("south", "weighted"),
}


@pytest.mark.parametrize("policy", OBJECTIVES)
def test_an_objective_chooses_and_says_so(pair, policy):
    served = pair(f"policies: {{p: {policy}}}\npolicy: p\n")
    answer = ask(served)
    assert chosen(answer) == OBJECTIVES[policy]
    assert answer.headers["x-greenlane-policy"] == "p"
    assert answer.json()["usage"]["greenlane"]["reason"] == OBJECTIVES[policy][1]


def test_the_cleanest_zone_wins_and_another_after_a_reload(pair):
    served = pair("policies: {green: {objective: lowest_carbon}}\npolicy: green\n")
    first = ask(served)
    assert chosen(first) == ("north", "lowest-carbon")
    assert (first.headers["x-carbon-zone"], first.headers["x-carbon-intensity-g-per-kwh"]) == ("SWE", "36")
    served.write(served.text.replace("zone: SE", "zone: IN"))
    assert served.reload()
    second = ask(served)
    assert chosen(second) == ("south", "lowest-carbon")
    assert second.headers["x-carbon-zone"] == "POL"


def test_weights_count_against_bounds_of_the_whole_catalogue(proxy, upstream):
    """One is ten times cleaner, the other half as dear: by shares of the largest 0.1 + 1 against 1 + 0.5, whatever the units."""
    text = f"""
deployments:
  clean: {place(upstream(), "zone: SE, privacy: local, usd_per_request: 2.0")}
  cheap: {place(upstream(), "zone: PL, privacy: local, usd_per_request: 1.0")}
policies: {{both: {{objective: weighted, weights: {{carbon: 1, cost: 1}}}}}}
policy: both
"""
    assert chosen(ask(proxy(text))) == ("clean", "weighted")


def test_bounds_that_are_stated_count(proxy, upstream):
    text = f"""
deployments:
  clean: {place(upstream(), "zone: SE, privacy: local, usd_per_request: 2.0")}
  cheap: {place(upstream(), "zone: PL, privacy: local, usd_per_request: 1.0")}
policies:
  money: {{objective: weighted, weights: {{carbon: 1, cost: 1}}, bounds: {{carbon_g: 1000, usd: 1}}}}
  grams: {{objective: weighted, weights: {{carbon: 1, cost: 1}}, bounds: {{carbon_g: 0.00001, usd: 1000}}}}
"""
    served = proxy(text)
    assert chosen(ask(served, x_greenlane_policy="money")) == ("cheap", "weighted")
    assert chosen(ask(served, x_greenlane_policy="grams")) == ("clean", "weighted")


def test_the_fastest_is_the_one_observed_to_be(pair):
    """Observed by taking turns first; then all go to the quick one, although it comes second in the file."""
    served = pair("policies: {turns: {objective: round_robin}, quick: {objective: fastest}}\n")

    def slow(received, handler):
        time.sleep(0.1)
        completion(received, handler)

    served.north.answer = slow

    def observed():
        for _ in range(4):
            ask(served, STREAMED, x_greenlane_policy="turns")
        return {chosen(ask(served, x_greenlane_policy="quick")) for _ in range(4)}

    # on a busy machine the quick one may be slow now and then
    until(lambda: observed() == {("south", "fastest")})


def test_one_that_was_never_observed_is_tried_now_and_then(pair):
    served = pair("policies: {quick: {objective: fastest}}\npolicy: quick\n")
    found = [chosen(ask(served, STREAMED)) for _ in range(21)]
    assert found[1] == ("north", "fastest")
    assert ("south", "unobserved") in found


def test_quality_is_the_tasks_where_it_is_told_apart(proxy, upstream):
    text = f"""
deployments:
  all: {place(upstream(), "privacy: local, quality: 0.7")}
  coder: {place(upstream(), "privacy: local, quality: {default: 0.3, code: 0.9}")}
policies: {{best: {{objective: best_quality}}}}
policy: best
"""
    served = proxy(text)
    assert chosen(ask(served)) == ("all", "best-quality")
    assert chosen(ask(served, x_greenlane_task="code")) == ("coder", "best-quality")
    assert chosen(ask(served, in_body(task="code"))) == ("coder", "best-quality")
    assert ask(served, x_greenlane_min_quality="0.8").status_code == 422
    assert chosen(ask(served, x_greenlane_min_quality="0.8", x_greenlane_task="code")) == ("coder", "only")


def test_a_model_without_any_policy_goes_to_the_least_loaded(pair):
    served = pair()
    let = held(served.north)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, served)
        until(lambda: served.north.requests)
        second = ask(served)
        let.set()
        assert chosen(first.result()) == ("north", "least-loaded")
    assert chosen(second) == ("south", "least-loaded")
    assert second.headers["x-greenlane-policy"] == "default"


def test_equals_go_in_the_order_of_the_configuration_every_time(proxy, upstream):
    hosts = [upstream() for _ in range(3)]
    lines = "\n".join(f"  {name}: {place(host, 'zone: SE, privacy: local')}" for name, host in zip("cab", hosts, strict=True))
    served = proxy(f"deployments:\n{lines}\npolicies: {{green: {{objective: lowest_carbon}}}}\n")
    assert {chosen(ask(served))[0] for _ in range(5)} == {"c"}
    assert {chosen(ask(served, x_greenlane_policy="green"))[0] for _ in range(5)} == {"c"}


def test_turns_are_taken_by_weight_and_each_model_counts_its_own(pair):
    served = pair("policies: {turns: {objective: round_robin}}\npolicy: turns\n", north_more=", weight: 3")
    taken = [chosen(ask(served))[0] for _ in range(8)]
    assert (taken.count("north"), taken.count("south")) == (6, 2)
    assert "south" in taken[:4]


def test_load_is_shared_by_weight(pair):
    served = pair(north_more=", weight: 2")
    let_north, let_south = held(served.north), held(served.south)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = []
        for number in range(1, 7):
            answers.append(pool.submit(ask, served))
            until(lambda number=number: len(served.north.requests) + len(served.south.requests) == number)
        let_north.set()
        let_south.set()
        taken = [chosen(each.result())[0] for each in answers]
    assert (taken.count("north"), taken.count("south")) == (4, 2)


# what a request requires, in its headers and in its body

REQUIRED = {
    "privacy": ("local", "local", "north"),
    "regions": (["SE"], "SE", "north"),
    "regions EU, PL": (["PL", "NO"], "PL, NO", "south"),
    "zero_retention": (True, "true", "north"),
    "max_g_per_kwh": (100, "100", "north"),
    "max_usd": (0.005, "0.005", "south"),
    "min_quality": (0.8, "0.8", "south"),
}


@pytest.mark.parametrize("case", REQUIRED)
def test_a_requirement_excludes_whoever_does_not_meet_it(pair, case):
    value, text, expected = REQUIRED[case]
    member = case.split()[0]
    served = pair()
    for answer in (
        ask(served, in_body(**{member: value}), x_greenlane_verbose="true"),
        ask(served, in_body(verbose=True), **{f"x-greenlane-{member.replace('_', '-')}": text}),
    ):
        assert chosen(answer) == (expected, "only")
        other = "south" if expected == "north" else "north"
        assert answer.headers["x-greenlane-rejected"] == f"{other}={member}"
    assert served.entries(2)[0].rejected == ((other, member),)


@pytest.mark.parametrize("where", ["", "policies", "teams", "keys"])
def test_a_requirement_counts_wherever_it_is_written(pair, where):
    require = "require: {privacy: local}"
    key = "keys: {k: {team: t, key: env:CHOICE_KEY%s}}\n"
    text = {
        "": f"{require}\n",
        "policies": f"policies: {{base: {{{require}}}, mine: {{extends: base, objective: cheapest}}}}\npolicy: mine\n",
        "teams": f"teams: {{t: {{{require}}}}}\n" + key % "",
        "keys": "teams: {t: {}}\n" + key % f", {require}",
    }[where]
    import os

    os.environ["CHOICE_KEY"] = "sk-choice"
    served = pair(text)
    for _ in range(3):
        assert chosen(ask(served, authorization="Bearer sk-choice", x_greenlane_prefer="privacy=vendor"))[0] == "north"
    assert served.south.requests == []


def test_a_request_tightens_and_never_loosens(pair):
    served = pair("require: {privacy: local, max_g_per_kwh: 100}\n")
    assert chosen(ask(served, in_body(privacy="vendor", max_g_per_kwh=10000, zero_retention=False)))[0] == "north"
    assert ask(served, in_body(max_g_per_kwh=10)).status_code == 422


def test_what_a_request_says_twice_loosens_nothing(pair):
    """Lines of one name are one list (RFC 9110, 5.3); what that would loosen is refused, whichever line came last."""
    served = pair()
    for lines in (
        [("x-greenlane-privacy", "local"), ("x-greenlane-privacy", "vendor")],
        [("x-greenlane-max-g", "1"), ("x-greenlane-max-g", "9")],
        [("x-greenlane-regions", "SE"), ("x-greenlane-regions", "US")],
    ):
        assert post(served, lines).status_code == 400, lines
    wishes = [("x-greenlane-prefer", "min-quality=0.8"), ("x-greenlane-prefer", "max-usd=1")]
    assert chosen(post(served, wishes))[0] == "south"


def post(served, lines):
    return httpx.post(f"{served.url}/chat/completions", json=CHAT, headers=lines, timeout=10)


def test_null_says_nothing(pair):
    """`None` is how a client's code says that it has no wish."""
    served = pair()
    unsaid = dict.fromkeys(
        ("policy", "privacy", "regions", "zero_retention", "max_g", "min_quality", "prefer", "substitute", "verbose", "task")
    )
    assert ask(served, in_body(**unsaid)).status_code == 200
    assert ask(served, in_body(prefer={"max_g": None})).status_code == 200


def test_a_cap_on_cost_compares_the_input_and_all_the_output_there_may_be(proxy, upstream):
    """A thousand dollars a million: ten tokens are a cent, whatever was generated in the end."""
    text = f"deployments:\n  only: {place(upstream(), 'privacy: local, usd_per_mtok: {input: 0, output: 1000}')}\n"
    served = proxy(text)
    assert ask(served, in_body(), x_greenlane_max_usd="0.0101").status_code == 200
    assert ask(served, in_body(), x_greenlane_max_usd="0.0099").status_code == 422
    assert ask(served, {**in_body(), "n": 2}, x_greenlane_max_usd="0.0101").status_code == 422
    # no cap of the client's: the configured ceiling of 4,096 tokens counts
    assert ask(served, x_greenlane_max_usd="4.1").status_code == 200
    assert ask(served, x_greenlane_max_usd="4.0").status_code == 422


def test_a_deployments_own_longest_answer_bounds_its_price(proxy, upstream):
    host = upstream()
    served = proxy(f"deployments:\n  only: {place(host, 'usd_per_mtok: {input: 0, output: 1000}, max_output_tokens: 100')}\n")
    assert ask(served, x_greenlane_max_usd="0.101").status_code == 200
    assert ask(served, x_greenlane_max_usd="0.099").status_code == 422


def test_a_cap_on_carbon_compares_the_high_end_of_the_forecast(proxy, upstream):
    served = proxy(f"deployments:\n  only: {place(upstream(), 'zone: SE, privacy: local')}\n")
    forecast = ask(served, {**CHAT, "stream": True}).headers
    middle_g, high_g = float(forecast["x-carbon-forecast-g"]), float(forecast["x-carbon-forecast-high-g"])
    assert middle_g * 1.5 < high_g
    assert ask(served, {**CHAT, "stream": True}, x_greenlane_max_g=str(high_g * 1.1)).status_code == 200
    assert ask(served, {**CHAT, "stream": True}, x_greenlane_max_g=str(high_g * 0.9)).status_code == 422
    assert ask(served, {**CHAT, "stream": True}, x_greenlane_max_g=str(middle_g)).status_code == 422


def test_a_latency_that_was_not_observed_passes_and_one_that_is_too_long_does_not(pair):
    served = pair()

    def slow(received, handler):
        time.sleep(0.15)
        completion(received, handler)

    served.north.answer = slow
    assert chosen(ask(served, STREAMED, x_greenlane_max_ttft_s="0.1"))[0] == "north"
    assert chosen(ask(served, x_greenlane_max_ttft_s="0.1")) == ("south", "only")


UNKNOWN = {
    "max_usd": "1000",
    "max_g": "1000",
    "min_quality": "0",
    "regions": "EU",
    "zero_retention": "true",
    "max_g_per_kwh": "300",
    "privacy": "private",
}


@pytest.mark.parametrize("member", UNKNOWN)
def test_what_is_unknown_fails_a_requirement(proxy, upstream, member):
    """No price, size, quality, zone, retention or class is stated."""
    served = proxy(f'deployments: {{only: {{model: small, base_url: "{upstream().url}"}}}}\n')
    answer = ask(served, **{f"x-greenlane-{member.replace('_', '-')}": UNKNOWN[member]})
    assert answer.status_code == 422
    assert answer.json()["error"]["deployments"] == [{"deployment": "only", "constraint": member}]


@pytest.mark.parametrize("objective", ["lowest_carbon", "cheapest", "best_quality"])
def test_what_is_unknown_ranks_last(proxy, upstream, objective):
    text = f"""
deployments:
  unknown: {{model: small, base_url: "{upstream().url}", privacy: local}}
  known: {place(upstream(), "privacy: local, zone: PL, quality: 0.1, usd_per_mtok: {input: 900, output: 900}")}
policies: {{p: {{objective: {objective}}}}}
policy: p
"""
    assert chosen(ask(proxy(text)))[0] == "known"


# preferences


def test_a_preference_steers_and_refuses_nobody(pair):
    served = pair("policies: {p: {objective: cheapest, prefer: {max_g_per_kwh: 300}}}\npolicy: p\n")
    assert chosen(ask(served)) == ("north", "preferred")
    served.north.answer = lambda _, handler: handler.reply(500, {})
    assert chosen(ask(served)) == ("south", "fallback")


def test_a_preference_that_nobody_meets_is_told(pair):
    served = pair("policies: {p: {objective: cheapest, prefer: {max_g_per_kwh: 1}}}\npolicy: p\n")
    answer = ask(served)
    assert chosen(answer) == ("south", "preference-unmet")
    assert answer.json()["usage"]["greenlane"]["reason"] == "preference-unmet"
    assert served.entry(answer.headers["x-greenlane-id"])["unmet"] == ["max_g_per_kwh"]
    assert served.entry(ask(served, in_body(prefer={"min_quality": 1})).headers["x-greenlane-id"])["unmet"] == [
        "min_quality",
        "max_g_per_kwh",
    ]


@pytest.mark.parametrize("say", ["header", "body"])
def test_a_request_has_preferences_of_its_own(pair, say):
    served = pair("policies: {p: {objective: lowest_carbon}}\npolicy: p\n")
    if say == "header":
        answer = ask(served, x_greenlane_prefer="regions=PL|US, min-quality=0.8")
    else:
        answer = ask(served, in_body(prefer={"regions": ["PL", "US"], "min_quality": 0.8}))
    assert chosen(answer) == ("south", "preferred")


# auto, policies by name


AUTO = """
models: {{auto: {{members: [small, large], min_quality: 0.4}}}}
deployments:
  tiny: {tiny}
  small: {small}
  large: {large}
policies:
  private: {{require: {{privacy: local}}}}
  best: {{objective: best_quality}}
"""


@pytest.fixture
def auto(proxy, upstream):
    hosts = {
        "tiny": place(upstream(), "zone: SE, quality: 0.3"),
        "small": place(upstream(), "zone: SE, quality: 0.5"),
        "large": place(upstream(), "zone: PL, privacy: local, quality: 0.9", "large"),
    }
    return proxy(AUTO.format(**hosts))


NAMED = {
    "auto": ("small", "lowest-carbon", "default"),
    "auto/private": ("large", "only", "private"),
    "auto/best": ("large", "best-quality", "best"),
    "small/best": ("small", "best-quality", "best"),
    "large": ("large", "only", "default"),
}


def test_a_floor_of_quality_where_nobody_tells_his_leaves_nobody_out(pair):
    """As in the example that everybody copies: `min_quality` for `auto`, and deployments that say nothing of theirs."""
    lines = pair("models: {auto: {members: [small], min_quality: 0.6}}\n").text.replace("quality: 0.5, ", "")
    served = pair()
    served.write(lines)
    assert served.reload()
    assert chosen(ask(served, {**CHAT, "model": "auto"}))[0] == "south"
    served.write(lines.replace("quality: 0.9, ", ""))
    assert served.reload()
    assert chosen(ask(served, {**CHAT, "model": "auto"}))[0] == "north"
    assert ask(served, {**CHAT, "model": "auto"}, x_greenlane_min_quality="0.1").status_code == 422


@pytest.mark.parametrize("name", NAMED)
def test_a_name_may_carry_a_policy(auto, name):
    answer = ask(auto, {**CHAT, "model": name})
    assert (*chosen(answer), answer.headers["x-greenlane-policy"]) == NAMED[name]


def test_a_policy_is_named_by_header_or_body_as_well(auto):
    body = {**CHAT, "model": "auto"}
    assert chosen(ask(auto, body, x_greenlane_policy="private")) == ("large", "only")
    assert chosen(ask(auto, {**body, "greenlane": {"policy": "best"}})) == ("large", "best-quality")


def test_a_group_ranges_over_its_members_only_and_above_its_quality(auto):
    answer = ask(auto, {**CHAT, "model": "auto", "greenlane": {"verbose": True}})
    assert "tiny=min_quality" in answer.headers["x-greenlane-rejected"]


@pytest.mark.parametrize("name", ["automatic", "auto/nope", "nope/private", "AUTO", "small/", "/private", "auto/private/best"])
def test_a_name_nobody_knows_is_404(auto, name):
    answer = ask(auto, {**CHAT, "model": name})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_without_an_entry_there_is_no_auto(pair):
    assert ask(pair(), {**CHAT, "model": "auto"}).status_code == 404


# nobody may serve


def test_422_names_each_deployment_and_its_constraint_to_keys_that_may_see_it(pair, monkeypatch):
    monkeypatch.setenv("SEES", "sk-sees")
    monkeypatch.setenv("BLIND", "sk-blind")
    served = pair("teams: {t: {}}\nkeys: {sees: {team: t, key: env:SEES, explain: true}, blind: {team: t, key: env:BLIND}}\n")
    answer = ask(served, in_body(privacy="local", regions=["PL"]), authorization="Bearer sk-sees")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_eligible_deployment")
    expected = [{"deployment": "north", "constraint": "regions"}, {"deployment": "south", "constraint": "privacy"}]
    assert answer.json()["error"]["deployments"] == expected
    blind = ask(served, in_body(privacy="local", regions=["PL"]), authorization="Bearer sk-blind")
    assert (blind.status_code, blind.json()["error"]["code"]) == (422, "no_eligible_deployment")
    assert "north" not in blind.text + str(blind.headers)
    assert served.north.requests == served.south.requests == []


def test_422_has_anthropics_form_on_its_route(pair):
    body = {"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], "greenlane": {"regions": ["JP"]}}
    answer = ask(pair(), body, "/messages")
    assert answer.status_code == 422
    assert answer.json()["type"] == "error"


def test_a_refusal_for_constraints_is_kept_with_what_was_rejected(pair):
    served = pair("policies: {p: {require: {regions: [JP]}}}\n")
    answer = ask(served, x_greenlane_policy="p")
    assert answer.status_code == 422
    entry = served.entry(answer.headers["x-greenlane-id"])
    assert (entry["outcome"], entry["status"], entry["error"]) == ("refused", 422, "no_eligible_deployment")
    assert entry["policy"] == "p"
    assert {(each["deployment"], each["constraint"]) for each in entry["rejected"]} == {("north", "regions"), ("south", "regions")}


def test_a_member_that_nobody_may_be_sent_is_400_and_one_that_somebody_takes_goes_there(pair):
    served = pair(north_more=", quirks: {refuses: [top_k]}", south_more="")
    assert chosen(ask(served, {**CHAT, "top_k": 4})) == ("south", "only")
    both = pair(north_more=", quirks: {refuses: [top_k]}", south_more=", quirks: {refuses: [top_k]}")
    answer = ask(both, {**CHAT, "top_k": 4})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "top_k")


# configuration


def test_a_zone_that_is_not_known_is_refused_with_the_nearest_names(proxy, upstream):
    with pytest.raises(ConfigurationError) as caught:
        proxy(f"deployments:\n  north: {place(upstream(), 'zone: aws:eu-nort-1')}\n")
    assert "deployments.north.zone" in str(caught.value)
    assert "aws:eu-north-1" in str(caught.value)
