"""From a graph to a document: everything that a node is configured with, and functions by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, Protocol, get_origin

from pydantic import JsonValue

from midstream.engine.graphs.documents.names import import_name, shown
from midstream.engine.graphs.documents.spec import FORMAT
from midstream.engine.limits import MAX_NODES, MAX_ROUNDS, Limits
from midstream.engine.nodes.asked import Asked
from midstream.engine.nodes.node import Continue, Node, Runs
from midstream.engine.nodes.node_spec import work_of
from midstream.engine.nodes.subgraphs import graphs_in
from midstream.engine.nodes.tool_node import code_of
from midstream.engine.on_change import OnChange
from midstream.engine.ready.planner import Planned, planned_of
from midstream.engine.ready.ready_node import Ready, schema_of
from midstream.engine.requests.context_policy import ContextOption, context_policy
from midstream.engine.retry import NEVER, Retry
from midstream.errors import GraphError


class Written(Protocol):
    """What is read of a graph to write it; see `Graph`."""

    name: str
    version: str
    description: str
    context: ContextOption | None
    limits: Limits
    on_failure: Literal["fail", "reflect"]
    on_change: OnChange | None
    takes: tuple[str, ...] | None
    variables: Mapping[str, JsonValue]
    nodes: dict[str, Node]
    agents: Any

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """See `Registry.functions`."""
        ...

    @property
    def registered(self) -> Mapping[str, Runs]:
        """See `Registry.registered`."""
        ...

    @property
    def registered_names(self) -> Mapping[str, str]:
        """See `Registry.registered_names`."""
        ...

    @property
    def inputs(self) -> Any:
        """See `Graph.inputs`."""
        ...


def document_of(graph: Written) -> dict[str, Any]:
    """Return a graph as a document.

    Raises:
        GraphError: Something in it has no name; the message says how to give it one.
    """
    graphs: Any = graphs_in(graph)
    graphs.pop(graph.name, None)  # it may run itself
    inside = {name: inner_document(one) for name, one in graphs.items()}
    data: dict[str, Any] = {"format": FORMAT, "name": graph.name, **inner_document(graph)}
    if inside:
        data["graphs"] = inside
    return data


def inner_document(graph: Written) -> dict[str, Any]:
    """Return a graph as it stands inside a document, without its name."""
    data: dict[str, Any] = {
        "version": graph.version,
        "description": graph.description,
        "context": _policy(graph.context),
        "limits": graph.limits.data(),
        "on_failure": graph.on_failure if graph.on_failure != "fail" else None,
        "on_change": graph.on_change,
        "inputs": None if graph.takes is None else list(graph.takes),
        "variables": dict(graph.variables),
        "functions": {name: import_name(code) or None for name, code in graph.functions.items()},
        "agents": dict.fromkeys(graph.agents),
        "registered": dict(graph.registered_names),
        "nodes": _nodes(graph),
    }
    kept = ("inputs",) if graph.takes is not None else ()
    return {name: value for name, value in data.items() if value or name in kept}


def _nodes(graph: Written) -> dict[str, Any]:
    """Return the nodes by name; of the two that a plan is made of, one."""
    found: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        plan = planned_of(node)
        if plan is not None:
            found[plan.name] = _Writer(graph, node).plan(plan)
        elif name not in found:
            found[name] = _Writer(graph, node).written()
    return found


class _Writer:
    """Writes one node."""

    def __init__(self, graph: Written, node: Node) -> None:
        self._graph = graph
        self._node = node
        self._where = f"graph {graph.name!r}: node {node.name!r}"

    def written(self) -> dict[str, Any]:
        """Return the node as data."""
        over = self._node.over
        if over is None:
            return {**self._work(), **self._options()}
        source = self._function_or_text(over.items, "over") if over.items else over.source
        key: Any = over.key_name or (self._reference(over.key, "key") if over.key else None)
        data = {
            "type": "map",
            "each": self._work(),
            "over": source,
            "key": key,
            "concurrency": over.concurrency,
            "order": over.order if over.order != "results" else None,
        }
        return {name: value for name, value in data.items() if value} | self._options()

    def plan(self, plan: Planned) -> dict[str, Any]:
        """Return a node that plans, and the one that has what the plan comes to, as data."""
        outcome = self._graph.nodes.get(plan.name)
        if outcome is None or outcome.after != (self._node.name,):
            raise GraphError(
                f"{self._where} plans, and what its plan comes to, node {plan.name!r}, was removed or waits for others; "
                f"only what graph.plan({plan.name!r}, …) has made can be written"
            )
        text = isinstance(plan.goal, str)
        data = {
            "goal": plan.goal if text else self._reference(plan.goal, "goal"),  # type: ignore[arg-type]  # a function
            "nodes": list(plan.functions),
            "max_nodes": plan.max_nodes if plan.max_nodes != MAX_NODES else None,
            "max_rounds": plan.max_rounds if plan.max_rounds != MAX_ROUNDS else None,
            "experience": plan.experience,
            "settings": dict(plan.settings) or None,
            "output": outcome.output or None,
        }
        found = {name: value for name, value in data.items() if value is not None}
        return {"type": "plan", **found, **self._options()}

    def _work(self) -> dict[str, Any]:
        if self._node.graph is not None:
            return {"type": "subgraph", "graph": self._node.graph.name}
        code = code_of(self._node.function)
        if not isinstance(code, Ready):
            return {"type": "function", "function": self._named(code, "its function")}
        found = work_of(code.spec)
        if code.form is not None:
            found["schema"] = self._form(code.form)
        return found

    def _options(self) -> dict[str, Any]:
        node = self._node
        data: dict[str, Any] = {
            "after": list(node.after),
            "take": dict(node.take) or {p.name: p.source for p in node.parameters if p.named},
            "output": node.output,
            "pure": node.pure,
            "retry": _retry(node.retry),
            "timeout": node.timeout,
            "idle_timeout": node.idle_timeout,
            "total_timeout": node.total_timeout,
            "model": node.model,
            "when": self._function_or_text(node.when, "when") if node.when else None,
            "join": node.join if node.join != "all" else None,
            "inputs": node.inputs,
            "args": dict(node.args),
            "distribute": node.distributes,
            "compensate": node.undo,
        }
        found = {name: value for name, value in data.items() if value}
        if not node.start:
            found["start"] = False
        if node.initial is not None:
            found["initial"] = node.initial[0]
        if node.on_failure != self._graph.on_failure:
            policy = node.on_failure
            found["on_failure"] = (
                {"continue": policy.value} if isinstance(policy, Continue) else policy
            )
        return found

    def _function_or_text(self, asked: Asked, option: str) -> Any:
        return asked.name or self._reference(asked.function, option)

    def _reference(self, code: Callable[..., Any], option: str) -> dict[str, str]:
        return {"function": self._named(code, f"{option}=")}

    def _named(self, code: Any, what: str) -> str:
        """Return the name of a function: that under which it can be imported, or is registered."""
        found = import_name(code)
        if found:
            return found
        for name, known in self._graph.functions.items():
            if known is code:
                return name
        hint = ", or write it as a template" if what in ("when=", "key=", "over=", "goal=") else ""
        raise GraphError(
            f"{self._where}: {what} is {shown(code)!r}, which cannot be written: it has no name that another process "
            f"could import; register it with {self._graph.name}.register(…, name=…) and give it to whoever reads the "
            f"document as functions={{…}}{hint}"
        )

    def _form(self, form: Any) -> Any:
        """Return what an answer must be: the name of a class, or JSON Schema where that says all."""
        name = import_name(form) if isinstance(form, type) else ""
        if name and not name.startswith("builtins:"):
            return name
        if (isinstance(form, type) and not name) or get_origin(form) is Annotated:
            raise GraphError(
                f"{self._where}: the form of its answer, {form!r}, has no name that another process could import, and "
                "JSON Schema would not say all of it; move it to the top of a module, or give a JSON Schema"
            )
        return schema_of(form)


def _policy(context: ContextOption | None) -> Any:
    policy = context_policy(context)
    data = {} if policy is None else policy.data()
    return data.get("how") if len(data) == 1 else data


def _retry(retry: Retry) -> dict[str, Any] | None:
    """Return what differs from the defaults of `Retry`."""
    if retry == NEVER:
        return None
    plain = Retry()
    found = {
        one.name: getattr(retry, one.name)
        for one in fields(Retry)
        if getattr(retry, one.name) != getattr(plain, one.name)
    }
    if "on" in found:
        found["on"] = sorted(found["on"])
    return found or {"attempts": retry.attempts}
