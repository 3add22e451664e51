"""YAML in, a plain tree with lines out, and every way in which a file can be no configuration."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.document import MAX_BYTES, parse


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("a: 1\nb: [1.5, two, null, ~, true]", {"a": 1, "b": [1.5, "two", None, None, True]}),
        ("zone: NO\non: off\nyes: y", {"zone": "NO", "on": "off", "yes": "y"}),
        ("api_version: 2024-10-21", {"api_version": "2024-10-21"}),
        ("time: 12:30:00", {"time": "12:30:00"}),
        ("a: 0123\nb: 0o17\nc: 0x1F\nd: 1_000", {"a": 123, "b": 15, "c": 31, "d": "1_000"}),
        ("a: 1e3\nb: '1e3'\nc: \"true\"\nd: !!str 5", {"a": 1000.0, "b": "1e3", "c": "true", "d": "5"}),
        ("1: a\ntrue: b", {"1": "a", "true": "b"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: &x {k: 1, l: {m: 2}}\nb: {<<: *x, k: 3}", {"a": {"k": 1, "l": {"m": 2}}, "b": {"k": 3, "l": {"m": 2}}}),
        ("a: &x {k: 1}\nb: &y {k: 2, n: 4}\nc: {<<: [*x, *y]}", {"a": {"k": 1}, "b": {"k": 2, "n": 4}, "c": {"k": 1, "n": 4}}),
        ("a: &x {k: 1}\nb: &y {<<: *x, l: 2}\nc: {k: 9, <<: *y}", {"a": {"k": 1}, "b": {"k": 1, "l": 2}, "c": {"k": 9, "l": 2}}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_scalars_follow_yaml_1_2_and_merges_work(text, tree):
    document = parse(text)
    assert (document.tree, document.problems) == (tree, [])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    )
)
def test_json_is_read_as_it_is(value):
    document = parse(json.dumps({"value": value}))
    assert (document.tree, document.problems) == ({"value": value}, [])


def test_every_value_knows_its_line():
    document = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n")
    assert document.lines == {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1): 5}
    assert document.line(("a", "missing", "deeper")) == 1


def test_what_is_merged_keeps_the_anchors_line_and_what_is_written_here_its_own():
    document = parse("a: &x\n  k: 1\n  l: 2\nb:\n  <<: *x\n  l: 3\n")
    assert (document.line(("b", "k")), document.line(("b", "l"))) == (2, 6)


@pytest.mark.parametrize(
    ("text", "path", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3", "a", 3, "first on line 1"),
        ("d:\n  x: {k: 1, k: 2}\n", "d.x.k", 2, "written twice"),
        ("a: [1", "", 1, "not YAML"),
        ("a: *nowhere", "", 1, "undefined alias"),
        ("a: b: c", "", 1, "not YAML"),
        ("a: 1\n---\nb: 2", "", 2, "not YAML"),
        ("a: \x00", "", None, "not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "a", 1, "not supported"),
        ("a: !!binary aGk=", "a", 1, "not supported"),
        ("a: !mine 1", "a", 1, "not supported"),
        ("a: .inf", "a", 1, "finite"),
        ("a: .nan", "a", 1, "finite"),
        ('a: "\\ud83d"', "a", 1, "half"),
        ("a: 1e999", "a", 1, "finite"),
        ("? [a, b]\n: 1", "", 1, "a key must be a word"),
        ("a: {<<: 5}", "a.<<", 1, "merge"),
        ("a: &x [*x]", "a[0][0][0]", 1, "deeper"),
        ("a: &x {<<: *x}", "a", 1, "contains itself"),
        ("a: " + "[" * 40 + "]" * 40, "a[0][0][0]", 1, "deeper"),
        ("[" * 5000, "", None, "deeper"),
        ("a: " + "x" * MAX_BYTES, "", None, "larger"),
    ],
)
def test_what_is_no_configuration_is_told_with_its_place(text, path, line, word):
    problem = parse(text).problems[0]
    assert (problem.path, problem.line) == (path, line)
    assert word in problem.message


@pytest.mark.parametrize(
    "layer", ["[{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]", "{{<<: [{0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}]}}"]
)
def test_a_billion_laughs_are_cut_short(layer):
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} " + layer.format(f"*a{n - 1}") for n in range(1, 11)]
    document = parse("\n".join(lines))
    assert "expand to more than" in document.problems[0].message
    assert document.tree is None


def test_a_duplicate_below_an_anchor_is_told_once():
    document = parse("a: &x {k: 1, k: 2}\nb: {<<: *x}\nc: {<<: *x}\n")
    assert [problem.path for problem in document.problems] == ["a.k"]
