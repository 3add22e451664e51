"""The highest quality comes first, by task where one is given."""

from __future__ import annotations

from policies.objectives.best_quality import BestQuality
from tests.policies.fleets import asking, at


def test_it_counts_the_quality_for_the_task_where_one_is_told() -> None:
    group = [at("a", quality=0.5), at("b", quality=0.75, quality_by_task={"code": 0.25}), at("c")]
    assert BestQuality().costs(group, asking(task="code")) == [0.5, 0.75, None]
    assert BestQuality().costs(group, asking(task="chat")) == [0.5, 0.25, None]
    assert BestQuality().costs(group, asking()) == [0.5, 0.25, None]
