"""What the log means: folds over events, each of which can be thrown away and made again."""

from midstream.projections.conversation import messages, segments
from midstream.projections.flow import Activation
from midstream.projections.fold import Handler, Projection, fold, fold_async
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
