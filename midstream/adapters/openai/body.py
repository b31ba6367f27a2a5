"""The whole body of a request to Chat Completions."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from midstream.adapters.base import ModelRequest, Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.native import NATIVE, asked_beside, with_native
from midstream.adapters.openai.ask import asked
from midstream.adapters.openai.render import Teller, closing
from midstream.adapters.told_body import Told, body_of
from midstream.adapters.view import View
from midstream.adapters.wire import encode
from midstream.events.payloads import Change

DIALECT = "openai-chat"
"""By which `midstream.convert` names it."""


def requested(view: View, settings: Settings, provider: str, family: Family) -> ModelRequest:
    """See `Adapter.request`."""
    telling = closing(view, provider, family)
    fields, changes = asked(settings, telling, view.model, family)
    return made(view, telling, fields, changes, settings, DIALECT)


def made(
    view: View,
    telling: Teller,
    fields: dict[str, Any],
    changes: tuple[Change, ...],
    settings: Settings,
    dialect: str,
) -> ModelRequest:
    """Return the request of a view, with what closes it and how to ask.

    Args:
        view: What was told.
        telling: What a request adds to it.
        fields: The settings, in the words of the service.
        changes: What was changed for them.
        settings: As the caller gave them.
        dialect: Whose fields of an imported request go along.
    """
    body: dict[str, Any] = {
        "model": view.model,
        "messages": Told(view, telling.items),
        **telling.head,
        **fields,
    }
    if not body.get("tools", True):
        del body["tools"]
    body, more = with_native(body, settings.get(NATIVE), dialect, view, closed=not telling.items)
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
