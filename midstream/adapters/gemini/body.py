"""The whole body of a request to Gemini; the model is in the address, not in the body."""

from __future__ import annotations

from hashlib import sha256

from midstream.adapters.base import ModelRequest, Settings
from midstream.adapters.capabilities import gemini_family
from midstream.adapters.gemini.ask import asked
from midstream.adapters.gemini.render import closing
from midstream.adapters.view import View
from midstream.adapters.wire import encode


def requested(view: View, settings: Settings, provider: str) -> ModelRequest:
    """See `Adapter.request`."""
    family = gemini_family(view.model)
    telling = closing(view, provider, family)
    fields, changes = asked(settings, telling, view.model, family)
    body = {**view.head, "contents": [*view.tape.list(), *telling.items], **fields}
    if not body.get("tools", True):
        del body["tools"]
    digest = sha256(view.digest + encode([view.model, *sorted(fields.items())])).hexdigest()
    names = {alias: name for name, alias in telling.aliases.items()}
    return ModelRequest(view.model, body, (*telling.changes, *changes), digest, view.size, names)
