"""`midstream show` with options: which parts of a run are shown, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from midstream.cli.exits import OK
from midstream.cli.output import put
from midstream.cli.settings import SETTINGS

Part = tuple[str, Callable[[], Coroutine[Any, Any, int]]]
"""The name of a part, and what shows it."""


async def show(
    wanted: str, *, at: str, state: bool, step: str, messages: bool, cost: bool, everything: bool
) -> int:
    """Show parts of a run; without any, the one screen that says where it stands.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        at: As it stood at this event, or before this step; empty for now.
        state: What its steps returned.
        step: One step of it, or empty.
        messages: Its newest conversation; of a step, that one's.
        cost: What it used, by model and step.
        everything: All of these, and the tree of its steps.
    """
    asked = {
        "summary": everything,
        "step": bool(step),
        "steps": everything and not step,
        "messages": messages or everything,
        "cost": cost or everything,
        "state": state or everything,
    }
    if not any(asked.values()):
        asked["summary"] = True
    shown = [part for part in _parts(wanted, at, step) if asked[part[0]]]
    code = OK
    for name, part in shown:
        code = max(code, await _one(name, part, alone=len(shown) == 1))
    return code


def _parts(wanted: str, at: str, step: str) -> tuple[Part, ...]:
    # Each is imported where it is shown, so that one part does not wait for what another needs.
    def summary() -> Coroutine[Any, Any, int]:
        from midstream.cli.show import show

        return show(wanted, at=at)

    def one_step() -> Coroutine[Any, Any, int]:
        from midstream.cli.show_step import show_step

        return show_step(wanted, step, at=at)

    def steps() -> Coroutine[Any, Any, int]:
        from midstream.cli.looking_back import trace

        return trace(wanted, at=at, whole=True)

    def messages() -> Coroutine[Any, Any, int]:
        from midstream.cli.messages import show

        node, address = ("", step) if "#" in step else (step, "")
        return show(
            wanted, provider="", versus="", at=at, thread="", node=node, step=address, full=True
        )

    def cost() -> Coroutine[Any, Any, int]:
        from midstream.cli.costs import cost

        return cost(wanted, models=(), cache="recorded", date="", at=at)

    def state() -> Coroutine[Any, Any, int]:
        from midstream.cli.show import show

        return show(wanted, at=at, whole=True)

    return (
        ("summary", summary),
        ("step", one_step),
        ("steps", steps),
        ("messages", messages),
        ("cost", cost),
        ("state", state),
    )


async def _one(name: str, part: Callable[[], Coroutine[Any, Any, int]], *, alone: bool) -> int:
    """Show a part; beside others it is headed, and its JSON says which it is."""
    if alone:
        return await part()
    settings = SETTINGS.get()
    if not settings.as_json and name != "summary":
        put(f"\n== {name}")
    token = SETTINGS.set(replace(settings, part=name))
    try:
        return await part()
    finally:
        SETTINGS.reset(token)
