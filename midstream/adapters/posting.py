"""What an SDK is given to post: the bytes that are written already, where nobody between here and the service reads them."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from midstream.adapters.base import ModelRequest


def posted(request: ModelRequest, *, exact: bool, **more: JsonValue) -> dict[str, Any]:
    """Return the arguments of the SDK's `post` that hold the body.

    Args:
        request: What is sent.
        exact: The client sends a body as it is. One for Azure, Bedrock or Vertex AI reads the model out of it and changes
            it, and needs the fields.
        **more: Fields to add, or None to leave one out.
    """
    if exact:
        return {"content": b"".join(request.chunks(**more))}
    fields = {**request.body, **more}
    return {"body": {key: value for key, value in fields.items() if more.get(key, key) is not None}}
