"""Prometheus's text format, read: only lines that are asked for are looked at, and a bad one among them is an error."""

from __future__ import annotations

import pytest

from carbon.exposition import samples

PAGE = b"""# HELP a The first.
# TYPE a gauge
a{x="1"} 3
a_more 4
b{x="a \\"quoted\\" one",y="\\n"} 1.5e3 1700000000000
garbage that nobody asked for {
c NaN
c +Inf
"""


def test_the_samples_asked_for_and_no_other_line():
    found = samples(PAGE, ["a", "b", "c"])
    assert [(s.name, s.labels, s.value) for s in found] == [("a", {"x": "1"}, 3.0), ("b", {"x": 'a "quoted" one', "y": "\n"}, 1500.0)]
    assert all(type(s.value) is float for s in found)


@pytest.mark.parametrize("line", [b"garbage", b"garbage that", b'garbage{x="1" 2', b"garbage{x=1} 2", b"garbage\xff 1", b"garbage 1_0"])
def test_a_line_that_is_asked_for_and_not_in_the_format_is_an_error(line):
    with pytest.raises(ValueError):
        samples(line + b"\n", ["garbage"])


def test_an_empty_page_has_no_samples():
    assert samples(b"", ["a"]) == []
