"""The facts of experience: what people and programs said of steps, what was learnt from it, and what that was worth.

`feedback.added` and `memory.read` stand in the run that they are about. The others are about many runs, and stand in the
stream `system:experience:TENANT` of the tenant whose runs taught them.
"""

from __future__ import annotations

from typing import Literal

from midstream.events.fact import Fact

FeedbackKind = Literal["positive", "negative", "correction", "score"]
"""What feedback says: it was right, it was wrong, what would have been right, or how good it was."""

FeedbackSource = Literal["person", "program"]
"""Who gives feedback: somebody, or a test, a validator, a callback."""


class FeedbackAdded(Fact):
    """Somebody, or a program, said how good a step or a whole run was; at any time, also after the run has ended.

    The step is the event's address; none means the run. Who gave it is the event's actor.

    Attributes:
        id: Of this feedback; feedback that is given twice counts once.
        kind: `positive`, `negative`, `correction` (the text says what would have been right) or `score`.
        score: From 0 to 1; set for `score`, and possible beside any other kind.
        text: Why, or what would have been right.
        source: `person`, or `program`.
    """

    type: Literal["feedback.added"] = "feedback.added"
    id: str
    kind: FeedbackKind
    score: float | None = None
    text: str = ""
    source: FeedbackSource = "person"
