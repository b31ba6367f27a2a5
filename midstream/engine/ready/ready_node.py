"""What a ready-made node does: a function of the names in its templates, kept as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from inspect import Signature
from typing import Any

from midstream.engine.agents.agent import Agent
from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.node_spec import (
    AgentNode,
    LlmNode,
    QuestionNode,
    ReadySpec,
    ToolNode,
    work_of,
)
from midstream.engine.nodes.templates import (
    ITEM,
    Template,
    filled,
    found_in,
    is_template,
    signature_of,
    templates_in,
)
from midstream.engine.people.people import MISSING
from midstream.engine.requests.asking import Reply, TypedReply
from midstream.engine.requests.context_policy import context_policy
from midstream.engine.requests.structured import output as output_of
from midstream.engine.tools.tool import Tool
from midstream.errors import ConfigError, GraphError

_CONTEXT = "ctx"


@dataclass(frozen=True, eq=False)
class Ready(DataFunction):
    """What a ready-made node does: a function of the names in its templates.

    Attributes:
        spec: It as data; its options are not looked at.
        tools: The tools that it names, by name.
        form: What the answer must be: JSON Schema, or any type that pydantic knows; None for text.
        agent: The agent that it names, if it is known here.
        item: The parameter that takes an item, where it is done for each item of a map; or empty.
        where: Whose it is, for errors, as in `graph 'trip': node 'plan'`.
    """

    spec: ReadySpec
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    form: Any = None
    agent: Agent | None = None
    item: str = ""
    where: str = ""
    _texts: Mapping[str, Any] = field(init=False, repr=False)
    __signature__: Signature = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = self.where or self.spec.type
        texts = {
            name: templates_in(value, f"{where}: {name}")
            for name, value in _texts_of(self.spec)
            if value is not None
        }
        object.__setattr__(self, "_texts", texts)
        signature = signature_of(found_in(texts), _CONTEXT, first=self.item)
        object.__setattr__(self, "__signature__", signature)
        object.__setattr__(self, "__name__", self.spec.type)
        self._check(where)

    def placed(self, where: str) -> Ready:
        """See `DataFunction.placed`."""
        return replace(self, where=where)

    def for_items(self) -> Ready:
        """See `DataFunction.for_items`."""
        return replace(self, item=ITEM)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What a tool is called with; nothing where it calls none."""
        return self.spec.arguments if isinstance(self.spec, ToolNode) else {}

    def data(self) -> dict[str, Any]:
        """See `DataFunction.data`: tools by name, forms as JSON Schema."""
        found = work_of(self.spec)
        if self.form is not None:
            found["schema"] = schema_of(self.form)
        return found

    def _check(self, where: str) -> None:
        spec = self.spec
        if self.form is not None:
            schema_of(self.form)
        match spec:
            case ToolNode(tool=name, arguments=arguments):
                _check_arguments(where, self.tools[name], arguments)
            case LlmNode(context=context):
                context_policy(context)  # type: ignore[arg-type]  # its name is checked there
            case QuestionNode():
                _check_question(where, spec, self.form)
            case AgentNode():
                pass

    async def __call__(self, *, ctx: Any, **values: Any) -> Any:
        """Do it, with the values that its templates name."""
        texts = self._texts
        match self.spec:
            case LlmNode():
                return await self._llm(self.spec, ctx, texts, values)
            case AgentNode():
                return await self._agent(self.spec, ctx, texts, values)
            case ToolNode(tool=name):
                return await ctx.tool(self.tools[name], **filled(texts["arguments"], values))
            case QuestionNode():
                return await self._question(self.spec, ctx, texts, values)

    async def _llm(
        self, spec: LlmNode, ctx: Any, texts: Mapping[str, Any], values: Mapping[str, Any]
    ) -> Any:
        return _answer(
            await ctx.llm(
                _text(texts["prompt"], values),
                system=_text(texts.get("system"), values),
                output=self.form,
                tools=self.tools.values(),
                thread=spec.thread,
                max_turns=spec.max_turns,
                experience=spec.experience,
                context=context_policy(spec.context),  # type: ignore[arg-type]  # checked when it was made
                **spec.settings,
            )
        )

    async def _agent(
        self, spec: AgentNode, ctx: Any, texts: Mapping[str, Any], values: Mapping[str, Any]
    ) -> Any:
        return _answer(
            await ctx.agent(
                _text(texts["task"], values),
                agent_type=self.agent or spec.agent_type,
                system=_text(texts.get("system"), values),
                tools=self.tools.values(),
                memory=spec.memory,
                output=self.form,
                max_iterations=spec.max_iterations,
                thread=spec.thread,
                **spec.settings,
            )
        )

    async def _question(
        self, spec: QuestionNode, ctx: Any, texts: Mapping[str, Any], values: Mapping[str, Any]
    ) -> Any:
        deadline = filled(texts.get("deadline"), values)
        given: dict[str, Any] = {
            "show": filled(texts.get("show"), values),
            "timeout": spec.within,
            "deadline": _moment(deadline) if isinstance(deadline, str) else deadline,
        }
        default: Any = spec.default if "default" in spec.model_fields_set else MISSING
        text = _text(texts["text"], values)
        if spec.kind == "free":
            return await ctx.ask(text, schema=self.form, default=default, **given)
        said = None if default is MISSING else bool(default)
        return (await ctx.confirm(text, default=said, **given)).approved


def schema_of(form: Any) -> Any:
    """Return the JSON Schema of what an answer must be.

    Raises:
        ConfigError: Pydantic knows no schema of it.
    """
    if isinstance(form, Mapping):
        return dict(form)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON Schema
    return output_of(form).adapter.json_schema()


def _texts_of(spec: ReadySpec) -> Iterable[tuple[str, Any]]:
    """Return what may hold templates, by name."""
    match spec:
        case LlmNode():
            return (("prompt", spec.prompt), ("system", spec.system))
        case AgentNode():
            return (("task", spec.task), ("system", spec.system))
        case ToolNode():
            return (("arguments", spec.arguments),)
        case QuestionNode():
            return (("text", spec.text), ("show", spec.show), ("deadline", spec.deadline))


def _text(made: Template | str | None, values: Mapping[str, Any]) -> str | None:
    return made.text(values) if isinstance(made, Template) else made


def _answer(reply: Reply) -> Any:
    return reply.output if isinstance(reply, TypedReply) else reply.text  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # of any form


def _check_arguments(where: str, tool: Tool, arguments: Mapping[str, Any]) -> None:
    known: Any = tool.schema.get("properties", {})
    takes = f"it takes {', '.join(known) or 'none'}"
    for name in arguments:
        if name not in known and tool.schema.get("additionalProperties") is False:
            raise GraphError(f"{where}: tool {tool.name!r} has no parameter {name!r}; {takes}")
    needed: Any = tool.schema.get("required", ())
    for name in needed:
        if name not in arguments:
            raise GraphError(f"{where}: tool {tool.name!r} needs an argument {name!r}; {takes}")


def _check_question(where: str, spec: QuestionNode, form: Any) -> None:
    if spec.kind == "confirm" and form is not None:
        raise GraphError(f"{where}: kind='confirm' asks for yes or no, and takes no schema")
    ends = spec.within is not None or spec.deadline is not None
    if "default" in spec.model_fields_set and not ends:
        raise GraphError(
            f"{where}: a default holds when nobody answers in time; give it within=… or deadline=…"
        )
    if isinstance(spec.deadline, str) and not is_template(spec.deadline):
        _moment(spec.deadline)


def _moment(text: str) -> datetime:
    try:
        made = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"deadline {text!r} is no moment; write it as in '2027-01-31T12:00:00+00:00'"
        ) from error
    if made.tzinfo is None:
        raise ConfigError(f"deadline {text!r} says no time zone; write it as in '{text}+00:00'")
    return made
