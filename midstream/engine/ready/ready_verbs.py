"""The verbs that add ready-made nodes to a graph: short for `add_node` with what `midstream.engine.ready.functions` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from pydantic import JsonValue

from midstream.engine.agents.agent import Agent
from midstream.engine.nodes.node import Node, NodeOptions, Runs
from midstream.engine.nodes.registry import Registry
from midstream.engine.people.people import MISSING
from midstream.engine.requests.context_policy import ContextOption
from midstream.engine.tools.tool import Tool, make_tool
from midstream.errors import GraphError

if TYPE_CHECKING:
    from midstream.engine.ready.ready_node import Ready

AnyTool = Tool | Callable[..., Any]
"""A tool, or a function that becomes one."""


class ReadyVerbs(Registry):
    """Ready-made nodes for a graph; see `Graph`.

    Prompts, tasks, questions and arguments are Jinja2 templates over inputs and the outputs of nodes. A template that
    names a node waits for it; one that is exactly one expression, `{{ research.facts }}`, gives the value and not its text.
    """

    agents: dict[str, Agent]

    def add_node(
        self,
        name: str | None,
        function: Callable[..., Any] | Runs | str,
        **options: Unpack[NodeOptions],
    ) -> Node:
        """See `Graph.add_node`."""
        raise NotImplementedError

    def subgraph(self, name: str | None, graph: Runs | str, **options: Unpack[NodeOptions]) -> Node:
        """Add a node that runs a graph, in the same run and log; its output is that of the graph.

        Each activation of the node runs the graph anew, at addresses inside its own: `research#1.plan#2`. The inputs of
        the graph are the parameters of the node.

        Args:
            name: Its name; None takes the graph's.
            graph: What it runs, or the name of a registered one. It may still grow, and it may run itself.
            **options: See `Node`. `take` says where inputs come from under other names; `model` is that of the calls in it
                that name none; another attempt gives all that failed in it another one, and what has completed is kept.

        Raises:
            GraphError: As `add_node`.
        """
        return self.add_node(name, graph, **options)

    def llm(
        self,
        name: str,
        prompt: str,
        *,
        system: str | None = None,
        tools: Iterable[AnyTool] = (),
        schema: Any = None,
        output: Any = False,
        thread: str | None = "",
        max_turns: int = 10,
        experience: bool | str | None = None,
        context: ContextOption | None = None,
        settings: Mapping[str, JsonValue] | None = None,
        **options: Any,
    ) -> Node:
        """Add a node that asks a model; its output is the answer.

        Args:
            name: Its name.
            prompt: A template.
            system: A template; None for the instruction in force.
            tools: What the model may call.
            schema: What the answer must be: JSON Schema, or any type that pydantic knows; None for text.
            output: True where the answer is the run's output; anything else but False is a `schema`.
            thread: See `Context.llm`.
            max_turns: See `Context.llm`.
            experience: See `Context.llm`.
            context: See `Context.llm`.
            settings: Settings by name, for those whose names are options here.
            **options: Options of the node, see `Node` (`model` among them); whatever else is a setting: `temperature`…

        Raises:
            GraphError: As `add_node`, or a template cannot be read.
        """
        from midstream.engine.ready import functions as ready

        own, rest = _parted(options)
        mark, form = _form(output, schema)
        made = ready.llm(
            prompt,
            system=system,
            tools=tools,
            schema=form,
            thread=thread,
            max_turns=max_turns,
            experience=experience,
            context=context,
            settings={**rest, **(settings or {})},
            where=self._place(name),
        )
        return self.add_ready(name, made, {**own, "output": mark})

    def tool(
        self,
        name: str,
        tool: AnyTool,
        /,
        *,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Node:
        """Add a node that calls a tool; its output is what the tool returns.

        Args:
            name: Its name.
            tool: The tool, or a function that becomes an `unsafe` one.
            arguments: Arguments by name, for those whose names are options of nodes.
            **options: Options of the node, see `Node`; whatever else is an argument. Texts in arguments may be templates.

        Raises:
            GraphError: As `add_node`, or an argument is missing or unknown.
        """
        from midstream.engine.ready import functions as ready

        own, rest = _parted(options)
        given, made = {**rest, **(arguments or {})}, make_tool(tool)
        known: Any = made.schema.get("properties", {})
        both = [option for option in own if option in known and option not in given]
        if both:
            raise GraphError(
                f"{self._place(name)}: {both[0]!r} is an option of nodes and an argument of tool {made.name!r}; "
                f"give the argument as arguments={{{both[0]!r}: …}}"
            )
        return self.add_ready(name, ready.tool_call(self._place(name), made, given), own)

    def agent(
        self,
        name: str,
        task: str,
        *,
        agent_type: Agent | str = "",
        system: str | None = None,
        tools: Iterable[AnyTool] = (),
        memory: str | None = None,
        schema: Any = None,
        output: Any = False,
        max_iterations: int = 0,
        thread: str | None = "",
        settings: Mapping[str, JsonValue] | None = None,
        **options: Any,
    ) -> Node:
        """Add a node that has an agent work on a task; its output is what the agent concludes.

        Args:
            name: Its name.
            task: A template.
            agent_type: An `Agent`, whose options hold where none are given here, or a name.
            system: A template; None for the agent's own.
            tools: What it may call.
            memory: The name of a thread; a memory of another kind belongs to an `Agent`.
            schema: See `llm`.
            output: See `llm`.
            max_iterations: See `Context.agent`.
            thread: See `Context.agent`.
            settings: See `llm`.
            **options: See `llm`.

        Raises:
            GraphError: As `add_node`, or a template cannot be read.
        """
        from midstream.engine.ready import functions as ready

        own, rest = _parted(options)
        mark, form = _form(output, schema)
        made = ready.agent(
            task,
            agent_type=agent_type,
            system=system,
            tools=tools,
            memory=memory,
            schema=form,
            max_iterations=max_iterations,
            thread=thread,
            settings={**rest, **(settings or {})},
            where=self._place(name),
        )
        return self.add_ready(name, made, {**own, "output": mark})

    def question(
        self,
        name: str,
        text: str,
        *,
        kind: Literal["free", "confirm"] = "free",
        schema: Any = None,
        show: Any = None,
        within: float | None = None,
        deadline: float | str | None = None,
        default: Any = MISSING,
        **options: Unpack[NodeOptions],
    ) -> Node:
        """Add a node that asks a person, and waits; its output is the answer.

        Args:
            name: Its name.
            text: A template.
            kind: `free` asks for a value; `confirm` for yes or no, and gives true or false.
            schema: What the value must be: JSON Schema, or any type that pydantic knows; None takes any JSON.
            show: What it is about; texts in it may be templates.
            within: Seconds in which it can be answered.
            deadline: The moment until which it can be: seconds since 1970, ISO 8601 with a time zone, or a template.
            default: What holds when nobody answers in time.
            **options: See `Node`.

        Raises:
            GraphError: As `add_node`, or a template cannot be read.
        """
        from midstream.engine.ready import functions as ready

        made = ready.question(
            text,
            kind=kind,
            schema=schema,
            show=show,
            within=within,
            deadline=deadline,
            default=default,
            where=self._place(name),
        )
        return self.add_ready(name, made, {**options})

    def add_ready(self, name: str, made: Ready, options: Mapping[str, Any]) -> Node:
        """Add a node of a ready-made function, and let nodes of runs name its tools, too."""
        for tool in made.tools.values():
            self.register(tool, name=tool.name)
        agent = made.agent
        if agent is not None and self.agents.setdefault(agent.name, agent) is not agent:
            raise GraphError(
                f"graph {self.name!r} has another agent {agent.name!r}; give one another name"
            )
        return self.add_node(name, made, **options)  # pyright: ignore[reportArgumentType]  # checked there

    def _place(self, name: str) -> str:
        return f"graph {self.name!r}: node {name!r}"


def _parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the node, and what is left."""
    names = NodeOptions.__annotations__
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in names}


def _form(output: Any, schema: Any) -> tuple[bool, Any]:
    """Return whether the answer is the run's output, and what it must be."""
    if isinstance(output, bool):
        return output, schema
    return False, output if schema is None else schema
