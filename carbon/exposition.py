"""Prometheus's text format, read: the samples of the names asked for, and no other line is looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["Sample", "samples"]


def samples(page: bytes, names: Iterable[str]) -> list[Sample]:
    """The finite samples of these names, in the page's order. Raises ValueError where a line of theirs is not in the format."""
    wanted = tuple(names)
    lines = [line for line in page.decode().split("\n") if line.startswith(wanted)]
    try:
        found = [sample for family in text_string_to_metric_families("\n".join([*lines, ""])) for sample in family.samples]
    except (IndexError, KeyError) as error:  # the parser's, of lines cut short
        raise ValueError("a line is not in Prometheus's text format") from error
    # the parser makes integers of what looks like one
    return [sample._replace(value=float(sample.value)) for sample in found if sample.name in wanted and isfinite(sample.value)]
