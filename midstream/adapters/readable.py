"""What can be read of a part by somebody who cannot be given the part itself."""

from __future__ import annotations

import base64
import binascii
import json

from midstream.events.content import Document, Reasoning, ServerTool

_TEXTS = frozenset(("application/json", "application/xml", "application/yaml", "application/toml"))


def document_words(document: Document) -> str | None:
    """Return what the document says, or None where it is no text and nobody has read it."""
    if document.text is not None:
        return document.text
    kind = document.media_type.partition(";")[0].strip().lower()
    if document.data is None or not (kind.startswith("text/") or kind in _TEXTS):
        return None
    try:
        return base64.b64decode(document.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def document_label(document: Document) -> str:
    """Return what to call the document."""
    return document.name or document.media_type or "unnamed"


def has_thought(part: Reasoning) -> bool:
    """Tell whether there is anything of what a model thought, if only the place where its provider keeps it."""
    return bool(part.text.strip() or part.summary or part.proof or part.item_id)


def readable(part: ServerTool) -> bool:
    """Tell whether anything that the part says can be read by others than its provider."""
    return part.input not in (None, "", {}, []) or bool(part.text.strip())


def server_tool_words(part: ServerTool) -> str:
    """Return the call and what came of it as text: `[web_search: {"query":"x"}]`, then what was found."""
    head = f"[{part.name}]"
    if part.input is not None:
        given = json.dumps(part.input, ensure_ascii=False, separators=(",", ":"))
        head = f"[{part.name}: {given}]"
    return f"{head} {part.text}".strip()
