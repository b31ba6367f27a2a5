"""The whole body of a request to Messages."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from midstream.adapters.anthropic.ask import asked
from midstream.adapters.anthropic.marks import MARK, MOST, limited, marked
from midstream.adapters.anthropic.render import closing
from midstream.adapters.anthropic.returning import DIALECT
from midstream.adapters.base import ModelRequest, Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.native import NATIVE, asked_beside, with_native
from midstream.adapters.told_body import Told, body_of
from midstream.adapters.view import View
from midstream.adapters.wire import encode


def requested(view: View, settings: Settings, provider: str, family: Family) -> ModelRequest:
    """See `Adapter.request`."""
    telling = closing(view, provider, family)
    fields, changes = asked(settings, telling, view.model, family)
    told = Told(view, telling.items)
    body: dict[str, Any] = {
        "model": view.model,
        "max_tokens": fields.pop("max_tokens"),
        **telling.head,
        "messages": told,
        **fields,
    }
    if not body.get("tools", True):
        del body["tools"]
    asked_for = sum(marked(telling.head.get(key)) for key in ("tools", "system"))
    if asked_for + telling.state.get("marks", 0) > MOST:
        body, dropped = limited({**body, "messages": told.each()})
        telling.loss("hint_dropped", f"{MARK} of {dropped} blocks: the service takes {MOST}")
    about = [view.model, body["max_tokens"], *sorted(fields.items()), *asked_beside(settings)]
    body, more = with_native(body, settings.get(NATIVE), DIALECT, view, closed=not telling.items)
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
