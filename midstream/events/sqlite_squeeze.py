"""Bodies as they are kept: compressed where that saves space, with a dictionary of what bodies say again and again.

A message of 1 KB is too short for a compressor to learn the words of JSON around it; the dictionary knows them, which
saves some 120 bytes of each. What digests cover is the body before it is compressed.
"""

from __future__ import annotations

import binascii
import struct
import zlib

_WORTH = 512

SQUEEZED = 0x78
"""How a zlib stream begins; JSON text begins with a brace. Source: RFC 1950, section 2.2, with a window of 32 KiB."""

_HAS_DICTIONARY = 0x20
"""The bit FDICT of a stream's second byte. Source: RFC 1950, section 2.2."""

WORDS = (
    b'{"type":"tool_call","id":"call_","name":"","arguments":"{\\"query\\":\\""}'
    b'{"name":"","arguments":{},"effect":"idempotent","effect":"read","key":"","lane":"","call_id":"'
    b'{"result":[{"title":"","url":"https://www.","content":"","score":0.'
    b'"tools":[{"name":"","description":"","parameters":{"type":"object","properties":{"":{"type":"string","description":"'
    b'"}},"required":[""],"additionalProperties":false}}],"system":"You are a '
    b'","cost":{"amount":"0.00","currency":"USD","source":"genai-prices '
    b'"finish":"tool_calls","response_id":"chatcmpl-msg_01","served":"gpt-4o-claude-sonnet-4-5-2025'
    b'"},"usage":{"input_tokens":1,"output_tokens":2,"cache_read_tokens":,"cache_write_tokens":,"reasoning_tokens":},'
    b'"seconds":0.0"}],"origin":"anthropic:"}],"origin":"openai:"}],"origin":"scripted:'
    b'"changes":[{"kind":"","severity":"loss","severity":"repair","seq":,"part":,"detail":"'
    b'"settings":{"temperature":0.,"max_tokens":"}]}],"view":"'
    b'{"output":"{"output":{"{"inputs":{"'
    b'{"message":{"role":"assistant","parts":[{"type":"reasoning","text":"'
    b'{"model":"openai:gpt-4o","model":"anthropic:claude-","model":"scripted:","lane":"1","thread":"","parents":["#1/llm:'
    b'#1"],"messages":[{"role":"user","parts":[{"type":"text","text":"'
)
"""The dictionary, the most frequent last. Files are full of it: it is never changed, only followed by another one, which
a stream names by its checksum."""


COMPACT = 0x01
"""How a sealed body begins as it is kept, and a sealed blob."""

_SEALED = b'{"$sealed":"'


def squeezed(body: bytes) -> bytes:
    """Return the body as it is kept."""
    if body[:12] == _SEALED:
        return _compact(body)
    if body[:1] == b"\x01":
        return body  # sealed: nothing makes it smaller
    if len(body) < _WORTH:
        return body
    # A window of 32 KiB, as `SQUEEZED` says; raising the level from 1 makes it slower, not smaller.
    press = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zdict=WORDS)
    small = press.compress(body) + press.flush()
    return small if len(small) < len(body) else body


def _compact(body: bytes) -> bytes:
    """Return a sealed body without base64, which would make it a third larger."""
    text, quote, rest = body[12:].partition(b'"')
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return body
    made = struct.pack(">BI", COMPACT, len(rest)) + rest + raw
    return made if quote and expanded(made) == body else body


def expanded(kept: bytes) -> bytes:
    """Return the sealed body that is kept like this.

    Raises:
        ValueError: It is cut off.
    """
    if len(kept) < 5:
        raise ValueError("a sealed body is cut off")
    end = 5 + int.from_bytes(kept[1:5], "big")
    text = binascii.b2a_base64(kept[end:], newline=False)
    return _SEALED + text + b'"' + kept[5:end]


def unsqueezed(kept: bytes) -> bytes:
    """Return the body of a compressed one.

    Raises:
        zlib.error: It is not one, or not all of one.
    """
    if not kept[1:2] or not kept[1] & _HAS_DICTIONARY:
        return zlib.decompress(kept)
    press = zlib.decompressobj(zdict=WORDS)
    body = press.decompress(kept) + press.flush()
    if not press.eof:
        raise zlib.error("the stream is cut off")
    return body
