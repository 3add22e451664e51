"""What is answered where nobody may serve."""

from __future__ import annotations

import pytest

from policies._base import Decision, Rejection
from policies.refusal import Refusal, refusal
from tests.policies.fleets import at


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (("down",), Refusal("unavailable")),
        (("privacy", "full"), Refusal("unavailable")),
        (("member:logprobs", "full"), Refusal("unavailable")),
        (("full", "substitute"), Refusal("unavailable")),
        (("member:logprobs",), Refusal("member", ("logprobs",))),
        (("member:seed", "ability:image", "member:seed"), Refusal("member", ("image", "seed"))),
        (("privacy", "member:seed"), Refusal("member", ("seed",))),
        (("member:seed", "substitute"), Refusal("member", ("seed",))),
        (("member:seed", "context"), Refusal("member", ("seed",))),
        (("context", "max_output_tokens"), Refusal("context")),
        (("member:seed", "max_usd"), Refusal("constraints")),
        (("context", "max_usd"), Refusal("constraints")),
        (("privacy", "regions"), Refusal("constraints")),
        (("max_g", "substitute"), Refusal("constraints")),
        ((), Refusal("constraints")),
    ],
)
def test_an_empty_order_says_what_the_client_could_do(constraints: tuple[str, ...], expected: Refusal) -> None:
    rejected = tuple(Rejection(f"d{i}", constraint) for i, constraint in enumerate(constraints))
    assert refusal(Decision(order=(), reason="refused", rejected=rejected)) == expected


def test_a_decision_with_an_order_is_no_refusal() -> None:
    assert refusal(Decision(order=(at("a"),), reason="only", rejected=(Rejection("b", "down"),))) is None
