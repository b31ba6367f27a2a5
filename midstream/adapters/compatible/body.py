"""The whole body of a request to a compatible server: OpenAI's, with the server's own words."""

from __future__ import annotations

from typing import Any

from midstream.adapters.base import ModelRequest, Settings
from midstream.adapters.changes import repair
from midstream.adapters.compatible.profile import Profile
from midstream.adapters.compatible.render import closing
from midstream.adapters.openai.ask import asked
from midstream.adapters.openai.body import made
from midstream.adapters.view import View
from midstream.adapters.wire import is_object
from midstream.events.payloads import Change


def requested(view: View, settings: Settings, profile: Profile) -> ModelRequest:
    """See `Adapter.request`."""
    family = profile.family(view.model)
    telling = closing(view, profile)
    fields, changes = asked(settings, telling, view.model, family, stops=profile.stops)
    fields, more = worded(fields, profile)
    return made(view, telling, fields, (*changes, *more), settings, profile.provider)


def worded(fields: dict[str, Any], profile: Profile) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the fields of a request in the server's words, and what was changed for that."""
    changes: list[Change] = []
    told = dict(fields)
    for name in ("max_tokens", "max_completion_tokens"):
        if name in told:
            told[profile.limit] = told.pop(name)
    if "seed" in told:
        told[profile.seed] = told.pop("seed")
    if profile.effort == "reasoning" and "reasoning_effort" in told:
        told["reasoning"] = {"effort": told.pop("reasoning_effort")}
    choice = told.get("tool_choice")
    if is_object(choice) and not profile.named:
        detail = f"tool_choice={choice!r}: the server can be told to call some tool, not which"
        changes.append(repair("setting_mapped", 0, detail))
        choice = "required"
    if choice is not None:
        told["tool_choice"] = profile.required if choice == "required" else choice
    form = told.get("response_format")
    if is_object(form) and is_object(form.get("json_schema")) and not profile.strict:
        held = {key: value for key, value in form["json_schema"].items() if key != "strict"}
        told["response_format"] = {**form, "json_schema": held}  # these enforce every form
    return told, tuple(changes)
