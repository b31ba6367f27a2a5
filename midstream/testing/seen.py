"""A request as a scripted provider sees it, in no vendor's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from midstream.testing.violations import WireDialect

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A tool call in the history.

    Attributes:
        id: Its id on the wire.
        name: The tool.
        arguments: The arguments; empty when what was sent is no JSON object.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SeenResult:
    """A tool result in the history.

    Attributes:
        call_id: The id of the call that it answers.
        name: The tool of that call; empty when there is no such call before.
        text: The text of the result.
        is_error: Whether it is marked as an error; Chat Completions has no such mark.
    """

    call_id: str
    name: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class SeenTurn:
    """One message, or one run of tool results: these are turns of the role `tool` on either wire."""

    role: Role
    text: str = ""
    calls: tuple[SeenCall, ...] = ()
    results: tuple[SeenResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a dialect's body says."""

    system: str
    turns: tuple[SeenTurn, ...]
    tool_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that reached the server.

    Attributes:
        dialect: The wire format, from the path.
        model: The model that was asked for.
        stream: Whether a stream was asked for.
        system: The instructions before the first turn, blocks joined by an empty line.
        turns: The conversation in order; later instructions are turns of the role `system`.
        tool_names: The declared tools, in order.
        body: The body as it was sent.
        headers: The headers, names in lower case; they hold the key.
    """

    dialect: WireDialect
    model: str
    stream: bool
    system: str
    turns: tuple[SeenTurn, ...]
    tool_names: tuple[str, ...]
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(repr=False)

    @property
    def results(self) -> tuple[SeenResult, ...]:
        """All tool results, in order."""
        return tuple(result for turn in self.turns for result in turn.results)

    @property
    def calls(self) -> tuple[SeenCall, ...]:
        """All tool calls, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def last_user_text(self) -> str:
        """The text of the user's last turn; empty when there is none."""
        texts = [turn.text for turn in self.turns if turn.role == "user"]
        return texts[-1] if texts else ""


class TurnsInOrder:
    """Collects turns and resolves the tool of each result from the nearest call before it."""

    def __init__(self) -> None:
        self._turns: list[SeenTurn] = []
        self._names: dict[str, str] = {}

    def add(self, role: Role, text: str, calls: tuple[SeenCall, ...] = ()) -> None:
        """Add a message."""
        self._names.update((call.id, call.name) for call in calls)
        self._turns.append(SeenTurn(role, text, calls))

    def add_result(self, call_id: str, text: str, *, is_error: bool = False) -> None:
        """Add a result, to the run of results that is open."""
        result = SeenResult(call_id, self._names.get(call_id, ""), text, is_error)
        if self._turns and self._turns[-1].role == "tool":
            last = self._turns.pop()
            self._turns.append(SeenTurn("tool", results=(*last.results, result)))
        else:
            self._turns.append(SeenTurn("tool", results=(result,)))

    def reading(self, tool_names: tuple[str, ...]) -> Reading:
        """Split what was collected into leading instructions and turns."""
        leading = 0
        while leading < len(self._turns) and self._turns[leading].role == "system":
            leading += 1
        system = "\n\n".join(turn.text for turn in self._turns[:leading] if turn.text)
        return Reading(system, tuple(self._turns[leading:]), tool_names)
