"""What a run has used."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from decimal import Decimal

from midstream.projections import USAGE, fold
from tests.projections.logs import recorded


def test_usage_is_told_in_total_by_model_and_by_node() -> None:
    usage = fold(USAGE, recorded())
    assert usage.total.calls == 6
    assert usage.total.failed == 1
    assert usage.total.cost == Decimal(5 + 3 + 3 + 3 + 3)
    assert usage.total.unpriced == 1
    assert usage.tools == 2
    assert {name: tally.calls for name, tally in usage.by_model.items()} == {"p:m": 5, "p:n": 1}
    assert {name: tally.calls for name, tally in usage.by_node.items()} == {
        "first": 2,
        "left": 2,
        "right": 1,
        "last": 1,
    }


def test_parts_add_up_to_the_total() -> None:
    for fail in (False, True):
        usage = fold(USAGE, recorded(fail))
        for parts in (usage.by_model, usage.by_node):
            for name in ("calls", "failed", "input_tokens", "output_tokens", "cost", "unpriced"):
                total = sum((getattr(tally, name) for tally in parts.values()), Decimal(0))
                assert total == getattr(usage.total, name)
