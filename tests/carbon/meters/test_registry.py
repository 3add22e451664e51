"""A file under carbon/meters is a meter by its name; what reads answers is none."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from carbon.meters import meters


def test_every_file_is_a_meter_but_the_one_that_reads_answers():
    assert {name: meter.__name__ for name, meter in meters().items()} == {
        "dcgm": "Dcgm",
        "host": "Host",
        "nvml": "Nvml",
        "trtllm": "Trtllm",
    }


@pytest.mark.parametrize("name", sorted(meters()))
def test_a_meter_is_its_own_settings(name):
    """Unknown ones are refused, all have a default or are named by the refusal, and it can be read."""
    meter = meters()[name]
    assert meter.__struct_config__.frozen
    assert meter.__struct_config__.forbid_unknown_fields
    assert inspect.iscoroutinefunction(meter.read)
    assert meter.__doc__
    with pytest.raises(msgspec.ValidationError, match="unknown field `joules`"):
        msgspec.convert({"joules": 1, "url": "http://x"}, meter)
