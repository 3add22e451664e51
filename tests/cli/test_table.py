"""Plain text in columns."""

from __future__ import annotations

import pytest

from proxy.cli.table import shown, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0"),
        (0.000012345, "0.0000123"),
        (12.345, "12.3"),
        (100.0, "100"),
        (1234.5, "1,234"),
        (-0.5, "-0.5"),
        (True, "True"),
        ("a\x1b[31mb", "a?[31mb"),
    ],
)
def test_values_are_shown_as_people_read_them(value, text):
    assert shown(value) == text


def test_numbers_stand_to_the_right_and_words_to_the_left():
    assert table(("name", "n"), [("a", 1), ("long name", 1000), ("b", None)]) == (
        "name           n\na              1\nlong name  1,000\nb              -\n"
    )


def test_a_table_without_rows_is_its_headings():
    assert table(("a", "b"), []) == "a  b\n"
