"""What the log means: folds over events, each of which can be thrown away and made again."""

from typing import TYPE_CHECKING

from midstream.lazily import lazily
from midstream.projections.fold import Handler, Projection, fold, fold_async

if TYPE_CHECKING:
    from midstream.projections.conversation import messages, segments
    from midstream.projections.flow import Activation
    from midstream.projections.run_state import Call, RunState, fold_run
    from midstream.projections.timeline import Line, line
    from midstream.projections.usage import USAGE, Tally, UsageProjection, UsageState

__all__ = [
    "USAGE",
    "Activation",
    "Call",
    "Handler",
    "Line",
    "Projection",
    "RunState",
    "Tally",
    "UsageProjection",
    "UsageState",
    "fold",
    "fold_async",
    "fold_run",
    "line",
    "messages",
    "segments",
]

_MODULES = {
    "USAGE": "usage",
    "Activation": "flow",
    "Call": "run_state",
    "Line": "timeline",
    "RunState": "run_state",
    "Tally": "usage",
    "UsageProjection": "usage",
    "UsageState": "usage",
    "fold_run": "run_state",
    "line": "timeline",
    "messages": "conversation",
    "segments": "conversation",
}
"""Where each of them is made."""


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    # one fold has no use for another.
    __getattr__ = lazily(globals(), _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
