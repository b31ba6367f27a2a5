"""Who answers: the port to the providers, and what stands behind it.

Providers are imported by their own names (`midstream.adapters.openai`, `midstream.adapters.anthropic`), so that a vendor's
SDK is loaded only where it is used.
"""

from typing import TYPE_CHECKING

from midstream.lazily import lazily

if TYPE_CHECKING:
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

_MODULES = {
    "Adapter": "base",
    "Capabilities": "base",
    "Delta": "base",
    "ModelRequest": "base",
    "ModelResponse": "base",
    "ScriptedAdapter": "scripted",
    "Segment": "view",
    "StreamingAdapter": "base",
    "Tape": "view",
    "View": "view",
}
"""Where each of them is made."""


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    # who asks one provider has no use for the rest
    __getattr__ = lazily(globals(), _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
