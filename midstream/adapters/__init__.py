"""Who answers: the port to the providers, and what stands behind it.

Providers are imported by their own names (`midstream.adapters.openai`, `midstream.adapters.anthropic`), so that a vendor's
SDK is loaded only where it is used.
"""

from midstream.adapters.base import (
    Adapter,
    Capabilities,
    Delta,
    ModelRequest,
    ModelResponse,
    StreamingAdapter,
)
from midstream.adapters.scripted import ScriptedAdapter
from midstream.adapters.view import Segment, Tape, View

__all__ = [
    "Adapter",
    "Capabilities",
    "Delta",
    "ModelRequest",
    "ModelResponse",
    "ScriptedAdapter",
    "Segment",
    "StreamingAdapter",
    "Tape",
    "View",
]
