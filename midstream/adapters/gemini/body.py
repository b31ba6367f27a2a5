"""The whole body of a request to Gemini; the model is in the address, not in the body."""

from __future__ import annotations

from hashlib import sha256

from midstream.adapters.base import ModelRequest, Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.gemini.ask import asked
from midstream.adapters.gemini.parts import DIALECT
from midstream.adapters.gemini.render import closing
from midstream.adapters.native import NATIVE, asked_beside, with_native
from midstream.adapters.told_body import Told, body_of
from midstream.adapters.view import View
from midstream.adapters.wire import encode


def requested(view: View, settings: Settings, provider: str, family: Family) -> ModelRequest:
    """See `Adapter.request`."""
    telling = closing(view, provider, family)
    fields, changes = asked(settings, telling, view.model, family)
    body = {**telling.head, "contents": Told(view, telling.items), **fields}
    if not body.get("tools", True):
        del body["tools"]
    body, more = with_native(body, settings.get(NATIVE), DIALECT, view, closed=not telling.items)
    about = [view.model, *sorted(fields.items()), *asked_beside(settings)]
    digest = sha256(view.digest + encode(about)).hexdigest()
    names = {alias: name for name, alias in telling.aliases.items()}
    return ModelRequest(
        view.model,
        body_of(body),
        (*telling.changes, *changes, *more),
        digest,
        view.size,
        names,
        telling.output_tool,
    )
