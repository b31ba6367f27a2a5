"""Ready-made functions of nodes: a model call, a tool call, an agent or a question, made of data and templates.

They are given to `add_node` like any other function, of a graph or in a running node; `Graph.llm` and the like are short
for that. The names in their templates are their parameters, so a template that names a node waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import JsonValue, ValidationError

from midstream.engine.agents.agent import Agent
from midstream.engine.nodes.node_spec import AgentNode, LlmNode, QuestionNode, ReadySpec, ToolNode
from midstream.engine.people.people import MISSING
from midstream.engine.ready.ready_node import Ready
from midstream.engine.requests.context_policy import ContextOption, ContextPolicy
from midstream.engine.tools.tool import Tool, make_tool
from midstream.errors import GraphError
from midstream.events.values import plain

Made = TypeVar("Made", LlmNode, ToolNode, AgentNode, QuestionNode)


def llm(
    prompt: str,
    *,
    system: str | None = None,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    schema: Any = None,
    thread: str | None = "",
    max_turns: int = 10,
    experience: bool | str | None = None,
    context: ContextOption | None = None,
    settings: Mapping[str, JsonValue] | None = None,
    where: str = "",
) -> Ready:
    """Make a function that asks a model; see `Graph.llm`."""
    policy = context.data() if isinstance(context, ContextPolicy) else context
    named = _named(where, tools)
    spec = _spec(
        where,
        LlmNode,
        prompt=prompt,
        system=system,
        tools=tuple(named),
        thread=thread,
        max_turns=max_turns,
        experience=experience,
        context=policy,
        settings=plain(dict(settings or {}), "settings"),
    )
    return Ready(spec, named, schema, where=where)


def tool(called: Tool | Callable[..., Any], /, **arguments: Any) -> Ready:
    """Make a function that calls a tool with arguments in which texts may be templates; see `Graph.tool`."""
    return tool_call("", make_tool(called), arguments)


def tool_call(where: str, made: Tool, arguments: Mapping[str, Any]) -> Ready:
    """Make what `tool` makes, of a node that errors name."""
    given = plain(dict(arguments), f"arguments of {made.name!r}")
    spec = _spec(where, ToolNode, tool=made.name, arguments=given)
    return Ready(spec, {made.name: made}, where=where)


def agent(
    task: str,
    *,
    agent_type: Agent | str = "",
    system: str | None = None,
    tools: Iterable[Tool | Callable[..., Any]] = (),
    memory: str | None = None,
    schema: Any = None,
    max_iterations: int = 0,
    thread: str | None = "",
    settings: Mapping[str, JsonValue] | None = None,
    where: str = "",
) -> Ready:
    """Make a function that has an agent work on a task; see `Graph.agent`."""
    named = _named(where, tools)
    known = agent_type if isinstance(agent_type, Agent) else None
    spec = _spec(
        where,
        AgentNode,
        task=task,
        agent_type=agent_type.name if isinstance(agent_type, Agent) else agent_type,
        system=system,
        tools=tuple(named),
        memory=memory,
        max_iterations=max_iterations,
        thread=thread,
        settings=plain(dict(settings or {}), "settings"),
    )
    return Ready(spec, named, schema, known, where=where)


def question(
    text: str,
    *,
    kind: Literal["free", "confirm"] = "free",
    schema: Any = None,
    show: Any = None,
    within: float | None = None,
    deadline: float | str | None = None,
    default: Any = MISSING,
    where: str = "",
) -> Ready:
    """Make a function that asks a person; see `Graph.question`."""
    given: dict[str, Any] = {} if default is MISSING else {"default": plain(default, "default")}
    spec = _spec(
        where,
        QuestionNode,
        text=text,
        kind=kind,
        show=plain(show, "what a question shows"),
        within=within,
        deadline=deadline,
        **given,
    )
    return Ready(spec, form=schema, where=where)


def _spec(where: str, wanted: type[Made], /, **fields: Any) -> Made:
    try:
        return wanted(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        name = str(wanted.model_fields["type"].default)
        owner = f"{where or name}: {place or name}"
        raise GraphError(f"{owner}: {first['msg']}, not {first['input']!r:.100}") from error


def _named(where: str, tools: Iterable[Tool | Callable[..., Any]]) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for one in tools:
        made = make_tool(one)
        if made.name in found:
            raise GraphError(
                f"{where or 'tools'}: two tools are named {made.name!r}; give one another name"
            )
        found[made.name] = made
    return found


def ready_from(
    data: Mapping[str, Any],
    find: Callable[[str], Any],
    agents: Mapping[str, Agent],
    *,
    where: str = "",
) -> Ready:
    """Return what was recorded, or planned, as data.

    Args:
        data: As `Ready.data` returns it.
        find: Finds registered tools by name.
        agents: The agents that are known, by name.
        where: Whose it is, for errors.

    Raises:
        GraphError: It is not what such data must be, or a tool is not registered.
    """
    given = {name: value for name, value in data.items() if name != "schema"}
    match data.get("type"):
        case "llm":
            spec: ReadySpec = _spec(where, LlmNode, **given)
        case "tool":
            spec = _spec(where, ToolNode, **given)
        case "agent":
            spec = _spec(where, AgentNode, **given)
        case "question":
            spec = _spec(where, QuestionNode, **given)
        case other:
            raise GraphError(
                f"{where or 'a ready-made node'}: type {other!r} is none of llm, tool, agent and question"
            )
    return ready_of(spec, data.get("schema"), find, agents, where=where)


def ready_of(
    spec: ReadySpec,
    form: Any,
    find: Callable[[str], Any],
    agents: Mapping[str, Agent],
    *,
    where: str = "",
) -> Ready:
    """Return a node's function.

    Args:
        spec: It as data.
        form: What an answer must be, or None.
        find: Finds tools by name.
        agents: The agents that are known, by name; of one that is not, there is the name alone.
        where: Whose it is, for errors.

    Raises:
        GraphError: A tool is not known.
    """
    names: tuple[str, ...] = ()
    agent = None
    match spec:
        case ToolNode():
            names = (spec.tool,)
        case LlmNode():
            names = spec.tools
        case AgentNode():
            names, agent = spec.tools, agents.get(spec.agent_type)
        case QuestionNode():
            pass
    tools = {name: make_tool(find(name)) for name in names}
    return Ready(spec, tools, form, agent, where=where)
