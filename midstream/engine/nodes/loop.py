"""A loop with a bound: when an activation has completed, control goes back, so many times at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from midstream.events.values import own


@dataclass(frozen=True, slots=True)
class Loop:
    """Where control goes back to from a node.

    Attributes:
        to: The node it goes to.
        most: The activations of the node after which it still goes back.
        take: The parameter of `to` that takes the output; empty for none.
        when: Says from the output whether it goes back; None: it does.
        code: The name under which `when` is registered, or empty.
    """

    to: str
    most: int
    take: str = ""
    when: Callable[[Any], Any] | None = None
    code: str = ""

    def data(self) -> dict[str, JsonValue]:
        """Return it as it is recorded."""
        named = (("take", self.take), ("when", self.code))
        return {"to": self.to, "most": self.most, **{key: value for key, value in named if value}}

    def decided(self, address: str, output: Any) -> dict[str, Any] | None:
        """Return the data of the `edge.decided` by which control goes back from an activation, or None.

        Args:
            address: The activation.
            output: What it returned.
        """
        if int(address.rpartition("#")[2]) > self.most:
            return None
        if self.when is not None and not self.when(own(output)):
            return None
        call: dict[str, Any] = {"node": self.to}
        return {"goto": [{**call, "args": {self.take: output}} if self.take else call]}


def loop_from(data: Mapping[str, Any], find: Callable[[str], Callable[..., Any]]) -> Loop:
    """Return a loop that was recorded.

    Args:
        data: As it was recorded.
        find: Finds the function that decides, by its name.
    """
    code = data.get("when", "")
    return Loop(data["to"], data["most"], data.get("take", ""), find(code) if code else None, code)
