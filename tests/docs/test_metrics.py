"""docs/metrics.md and the table of instruments are one."""

from __future__ import annotations

from proxy.telemetry.metrics import INSTRUMENTS
from tests.docs.pages import quoted, rows, text

PAGE = text("docs/metrics.md")


def test_every_instrument_is_told_with_its_kind_and_labels():
    told = {quoted(row[0])[0]: (row[1], tuple(quoted(row[2]))) for row in rows(PAGE, "metric")}
    # Prometheus ends a counter's name in _total
    assert told == {f"{each.name}_total" if each.kind == "counter" else each.name: (each.kind, each.labels) for each in INSTRUMENTS}


def test_every_metric_in_a_query_exists():
    import re

    known = {f"{each.name}{end}" for each in INSTRUMENTS for end in ("", "_total", "_bucket", "_count", "_sum")}
    assert set(re.findall(r"greenlane_\w+", PAGE)) <= known
