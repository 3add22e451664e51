"""Whatever a provider puts into its answer, a source tells sound figures or says that it could not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbon.intensity import Intensity
from carbon.reach import OutOfReachError
from tests.carbon.sources.asking import NOW_S, World
from tests.carbon.sources.test_contract import CASES, SECRETS, ZONE, check
from tests.imitations.grids.server import Answer, Request

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, 5e-324, 10**15, -1, 0]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["NaN", "2026-11-21T12:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "lifecycle", "GB", "UK"]),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a JSON value; of a long list only to its first parts."""
    found = [path]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:3]):
            found += places(inner, (*path, index))
    return found


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


class Spoiled:
    """A provider one part of whose every answer is replaced, but for logins."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.where = 0
        self.by: Any = None

    def answer(self, request: Request) -> Answer:
        true = self.provider.answer(request)
        if true.status != 200 or request.path == "/login":
            return true
        body = json.loads(true.body)
        ways = places(body)
        return Answer(200, json.dumps(replaced(body, ways[self.where % len(ways)], self.by)).encode(), true.headers)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_answer_breaks_a_source(name, data):
    case = CASES[name]
    spoiled = Spoiled(case.provider(NOW_S))
    with World(spoiled, **SECRETS) as world:
        source = msgspec.convert({**case.settings, "base_url": world.url}, case.source)
        for _ in range(8):
            spoiled.where, spoiled.by = data.draw(st.integers(0, 10_000)), data.draw(JSON)
            world.reach.kept.clear()
            found: list[Intensity] = []
            with contextlib.suppress(OutOfReachError):
                found += world.latest(source, ZONE).values()
            with contextlib.suppress(OutOfReachError):
                found += world.ahead(source, ZONE, 6)
            for sample in found:
                check(sample)
                assert sample.zone == ZONE
