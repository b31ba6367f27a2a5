"""What a run is worth, in a hundred lines: plans of random graphs, the graphs, and what they must come to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midstream import RETRY_CALL, Context, Graph, Retry, Tool, ToolContext, UnknownCall, tool
from midstream.adapters.scripted import Script
from midstream.events.content import Message, ToolCall, ToolResult, assistant
from midstream.events.payloads import Effect

Call = Callable[[str, str], Awaitable[None]]
"""Called with the kind and the key of an effect; returns when it happened and its outcome is on its way back."""

KINDS = ("say", "use tools", "read", "idempotent", "unsafe", "flaky", "sleep", "now")
NAP = 10.0


@dataclass(frozen=True)
class Step:
    """What a node does at one point: one thing, or two side by side."""

    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A node: what it waits for, by place, and what it does.

    Attributes:
        needs: Places of earlier nodes.
        steps: In order.
        stumbles: Its first attempt fails at its end.
        breaks: Every attempt fails, at its end.
    """

    needs: tuple[int, ...] = ()
    steps: tuple[Step, ...] = ()
    stumbles: bool = False
    breaks: bool = False


def expected(plans: Sequence[Plan]) -> Mapping[str, str] | None:
    """Return the outputs of the nodes that nobody waits for, or None where a node fails for good."""
    if any(plan.breaks for plan in plans):
        return None
    outputs: list[str] = []
    for place, plan in enumerate(plans):
        told = [outputs[need] for need in plan.needs]
        done = [
            _worth(kind, f"{place}.{number}.{side}")
            for number, step in enumerate(plan.steps)
            for side, kind in enumerate(step.kinds)
        ]
        outputs.append(f"n{place}({' '.join(told)}|{' '.join(done)})")
    waited = {need for plan in plans for need in plan.needs}
    return {f"n{place}": text for place, text in enumerate(outputs) if place not in waited}


def _worth(kind: str, name: str) -> str:
    if kind == "use tools":
        return f"[read {name}+unsafe {name}+idempotent {name}]"
    return f"<say {name}>" if kind == "say" else f"{kind} {name}"


def script(call: Call, check: Callable[[Sequence[Message]], None]) -> Script:
    """Return a model that answers by the last thing it was told."""

    async def answer(messages: Sequence[Message]) -> str | Message:
        check(messages)
        await call("model", str(len(messages)))
        last = messages[-1]
        if last.role == "tool":
            texts = [part.text for part in last.parts if isinstance(part, ToolResult)]
            return f"[{'+'.join(texts)}]"
        kind, _, name = last.text.rpartition(" ")
        if kind != "use tools":
            return f"<{last.text}>"
        wanted = ("read", "unsafe", "idempotent")
        return assistant(
            "", *(ToolCall(id=one, name=one, arguments=f'{{"name":"{name}"}}') for one in wanted)
        )

    return answer


def graph(plans: Sequence[Plan], call: Call, did: Callable[[str], bool]) -> Graph:
    """Return the graph of the plans."""
    made = Graph("random")
    tools = _tools(call, did)
    for place, plan in enumerate(plans):
        soon = Retry(attempts=2, delay=1.0, on=frozenset(("OSError",)))
        made.add_node(f"n{place}", _function(place, plan, tools), retry=soon)
    return made


def _function(place: int, plan: Plan, tools: Mapping[str, Tool]) -> Callable[..., Any]:
    async def function(ctx: Context, **told: str) -> str:
        done: list[str] = []
        for number, step in enumerate(plan.steps):
            name = f"{place}.{number}"
            doing = [
                _do(kind, f"{name}.{side}", ctx, tools) for side, kind in enumerate(step.kinds)
            ]
            done += [await doing[0]] if len(doing) == 1 else await asyncio.gather(*doing)
        if plan.breaks or (plan.stumbles and ctx.attempt == 1):
            raise OSError("as planned")
        inputs = " ".join(told[f"n{need}"] for need in plan.needs)
        return f"n{place}({inputs}|{' '.join(done)})"

    # Nodes are bound by the names of their parameters, so a function of a random shape has to be written.
    names = [f"n{need}" for need in plan.needs]
    source = f"async def node(ctx, {', '.join(names)}):\n return await function(ctx, {', '.join(f'{n}={n}' for n in names)})"
    scope: dict[str, Any] = {"function": function}
    exec(source, scope)  # see above
    node: Callable[..., Any] = scope["node"]
    return node


async def _do(kind: str, name: str, ctx: Context, tools: Mapping[str, Tool]) -> str:
    match kind:
        case "say":
            return (await ctx.llm(f"say {name}")).text
        case "use tools":
            used = [tools["read"], tools["unsafe"], tools["idempotent"]]
            return (await ctx.llm(f"use tools {name}", tools=used)).text
        case "sleep":
            await ctx.sleep(NAP)
        case "now":
            await ctx.now()
        case _:
            return str(await ctx.tool(tools[kind], name=name))
    return f"{kind} {name}"


def _tools(call: Call, did: Callable[[str], bool]) -> Mapping[str, Tool]:
    async def look(asked: UnknownCall) -> Any:
        return f"unsafe {asked.arguments['name']}" if did(asked.key) else RETRY_CALL

    def make(kind: str, effect: Effect, **options: Any) -> Tool:
        async def function(name: str, ctx: ToolContext) -> str:
            if kind == "flaky" and ctx.attempt == 1:
                raise OSError("the first attempt fails")
            await call(effect, f"{ctx.key}@{ctx.attempt}")
            return f"{kind} {name}"

        return tool(name=kind, effect=effect, **options)(function)

    patient = Retry(attempts=3, delay=NAP, on=frozenset(("OSError",)))
    return {
        "read": make("read", "read"),
        "idempotent": make("idempotent", "idempotent"),
        "unsafe": make("unsafe", "unsafe", on_unknown=look),
        "flaky": make("flaky", "idempotent", retry=patient),
    }
