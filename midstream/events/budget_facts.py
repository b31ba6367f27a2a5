"""The fact of budgets: that one was reached, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.fact import Fact


class BudgetExceeded(Fact):
    """What was about to be done would have exceeded a budget; it was not done.

    Attributes:
        id: Of this fact.
        budget: The name of the budget.
        what: What there was too little of: `tokens`, `money`, `model_calls`, `tool_calls` or `seconds`.
        limit: How much there may be, as text.
        spent: How much there was, with what is under way, as text.
        estimate: How much more it would have been, as text.
        action: What was done: `fail`, `pause` or `downgrade`.
        metrics: What else was looked at.
    """

    type: Literal["budget.exceeded"] = "budget.exceeded"
    id: str
    budget: str
    what: str = ""
    limit: str
    spent: str
    estimate: str = ""
    action: str = "fail"
    metrics: Mapping[str, JsonValue] = Field(default_factory=dict)
