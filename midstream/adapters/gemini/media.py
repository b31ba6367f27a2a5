"""Documents and sounds as Gemini takes them: by their bytes, or by an address.

Source: ai.google.dev/gemini-api/docs/document-processing and audio.
"""

from __future__ import annotations

from typing import Any

from midstream.adapters.gemini.parts import DIALECT
from midstream.events.content import Audio, Document

_SOUNDS = {
    "audio/wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/mp3": "audio/mp3",
    "audio/mpeg": "audio/mp3",
    "audio/aiff": "audio/aiff",
    "audio/aac": "audio/aac",
    "audio/ogg": "audio/ogg",
    "audio/flac": "audio/flac",
}


def document_block(document: Document) -> dict[str, Any] | None:
    """Return the document as a part, or None where it has to be told as text: what is no PDF is read as text anyway."""
    if document.media_type != "application/pdf":
        return None
    if document.file_id and document.provider == DIALECT:
        return {"fileData": {"mimeType": document.media_type, "fileUri": document.file_id}}
    if document.data:
        return {"inlineData": {"mimeType": document.media_type, "data": document.data}}
    if (document.url or "").startswith(("https://", "http://")):
        return {"fileData": {"mimeType": document.media_type, "fileUri": document.url}}
    return None


def sound_block(audio: Audio) -> dict[str, Any] | None:
    """Return the sound as a part, or None where it has to be told as its transcript."""
    kind = _SOUNDS.get(audio.media_type)
    if kind is None:
        return None
    if audio.file_id and audio.provider == DIALECT:
        return {"fileData": {"mimeType": kind, "fileUri": audio.file_id}}
    return {"inlineData": {"mimeType": kind, "data": audio.data}} if audio.data else None
