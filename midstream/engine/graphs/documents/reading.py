"""From a document to a graph: validated as a whole, then built node by node with the verbs of a graph."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from midstream.engine.graphs.documents.names import Names
from midstream.engine.graphs.documents.spec import KINDS, InnerSpec
from midstream.engine.graphs.documents.text import Document
from midstream.engine.model_names import model_named
from midstream.engine.nodes.node import Continue, Node
from midstream.engine.nodes.node_spec import (
    PLAN_OPTIONS,
    AgentNode,
    ContinueSpec,
    FunctionNode,
    FunctionRef,
    LlmNode,
    MapNode,
    NodeSpec,
    PlanNode,
    QuestionNode,
    SubgraphNode,
    ToolNode,
    given_options,
)
from midstream.engine.nodes.templates import is_template
from midstream.engine.ready.functions import ready_of
from midstream.engine.ready.ready_node import Ready
from midstream.engine.tools.tool import make_tool
from midstream.errors import ConfigError, GraphError

Model = TypeVar("Model", bound=BaseModel)


class Builds(Protocol):
    """What a graph can do while it is built; see `Graph`."""

    name: str
    nodes: dict[str, Node]
    agents: Any

    def add_node(self, name: str | None, function: Any, **options: Any) -> Node:
        """See `Graph.add_node`."""
        ...

    def add_ready(self, name: str, made: Ready, options: Mapping[str, Any]) -> Node:
        """See `Graph.add_ready`."""
        ...

    def map(self, name: str | None, function: Any, **options: Any) -> Node:
        """See `Graph.map`."""
        ...

    def plan(self, name: str, **options: Any) -> Node:
        """See `Graph.plan`."""
        ...

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """See `Registry.functions`."""
        ...

    def register(self, function: Any, *, name: str | None = None) -> Any:
        """See `Graph.register`."""
        ...


def validated(document: Document, model: type[Model]) -> Model:
    """Return the data of a document as a model.

    Raises:
        GraphError: It is not; the message names the place, what was found and what is known.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        # A key that is not known tells why another one is missing.
        found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        first = found[0]
        told = f"{document.place(first['loc'])}: {_problem(first, model)}"
        more = len(found) - 1
        raise GraphError(f"{told}{f' (and {more} more)' if more else ''}") from error


def _problem(error: Any, model: type[BaseModel]) -> str:
    """Return what is wrong, in words."""
    loc: tuple[Any, ...] = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            known = _known(model, loc)
            near = get_close_matches(str(loc[-1]), known, 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            return f"unknown key {loc[-1]!r}{meant}; known are {', '.join(known)}"
        case "missing":
            return f"{loc[-1]!r} is missing"
        case "union_tag_not_found":
            return f"'type' is missing; it is one of {', '.join(KINDS)}"
        case "union_tag_invalid":
            return f"type {error['ctx']['tag']!r} is none of {', '.join(KINDS)}"
        case _:
            return f"{error['msg']}, not {error['input']!r:.100}"


def _known(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the keys that are known where an unknown one was found."""
    steps = (
        loc[:-1] if issubclass(model, InnerSpec) else ()
    )  # a stage has no kind, and a key `plan`
    kinds = [KINDS[step] for step in steps if isinstance(step, str) and step in KINDS]
    inner = kinds[-1] if kinds else None
    owner: type[BaseModel] = inner or model
    for step in loc[:-1]:
        field = owner.model_fields.get(str(step))
        found = _model_in(field.annotation) if field is not None else None
        owner = found or owner
    return [field.alias or name for name, field in owner.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the one model that an annotation is, perhaps beside None."""
    options = getattr(annotation, "__args__", (annotation,))
    found = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
    return found[0] if len(found) == 1 else None


def build(graph: Builds, spec: InnerSpec, document: Document, names: Names, *path: str) -> None:
    """Make the nodes of a document.

    Args:
        graph: The graph, as yet without nodes.
        spec: What the document says.
        document: For the places in errors.
        names: What names stand for.
        *path: Where in the document the graph is.

    Raises:
        GraphError: A name stands for nothing, or a node cannot be made; the message names the place.
    """
    called = _tools_in(spec)
    for name, where in spec.functions.items():
        with _placed(document, *path, "functions", name):
            found = names.function(name if name in names.functions or where is None else where)
            names.functions[name] = make_tool(found) if name in called else found
            graph.register(names.functions[name], name=name)
    for name, where in spec.agents.items():
        with _placed(document, *path, "agents", name):
            known = names.agent(name if name in names.agents or where is None else where)
            names.agents[name] = graph.agents[name] = known
    for name, code in spec.registered.items():
        with _placed(document, *path, "registered", name):
            graph.register(names.graph(code), name=name)
    for name, node in spec.nodes.items():
        with _placed(document, *path, "nodes", name):
            _add(graph, name, node, names)


@contextmanager
def _placed(document: Document, *path: str) -> Generator[None]:
    """Say where in the document something went wrong."""
    try:
        yield
    except (GraphError, ConfigError) as error:
        raise GraphError(f"{document.place(path)}: {error}") from error


def _tools_in(spec: InnerSpec) -> frozenset[str]:
    """Return the names that stand for tools."""
    nodes = (node.each if isinstance(node, MapNode) else node for node in spec.nodes.values())
    found: set[str] = set()
    for node in nodes:
        match node:
            case ToolNode(tool=name):
                found.add(name)
            case LlmNode(tools=used) | AgentNode(tools=used):
                found.update(used)
            case _:
                pass
    return frozenset(found)


def _used(graph: Builds, name: str, names: Names) -> Callable[..., Any]:
    """Return a function, which the graph then knows by the same name."""
    found = names.function(name)
    if ":" not in name:
        graph.register(found, name=name)
    return found


def _add(graph: Builds, name: str, spec: NodeSpec, names: Names) -> None:
    options = _options(graph, spec, names)
    match spec:
        case FunctionNode():
            graph.add_node(name, _used(graph, spec.function, names), **options)
        case SubgraphNode():
            graph.add_node(name, names.graph(spec.graph), **options)
        case MapNode():
            _add_map(graph, name, spec, names, options)
        case PlanNode():
            _add_plan(graph, name, spec, names, options)
        case LlmNode() | ToolNode() | AgentNode() | QuestionNode():
            graph.add_ready(name, _ready(graph, name, spec, names), options)
        case _:
            raise AssertionError(spec)


def _add_map(
    graph: Builds, name: str, spec: MapNode, names: Names, options: Mapping[str, Any]
) -> None:
    given = sorted(given_options(spec.each))
    if given:
        raise GraphError(
            f"each: {given[0]!r} is an option of the node; write it beside 'each', not inside"
        )
    each: Any
    if isinstance(spec.each, FunctionNode):
        each = _used(graph, spec.each.function, names)
    elif isinstance(spec.each, SubgraphNode):
        each = names.graph(spec.each.graph)
    else:
        each = _ready(graph, name, spec.each, names)
        _know_tools(graph, each)
    graph.map(
        name,
        each,
        over=_function_or_text(graph, spec.over, names),
        key=_key(graph, spec.key, names),
        concurrency=spec.concurrency,
        order=spec.order,
        **options,
    )


def _add_plan(
    graph: Builds, name: str, spec: PlanNode, names: Names, options: dict[str, Any]
) -> None:
    model = model_named(f"plan {name!r}", options)
    unknown = [option for option in options if option not in PLAN_OPTIONS]
    if unknown:
        raise GraphError(
            f"{unknown[0]!r} is no option of a plan; it has {', '.join(PLAN_OPTIONS)}. Give it to a node after the plan"
        )
    limits = {"max_nodes": spec.max_nodes, "max_rounds": spec.max_rounds}
    graph.plan(
        name,
        goal=_function_or_text(graph, spec.goal, names),
        nodes=[_usable(graph, one, names) for one in spec.nodes],
        model=model,
        experience=spec.experience,
        settings=spec.settings,
        **{limit: value for limit, value in limits.items() if value is not None},
        **options,
    )


def _usable(graph: Builds, name: str, names: Names) -> Any:
    """Return what a plan may use: a function by its name, which the graph knows, or one that is imported."""
    if ":" in name:
        return names.function(name)
    if name in names.functions:
        return name if name in graph.functions else graph.register(names.function(name), name=name)
    return name  # that of a node's function


def _ready(
    graph: Builds,
    node: str,
    spec: LlmNode | ToolNode | AgentNode | QuestionNode,
    names: Names,
) -> Ready:
    """Return a node's function, whose tools go by their own names."""
    where = f"graph {graph.name!r}: node {node!r}"
    tools: dict[str, Any] = {}

    def own(name: str) -> str:
        found = names.function(name)
        called = make_tool(found).name
        tools[called] = found
        return called

    match spec:
        case ToolNode(tool=name):
            spec = spec.model_copy(update={"tool": own(name)})
        case LlmNode(tools=used) | AgentNode(tools=used):
            spec = spec.model_copy(update={"tools": tuple(own(name) for name in used)})
        case QuestionNode():
            pass
    form: Any = None
    if not isinstance(spec, ToolNode):
        form = names.type(spec.form) if isinstance(spec.form, str) else spec.form
        spec = spec.model_copy(update={"form": None})
    return ready_of(spec, form, tools.__getitem__, names.agents, where=where)


def _know_tools(graph: Builds, made: Ready) -> None:
    for tool in made.tools.values():
        graph.register(tool, name=tool.name)


def _options(graph: Builds, spec: NodeSpec, names: Names) -> dict[str, Any]:
    """Return the options of a node as `add_node` takes them."""
    options: dict[str, Any] = {name: getattr(spec, name) for name in given_options(spec)}
    if spec.retry is not None:
        options["retry"] = spec.retry.made()
    if isinstance(spec.on_failure, ContinueSpec):
        options["on_failure"] = Continue(spec.on_failure.value)
    if spec.when is not None:
        options["when"] = _key(graph, spec.when, names)
    return options


def _key(graph: Builds, given: str | FunctionRef | None, names: Names) -> Any:
    """Return a template, the name of a function that the graph knows then, or a function."""
    if isinstance(given, str) and not is_template(given):
        _used(graph, given, names)
    return _function_or_text(graph, given, names)


def _function_or_text(graph: Builds, given: str | FunctionRef | None, names: Names) -> Any:
    return _used(graph, given.function, names) if isinstance(given, FunctionRef) else given
