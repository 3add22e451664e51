"""What a request says to us: both ways to say it, the stricter of them, and what it cannot say."""

from __future__ import annotations

import msgspec
import pytest

from adapters._base import AdapterError
from carbon.zones import resolve_regions
from policies._base import Limits, Privacy
from proxy.dataplane.wishes import NONE, Wishes, sent_in, wishes


def raw(told):
    return None if told is None else msgspec.Raw(told.encode())


def test_headers_are_named_like_members():
    headers = {b"x-greenlane-max-g-per-kwh": b"100", b"x-greenlane-max_g": b"1", b"x-other": b"x", b"authorization": b"x"}
    assert sent_in(headers) == {"max_g_per_kwh": "100", "max-g": "1"}


SAID = {
    "nothing": ({}, None, NONE),
    "null": ({}, "null", NONE),
    "an empty object": ({}, "{}", NONE),
    "nulls": ({}, '{"policy":null,"max_g":null}', NONE),
    "all in the body": (
        {},
        '{"policy":"p","task":"code","substitute":"never","verbose":true,"max_g":0.5,"prefer":{"privacy":"local","max_usd":null}}',
        Wishes(
            policy="p",
            task="code",
            substitute="never",
            verbose=True,
            require=Limits(max_g=0.5),
            prefer=Limits(privacy=Privacy.LOCAL),
        ),
    ),
    "all in headers": (
        {"policy": "p", "task": "code", "substitute": "never", "verbose": "1", "max_g": "0.5", "prefer": "privacy=local, regions=SE|PL"},
        None,
        Wishes(
            policy="p",
            task="code",
            substitute="never",
            verbose=True,
            require=Limits(max_g=0.5),
            prefer=Limits(privacy=Privacy.LOCAL, regions=resolve_regions(["SE", "PL"])),
        ),
    ),
    "another policy in each": ({"policy": "p"}, '{"policy":"q"}', Wishes(policy="p", also="q")),
    "another task in each": ({"task": "a"}, '{"task":"b"}', Wishes(task="a")),
    "the stricter limit": ({"max_g": "2"}, '{"max_g":1,"max_usd":3}', Wishes(require=Limits(max_g=1.0, max_usd=3.0))),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said(case):
    sent, told, expected = SAID[case]
    assert wishes(sent, raw(told)) == expected


def test_whoever_says_nothing_needs_no_decision_of_his_own():
    assert not wishes({"policy": "p", "verbose": "true"}, None).limited
    for sent in ({"max_g": "1"}, {"prefer": "max_g=1"}, {"substitute": "never"}):
        assert wishes(sent, None).limited


WRONG = {
    "a text": ('"green"', "greenlane"),
    "a list": ("[]", "greenlane"),
    "no JSON": ('{"max_g":1', "greenlane"),
    "too deep": ('{"max_g":' + "[" * 5000, "greenlane"),
    "a number of 5,000 digits": ('{"max_g":' + "9" * 5000 + "}", "greenlane"),
    "a number of 400": ('{"max_g":' + "9" * 400 + "}", "greenlane.max_g"),
    "one of 400 that is preferred": ('{"prefer":{"max_g":' + "9" * 400 + "}}", "greenlane.prefer.max_g"),
    "a name twice": ('{"policy":"a","policy":"b"}', "greenlane"),
    "a name nobody knows": ('{"max_co2":1}', "greenlane"),
    "no number": ('{"max_g":"many"}', "greenlane.max_g"),
    "a truth for a number": ('{"max_g":true}', "greenlane.max_g"),
    "a negative one": ('{"max_g":-1}', "greenlane.max_g"),
    "an endless one": ('{"max_g":"inf"}', "greenlane.max_g"),
    "no privacy": ('{"privacy":"secret"}', "greenlane.privacy"),
    "no region": ('{"regions":["Atlantis"]}', "greenlane.regions"),
    "a number for regions": ('{"regions":5}', "greenlane.regions"),
    "a list of numbers": ('{"regions":[5]}', "greenlane.regions"),
    "no truth": ('{"verbose":"yes"}', "greenlane.verbose"),
    "a number for one": ('{"zero_retention":1}', "greenlane.zero_retention"),
    "a number to prefer": ('{"prefer":5}', "greenlane.prefer"),
    "a list to prefer": ('{"prefer":["max_g"]}', "greenlane.prefer"),
    "a text without a sign": ('{"prefer":"max_g"}', "greenlane.prefer"),
    "no policy's name": ('{"policy":"a b"}', "greenlane.policy"),
    "no name at all": ('{"policy":5}', "greenlane.policy"),
    "a task of two words": ('{"task":"to code"}', "greenlane.task"),
    "more than it may": ('{"substitute":"any"}', "greenlane.substitute"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_said_is_named(case):
    told, param = WRONG[case]
    with pytest.raises(AdapterError) as refused:
        wishes({}, raw(told))
    assert refused.value.param == param
    assert (
        f"`{param.removeprefix('greenlane.')}" in refused.value.message or f"`{param}" in refused.value.message or param.endswith("prefer")
    )


def test_a_name_that_is_not_known_is_told_with_those_that_are():
    with pytest.raises(AdapterError) as refused:
        wishes({}, raw('{"' + "x" * 100 + '":1}'))
    known = "max_g, max_g_per_kwh, max_ttft_s, max_usd, min_quality, policy, prefer, privacy, regions, substitute, task, verbose"
    assert refused.value.message == f"`greenlane` knows no `{'x' * 40}`; it knows {known}, zero_retention."
