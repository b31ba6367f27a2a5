"""Values for a node's parameters: taken from the log, checked against their annotations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from midstream.engine.nodes.asked import Asked
from midstream.engine.nodes.node import ITEMS, Node
from midstream.engine.signature import Parameter, adapter_of
from midstream.errors import NodeError
from midstream.events.ids import map_of, scope_of
from midstream.events.values import own
from midstream.projections.flow import LEFT_OUT, Activation, Flow
from midstream.projections.run_state import RunState

_NO_MORE: list[Any] = []
_PLAIN = (str, int, bool, dict, list)


@dataclass(frozen=True, slots=True)
class Values:
    """What there is for parameters to take.

    Attributes:
        state: The run.
        here: The flow that the node is in.
        inputs: Of the graph that the node is in.
    """

    state: RunState
    here: Flow
    inputs: Mapping[str, Any]


class LeftOutError(Exception):
    """An output is needed that a snapshot left out; never seen outside the engine."""


def bind(
    node: Node, values: Values, activation: Activation, context: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of an activation.

    Args:
        node: What is to be called.
        values: What there is to take.
        activation: Its activation.
        context: What a parameter of type `Context` receives.

    Raises:
        NodeError: A value is missing or does not fit its annotation.
        LeftOutError: A value has to be read from the log.
    """
    named: dict[str, Any] = {}
    if node.simple and activation.args is None:
        for parameter in node.parameters:
            if parameter.source:
                _bind_one(node, values, activation, parameter, named)
            else:
                named[parameter.name] = context
        return _NO_MORE, named
    if node.over is not None:
        return [], _bind_item(node, values, activation, context)
    given = node.args if activation.args is None else {**node.args, **activation.args}
    spread = node.inputs is not None and not activation.args
    for parameter in node.parameters:
        if not parameter.source:
            named[parameter.name] = context
        elif given and parameter.name in given:
            named[parameter.name] = checked(given[parameter.name], parameter, node.name)
        elif parameter.name[0] != "*" and (not spread or parameter.named):
            _bind_one(node, values, activation, parameter, named)
    if not spread:
        return [], named
    return _spread(node, values, activation, named)


def _bind_one(
    node: Node, values: Values, activation: Activation, parameter: Parameter, named: dict[str, Any]
) -> None:
    origin = activation.inputs.get(parameter.name)
    if origin is not None:
        value = output_for(values, origin, node.name)
    elif parameter.source in values.inputs:
        value = values.inputs[parameter.source]
    elif parameter.default is not inspect.Parameter.empty:
        return
    else:
        raise _missing(node, values, parameter)
    named[parameter.name] = checked(value, parameter, node.name)


def _bind_item(node: Node, values: Values, activation: Activation, context: Any) -> dict[str, Any]:
    """Bind an activation of a map: the item to the first parameter, the others as those of the map."""
    parent = values.state.activations[map_of(activation.address)]
    given = node.args if parent.args is None else {**node.args, **parent.args}
    named: dict[str, Any] = {}
    first = node.free[0]
    for parameter in node.parameters:
        if not parameter.source:
            named[parameter.name] = context
        elif parameter is first:
            named[parameter.name] = checked(
                _item(node, values, activation, parent), parameter, node.name
            )
        elif parameter.name in given:
            named[parameter.name] = checked(given[parameter.name], parameter, node.name)
        else:
            _bind_one(node, values, parent, parameter, named)
    return named


def _item(node: Node, values: Values, activation: Activation, parent: Activation) -> Any:
    """Return the item of a map's activation, without looking at the others."""
    over = node.over
    assert over is not None
    if activation.args is not None or over.items is not None:
        return None if activation.args is None else activation.args["item"]
    if parent.args is not None and over.source in parent.args:
        return parent.args[over.source][activation.index]
    origin = parent.inputs.get(ITEMS)
    given = values.inputs
    items = given[over.source] if origin is None else output_for(values, origin, node.name)
    return items[activation.index]


def _missing(node: Node, values: Values, parameter: Parameter) -> NodeError:
    given = f"which {values.here.scope or 'the run'} was not given"
    what = (
        f"the output of {parameter.source!r}, which has none"
        if parameter.source in values.here.topology.nodes
        else f"input {parameter.source!r}, {given}"
    )
    return NodeError(f"node {node.name!r} needs {what}", node=node.name, kind="missing_input")


def output_for(values: Values, origin: str, taker: str) -> Any:
    """Return what an activation gave to a node that takes it: all of its output, or its share.

    Raises:
        NodeError: There is no share for it.
        LeftOutError: It has to be read from the log.
    """
    made = values.state.activations[origin]
    value = made.output
    if value is LEFT_OUT:
        raise LeftOutError
    topology = values.here.topology
    if not topology.nodes[made.node].distributes:
        return value
    place = topology.place(made.node, taker)
    if place >= len(value):
        raise NodeError(
            f"node {taker!r} is successor {place + 1} of {made.node!r}, which gave {len(value)} items",
            node=taker,
            kind="missing_input",
        )
    return value[place]


def _spread(
    node: Node, values: Values, activation: Activation, named: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Fill the free parameters with the outputs of what the node waited for, as its `inputs` says."""
    # What begins a graph inside others has the sources of the activation that runs it.
    begins = activation.scope and activation.args is None and not _waits(values.here, node.name)
    sources = () if begins else activation.sources
    outputs: list[Any] = [output_for(values, origin, node.name) for origin in sources]
    match node.inputs:
        case "merge":
            given: list[Any] = [outputs]
        case "completed":
            made = values.state.activations
            order = sorted(range(len(sources)), key=lambda place: made[sources[place]].ended)
            given = [[outputs[place] for place in order]]
        case "named":
            given = [dict(zip(map(_local, sources), outputs, strict=True))]
        case "unpack":
            one = outputs[0] if len(outputs) == 1 else None
            if type(one) is dict:
                return _by_name(node, outputs[0], named)
            if type(one) is not list:
                raise _unfit(node, f"one list or dict to unpack, not {outputs!r:.200}")
            given = outputs[0]
        case "each":
            given = outputs
        case _:
            given = []
    return _by_place(node, given, named)


def _local(address: str) -> str:
    """Return the name that an activation's node has in its own graph."""
    return scope_of(address.rpartition("#")[0])[1]


def _waits(here: Flow, node: str) -> bool:
    return bool(here.topology.nodes[node].waits_for)


def _by_place(
    node: Node, values: list[Any], named: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    free = [p for p in node.free if p.name[0] != "*" and not p.named]
    takes_more = any(p.source == "*" for p in node.free)
    lacking = [p for p in free[len(values) :] if p.required]
    if (len(values) > len(free) and not takes_more) or lacking:
        raise _unfit(
            node,
            f"{len(free)} values for {', '.join(p.name for p in free) or 'nothing'}, not {len(values)}",
        )
    if not takes_more:
        for parameter, value in zip(free, values, strict=False):
            named[parameter.name] = checked(value, parameter, node.name)
        return [], named
    # What comes before `*rest` in the signature has to be given by place as well.
    first: list[Any] = []
    left = iter(values)
    for parameter in node.parameters:
        if parameter.source == "*":
            break
        if parameter.name in named:
            first.append(named.pop(parameter.name))
        else:
            first.append(checked(next(left, parameter.default), parameter, node.name))
    return [*first, *(own(value) for value in left)], named


def _by_name(
    node: Node, values: Mapping[str, Any], named: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    free = {p.name: p for p in node.free if p.name[0] != "*"}
    takes_more = any(p.source == "**" for p in node.free)
    extra = [name for name in values if name not in free]
    lacking = [name for name, p in free.items() if p.required and name not in values]
    if lacking or (extra and not takes_more):
        what = f"{lacking[0]!r}" if lacking else f"no {extra[0]!r}"
        raise _unfit(
            node, f"{what} in the dict it unpacks, which has {', '.join(values) or 'nothing'}"
        )
    for name, value in values.items():
        parameter = free.get(name)
        named[name] = own(value) if parameter is None else checked(value, parameter, node.name)
    return [], named


def _unfit(node: Node, wants: str) -> NodeError:
    return NodeError(f"node {node.name!r} wants {wants}", node=node.name, kind="bad_value")


def ask(asked: Asked, values: Values, inputs: Mapping[str, str], node: str) -> Any:
    """Call a function beside a node's own with what its parameters name.

    Args:
        asked: The function.
        values: What there is to take.
        inputs: For parameters that take a node's output, the activation it comes from.
        node: The node it belongs to.

    Raises:
        NodeError: A value is missing or does not fit.
    """
    given: dict[str, Any] = {}
    for parameter in asked.parameters:
        made = values.here.latest.get(parameter.source)
        origin = inputs.get(parameter.name) or (made.address if made is not None else None)
        if origin is not None and values.state.activations[origin].status == "completed":
            value = output_for(values, origin, node)
        elif parameter.source in values.inputs:
            value = values.inputs[parameter.source]
        elif parameter.required:
            raise NodeError(
                f"{parameter.source!r} has no value for {asked.name or 'a function'} of node {node!r}",
                node=node,
                kind="missing_input",
            )
        else:
            continue
        given[parameter.name] = checked(value, parameter, node)
    return asked.function(**given)


def items_of(node: Node, values: Values, activation: Activation) -> Any:
    """Return what a map is made over: its items, or what gives them one by one.

    Raises:
        NodeError: There is no such value.
    """
    over = node.over
    assert over is not None
    if over.items is not None:
        origins = {name.partition(".")[2]: origin for name, origin in activation.inputs.items()}
        return ask(over.items, values, origins, node.name)
    if activation.args is not None and over.source in activation.args:
        return own(activation.args[over.source])
    bound: dict[str, Any] = {}
    _bind_one(
        node, values, activation, Parameter(ITEMS, over.source, Any, inspect.Parameter.empty), bound
    )
    return bound[ITEMS]


def checked(value: Any, parameter: Parameter, node: str) -> Any:
    """Return the value as its annotation wants it.

    Raises:
        NodeError: It does not fit.
    """
    annotation = parameter.annotation
    if annotation is Any or (annotation is type(value) and annotation in _PLAIN):
        return own(value)
    adapter = adapter_of(annotation)
    if adapter is None:  # a type that pydantic knows nothing about: the value is passed as it is
        return own(value)
    try:
        return adapter.validate_python(own(value))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise NodeError(
            f"parameter {parameter.name!r} of node {node!r} wants {annotation!r}, but {parameter.source!r} gave "
            f"{value!r:.200}{' at ' + place if place else ''}: {first['msg']}",
            node=node,
            kind="bad_value",
        ) from error
