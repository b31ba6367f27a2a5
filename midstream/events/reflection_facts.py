"""The facts of reflection: why a node failed, and what is changed so that the same run can go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.fact import Fact

FailureType = Literal["input_error", "resource_error", "logic_error", "timeout"]
"""What kind of failure it was: of what went in, of what was needed, of what was done, or of time."""


class ReflectionMade(Fact):
    """Somebody, or a rule, has said why a node failed; in the append that records the failure.

    Attributes:
        failure_type: What kind of failure it was.
        root_cause: Why it failed.
        suggested_fix: What might help.
        failed_node: The node.
        reflection_number: Which reflection of this run, from 1.
        by: The model that was asked, or `rule`.
    """

    type: Literal["reflection.made"] = "reflection.made"
    failure_type: FailureType
    root_cause: str
    suggested_fix: str = ""
    failed_node: str
    reflection_number: int
    by: str = "rule"


class PlanRevised(Fact):
    """A node of this run is done otherwise from here on; what has completed stays as it is.

    Attributes:
        node: The node.
        timeout: Seconds for one attempt from now on; None leaves it.
        attempts: How many more attempts it has; 0 for none.
        on_failure: `continue`: the run goes on without its output; empty leaves it.
        plan: What changes in the graph: nodes, edges, and nodes that are not to run; the facts that do so follow in the same
            append. With an edge to the node, it is done again, as a new activation, when what it waits for is there.
        reason: Why.
        by: The model that was asked, or `rule`.
    """

    type: Literal["plan.revised"] = "plan.revised"
    node: str
    timeout: float | None = None
    attempts: int = 0
    on_failure: Literal["", "continue"] = ""
    plan: Mapping[str, JsonValue] = Field(default_factory=dict)
    reason: str = ""
    by: str = "rule"
