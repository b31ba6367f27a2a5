"""What happened: the content model, the facts, their envelope, and the stores that keep them.

`SqliteStore` is imported by its own name, from `midstream.events.sqlite`, so that nobody pays for a driver who has no use
for it.
"""

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
from midstream.events.subscribe import subscribe
from midstream.events.verify import Verdict, verify

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
