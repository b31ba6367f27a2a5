"""Values for a node's parameters: taken from the log, checked against their annotations."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation

from midstream.engine.graph import Node, Parameter
from midstream.errors import NodeError
from midstream.events.values import own
from midstream.projections.run_state import Activation, RunState

_PLAIN = (str, int, bool, dict, list)
_ADAPTERS: dict[Any, TypeAdapter[Any] | None] = {}
_ADAPTERS_LIMIT = 4096


def bind(node: Node, state: RunState, activation: Activation, context: Any) -> dict[str, Any]:
    """Return the arguments of an activation.

    Args:
        node: What is to be called.
        state: The run.
        activation: Its activation.
        context: What a parameter of type `Context` receives.

    Raises:
        NodeError: A value does not fit its annotation.
    """
    arguments: dict[str, Any] = {}
    for parameter in node.parameters:
        if not parameter.source:
            arguments[parameter.name] = context
            continue
        origin = activation.inputs.get(parameter.name)
        if origin is not None:
            value = state.activations[origin].output
        elif parameter.source in state.inputs:
            value = state.inputs[parameter.source]
        elif parameter.default is not inspect.Parameter.empty:
            continue
        else:
            raise NodeError(
                f"node {node.name!r} needs input {parameter.source!r}, which the run was not given",
                node=node.name,
                kind="missing_input",
            )
        arguments[parameter.name] = checked(value, parameter, node.name)
    return arguments


def checked(value: Any, parameter: Parameter, node: str) -> Any:
    """Return the value as its annotation wants it.

    Raises:
        NodeError: It does not fit.
    """
    annotation = parameter.annotation
    if annotation is Any or (annotation is type(value) and annotation in _PLAIN):
        return own(value)
    adapter = _adapter(annotation)
    if adapter is None:
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


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return _ADAPTERS[annotation]
    except (KeyError, TypeError):
        pass
    try:
        made: TypeAdapter[Any] | None = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        made = None  # a type that pydantic knows nothing about: the value is passed as it is
    if len(_ADAPTERS) >= _ADAPTERS_LIMIT:
        _ADAPTERS.clear()
    with suppress(TypeError):  # an annotation that cannot be a key is looked at each time
        _ADAPTERS[annotation] = made
    return made
