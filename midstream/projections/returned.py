"""What a call is taken to have returned, in the shape in which its outcome is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def returned(kind: str, output: Any) -> Mapping[str, Any]:
    """Return the outcome of a call that is taken to have returned this.

    Args:
        kind: `model`, `tool`, `value` or `timer`.
        output: Of a model, a text or a whole message as data; of anything else, the value.
    """
    match kind:
        case "model":
            said = {"role": "assistant", "parts": [{"type": "text", "text": output}]}
            return {"message": said if isinstance(output, str) else output, "finish": "stop"}
        case "subrun":
            return {"output": output}
        case "tool":
            return {"result": output}
        case _:
            return {"value": output}
