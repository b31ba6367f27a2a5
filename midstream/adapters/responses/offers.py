"""Tools that come and go on the way, in Responses: the list at the beginning stays, since all that follows is bound to it.

What is new is an item `additional_tools` where it came; what is offered no longer is left out of `allowed_tools`, in the
requests from then on. The service looks for a tool that a request names in the list at the beginning only (`Tool choice '…'
not found in 'tools' parameter`), so one that came on the way can be called, and not be named.
Source: developers.openai.com, guide "keep prefix unchanged"; the SDK's types `AdditionalTools` and
`ToolChoiceAllowedParam`; recorded requests to gpt-5 and its successors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Tool = Mapping[str, Any]


def called(tool: Tool) -> str:
    """Return what tells a tool from others: its name, or the kind of one that the service runs."""
    return str(tool.get("name") or tool.get("type"))


@dataclass(frozen=True, slots=True)
class Offers:
    """What the model has been told of tools after the list at the beginning.

    Attributes:
        added: Told by items, in order.
        waiting: To be told by the next item.
        offered: What the model may call now; None for all.
        withheld: The names of what it was told of and may not call.
    """

    added: tuple[Tool, ...] = ()
    waiting: tuple[Tool, ...] = ()
    offered: tuple[Tool, ...] | None = None
    withheld: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Offers:
        """Return what a view remembers of them."""
        found: Offers = state.get("offers") or cls()
        return found

    def changed(self, head: Sequence[Tool], tools: Sequence[Tool]) -> list[str]:
        """Return the names of tools at the beginning that are declared otherwise from here on."""
        before = {called(tool): tool for tool in head}
        return [called(tool) for tool in tools if before.get(called(tool), tool) != tool]

    def redeclared(self, head: Sequence[Tool], tools: Sequence[Tool]) -> list[dict[str, Any]]:
        """Return the list at the beginning with the tools as they are declared from here on."""
        now = {called(tool): tool for tool in tools}
        return [dict(now.get(called(tool), tool)) for tool in head]

    def now(self, head: Sequence[Tool], tools: Sequence[Tool]) -> Offers:
        """Return what is offered where the model may call the tools, and no others."""
        known = {called(tool): tool for tool in (*head, *self.added)}
        waiting = tuple(tool for tool in tools if known.get(called(tool)) != tool)
        names = {called(tool) for tool in tools}
        withheld = tuple(name for name in known if name not in names)
        return Offers(self.added, waiting, tuple(tools) if withheld else None, withheld)

    @property
    def item(self) -> dict[str, Any]:
        """What tells the model of the tools that wait for it."""
        tools = [dict(tool) for tool in self.waiting]
        return {"type": "additional_tools", "role": "developer", "tools": tools}

    def told(self) -> Offers:
        """Return the same after the item."""
        return replace(self, added=(*self.added, *self.waiting), waiting=())

    @property
    def sayable(self) -> bool:
        """Whether a request can say what is offered: nothing of it came on the way, or all of it may be called."""
        offered = self.offered or ()
        return self.offered is None or not any(tool in self.added for tool in offered)

    def all(self, head: Iterable[Tool]) -> list[Tool]:
        """Return every tool that the model may call now."""
        return [*head, *self.added] if self.offered is None else list(self.offered)

    def choice(self, mode: str) -> Any:
        """Return `tool_choice` for a model that may call some of what it was told of; mode is `auto` or `required`."""
        if self.offered is None or not self.sayable:
            return mode
        if not self.offered:
            return "none"
        allowed = [
            {"type": tool["type"], **({"name": tool["name"]} if "name" in tool else {})}
            for tool in self.offered
        ]
        return {"type": "allowed_tools", "mode": mode, "tools": allowed}
