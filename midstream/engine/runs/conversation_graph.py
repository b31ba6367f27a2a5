"""A graph of one node that holds a conversation: it goes on with what was imported, and answers whoever says more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from midstream.adapters.base import ModelResponse
from midstream.adapters.native import NATIVE, native
from midstream.engine.contexts.context import Context
from midstream.engine.graphs.graph import Graph
from midstream.engine.models.continuing import IMPORTED
from midstream.engine.tools.tool import Tool, tool
from midstream.events import payloads
from midstream.events.content import Message, Segment
from midstream.events.payloads import Cost, Fact, ModelRequested, ModelResponded
from midstream.projections.conversation import tool_address
from midstream.projections.records import GRAPH_OF_IMPORTED

if TYPE_CHECKING:
    from midstream.adapters.convert import Recorded

NAME = GRAPH_OF_IMPORTED
"""Of the graph; a run that was imported finds its code by it."""
TALK = "talk"
"""Its node."""
DIALECT = "dialect"
"""The tag that says which wire format a run was imported from."""


def conversation(tools: Sequence[Tool | Callable[..., Any]] = ()) -> Graph:
    """Return the graph of a conversation.

    Args:
        tools: The code of its tools. What the calls of others returned has to be settled, see `Run.settle`.
    """
    made = [one if isinstance(one, Tool) else tool(one) for one in tools]
    graph = Graph(NAME)

    async def talk(ctx: Context) -> str:
        reply = await ctx.go_on(made)
        text = "" if reply is None else reply.text
        while (message := await ctx.listen()) is not None:
            text = (await ctx.answer(message, made)).text
        return text

    graph.add_node(TALK, talk, output=True)
    return graph


def facts(
    found: Recorded, model: str, answer: ModelResponse | None, cost: Cost | None
) -> Iterator[tuple[Fact, str]]:
    """Return what a recorded conversation says, as what would have happened in a run, with the address of each fact.

    Each answer in it becomes a model call, so that it can be looked at, and cut, like any other. A call of a tool without a
    result is one of unknown outcome: it may have been made after the recording.

    Args:
        found: The request.
        model: Who was asked, as `provider:model`.
        answer: The answer to it, or None.
        cost: Of that answer.
    """
    settings = _settings(found)
    parents: tuple[str, ...] = ()
    turns = list(_turns(found.segments))
    for place, (asked, said) in enumerate(turns, start=1):
        address = f"{TALK}#1/{IMPORTED}{place}"
        last = place == len(turns)
        yield _request(asked, model, parents, settings if last else {}), address
        parents = (address,)
        if said is not None:
            yield ModelResponded(message=said, cost=Cost(amount="0", source="imported")), address
            if last:
                yield from _open_calls(said, address)
        elif answer is not None:
            yield _response(answer, model, cost), address
            yield from _open_calls(answer.message, address)


def _turns(segments: Sequence[Segment]) -> Iterator[tuple[Segment, Message | None]]:
    """Return what was asked and answered, turn by turn; the last one may not be answered."""
    asked: Segment | None = None
    for segment in segments:
        if not segment.messages or segment.messages[0].role != "assistant":
            asked = segment
            continue
        before = asked or Segment(segment.seq, tools=segment.tools)
        asked = None
        yield before, segment.messages[0]
    if asked is not None:
        yield asked, None


def _request(
    asked: Segment, model: str, parents: tuple[str, ...], settings: Mapping[str, Any]
) -> ModelRequested:
    return ModelRequested(
        model=model,
        parents=parents,
        messages=asked.messages,
        system=asked.system,
        tools=asked.tools,
        settings=settings,
    )


def _response(answer: ModelResponse, model: str, cost: Cost | None) -> ModelResponded:
    message = answer.message
    return ModelResponded(
        message=message if message.origin else message.model_copy(update={"origin": model}),
        usage=answer.usage,
        cost=cost,
        finish=answer.finish,
        response_id=answer.response_id,
        served=answer.served,
    )


def _open_calls(said: Message, address: str) -> Iterator[tuple[Fact, str]]:
    for place, call in enumerate(said.tool_calls):
        at = tool_address(address, place)
        yield (
            payloads.ToolRequested(
                name=call.name, arguments=call.parsed() or {}, key=at, call_id=call.id
            ),
            at,
        )
        yield payloads.ToolUnknown(reason="imported: the recording ends before its result"), at


def _settings(found: Recorded) -> dict[str, Any]:
    read, name = found.read, found.name
    said = frozenset(key for key in read.said if key in read.rest)
    return {**read.settings, NATIVE: native(name, read.rest, said)}
