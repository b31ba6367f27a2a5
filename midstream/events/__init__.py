"""What happened: the content model, the facts, their envelope, and the stores that keep them.

`SqliteStore` is imported by its own name, from `midstream.events.sqlite`, so that nobody pays for a driver who has no use
for it.
"""

from typing import TYPE_CHECKING

from midstream.events.subscribe import subscribe
from midstream.events.verify import Verdict, verify
from midstream.lazily import lazily

if TYPE_CHECKING:
    from midstream.events.codec import decode, encode
    from midstream.events.content import (
        Audio,
        Citation,
        Document,
        Image,
        Message,
        Opaque,
        Reasoning,
        Refusal,
        Segment,
        ServerTool,
        Text,
        ToolCall,
        ToolResult,
        ToolSpec,
    )
    from midstream.events.envelope import Draft, Event
    from midstream.events.memory import MemoryStore
    from midstream.events.payloads import PAYLOADS, Payload
    from midstream.events.store import EventStore, Head, RunInfo, RunQuery, Snapshot, Stretch

__all__ = [
    "PAYLOADS",
    "Audio",
    "Citation",
    "Document",
    "Draft",
    "Event",
    "EventStore",
    "Head",
    "Image",
    "MemoryStore",
    "Message",
    "Opaque",
    "Payload",
    "Reasoning",
    "Refusal",
    "RunInfo",
    "RunQuery",
    "Segment",
    "ServerTool",
    "Snapshot",
    "Stretch",
    "Text",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Verdict",
    "decode",
    "encode",
    "subscribe",
    "verify",
]

_MODULES = {
    "PAYLOADS": "payloads",
    "Audio": "content",
    "Citation": "content",
    "Document": "content",
    "Draft": "envelope",
    "Event": "envelope",
    "EventStore": "store",
    "Head": "store",
    "Image": "content",
    "MemoryStore": "memory",
    "Message": "content",
    "Opaque": "content",
    "Payload": "payloads",
    "Reasoning": "content",
    "Refusal": "content",
    "RunInfo": "store",
    "RunQuery": "store",
    "Segment": "content",
    "ServerTool": "content",
    "Snapshot": "store",
    "Stretch": "store",
    "Text": "content",
    "ToolCall": "content",
    "ToolResult": "content",
    "ToolSpec": "content",
    "decode": "codec",
    "encode": "codec",
}
"""Where each of them is made."""


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    # who reads a log needs few of the modules here
    __getattr__ = lazily(globals(), _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
