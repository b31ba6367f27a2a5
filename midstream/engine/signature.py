"""Reading a callable: its parameters and annotations, and whether it is to be awaited; partials and callable objects included."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import PydanticSchemaGenerationError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation

from midstream.errors import GraphError

CONTEXT = "Context"

_ADAPTERS: dict[Any, TypeAdapter[Any] | None] = {}
_ADAPTERS_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class From:
    """The node a parameter takes its value from, where the names differ: `Annotated[str, From("plan")]`."""

    node: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a node's function.

    Attributes:
        name: Its name; `*` before it where it takes any number of values.
        source: The node or the input it takes its value from; empty for the context.
        annotation: Its type, `Any` where it has none.
        default: Its default, or `inspect.Parameter.empty`.
        named: The source was named by `From`, so it must be a node.
    """

    name: str
    source: str
    annotation: Any
    default: Any
    named: bool = False

    @property
    def required(self) -> bool:
        """It has to be given a value."""
        return self.default is inspect.Parameter.empty and self.name[0] != "*"


_READ: WeakKeyDictionary[Callable[..., Any], dict[bool, tuple[Parameter, ...]]] = (
    WeakKeyDictionary()
)


def name_of(function: object) -> str:
    """Return the name of a callable or a graph, or that of its class."""
    if not callable(function):
        return str(getattr(function, "name", type(function).__name__))
    return str(getattr(function, "__name__", type(function).__name__))


def parameters_of(
    function: Callable[..., Any], owner: str, *, rest: bool = False
) -> tuple[Parameter, ...]:
    """Return the parameters of a node's function.

    Args:
        function: The function.
        owner: Whose it is, for errors, as in `graph 'trip': node 'plan'`.
        rest: A parameter may take any number of values.

    Raises:
        GraphError: It cannot be read, or has a parameter that cannot be bound by name.
    """
    try:
        return _READ[function][rest]
    except (KeyError, TypeError):
        read = _read_parameters(function, owner, rest=rest)
    with suppress(TypeError):  # what cannot be referred to weakly is read each time
        _READ.setdefault(function, {})[rest] = read
    return read


def _read_parameters(
    function: Callable[..., Any], owner: str, *, rest: bool
) -> tuple[Parameter, ...]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise GraphError(f"{owner}: {function!r} has no readable signature") from error
    hints = annotations_of(function)
    found: list[Parameter] = []
    for parameter in signature.parameters.values():
        many = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.kind == parameter.POSITIONAL_ONLY or (many and not rest):
            node = owner.rpartition(": ")[2]
            raise GraphError(
                f"{owner.rpartition(': ')[0]}: parameter {parameter} of {node} cannot be bound by name; "
                "name each value the node takes"
            )
        read = _parameter(parameter, hints.get(parameter.name, Any))
        if many:
            stars = "*" if parameter.kind == parameter.VAR_POSITIONAL else "**"
            read = Parameter(f"{stars}{parameter.name}", stars, Any, parameter.empty)
        found.append(read)
    return tuple(found)


def _parameter(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    written = parameter.annotation
    name, default = parameter.name, parameter.default
    if getattr(annotation, "__name__", "") == CONTEXT or written in (
        CONTEXT,
        f"midstream.{CONTEXT}",
    ):
        return Parameter(name, "", annotation, default)
    if annotation is Any and name == "ctx":
        return Parameter(name, "", Any, default)
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            if isinstance(extra, From):
                return Parameter(name, extra.node, _without(annotation), default, named=True)
    return Parameter(name, name, annotation, default)


def _without(annotation: Any) -> Any:
    """Return the annotation without `From`, which says nothing about the value."""
    kept = [extra for extra in get_args(annotation)[1:] if not isinstance(extra, From)]
    return Annotated[(get_args(annotation)[0], *kept)] if kept else get_args(annotation)[0]


def adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks values of a type, or None for a type that pydantic knows nothing about."""
    try:
        return _ADAPTERS[annotation]
    except (KeyError, TypeError):
        pass
    try:
        made: TypeAdapter[Any] | None = TypeAdapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        made = None
    if len(_ADAPTERS) >= _ADAPTERS_LIMIT:
        _ADAPTERS.clear()
    with suppress(TypeError):  # an annotation that cannot be a key is looked at each time
        _ADAPTERS[annotation] = made
    return made


def kind_of(annotation: Any) -> str:
    """Return `list`, `dict` or `text` where values of a type are surely that in JSON, else nothing."""
    if get_origin(annotation) is Annotated:
        args = get_args(annotation)
        return kind_of(args[0]) if all(isinstance(extra, From) for extra in args[1:]) else ""
    plain = get_origin(annotation) or annotation
    kinds = {list: "list", tuple: "list", dict: "dict", str: "text"}
    try:
        return kinds.get(plain, "")
    except TypeError:
        return ""


def annotations_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the annotations as types; one that names what exists for type checkers only is left out."""
    if isinstance(function, partial):
        return annotations_of(function.func)
    if not inspect.isroutine(function):
        function = type(function).__call__
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found: dict[str, Any] = {}
    for name, written in getattr(function, "__annotations__", {}).items():
        alone = type(name, (), {"__annotations__": {name: written}})
        with suppress(NameError, TypeError, AttributeError):
            found |= get_type_hints(alone, globalns=names, include_extras=True)
    return found


_ASYNC: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether calling it makes a coroutine."""
    try:
        return _ASYNC[function]
    except (KeyError, TypeError):
        found = _is_async(function)
    with suppress(TypeError):  # what cannot be referred to weakly is looked at each time
        _ASYNC[function] = found
    return found


def _is_async(function: Callable[..., Any]) -> bool:
    call: Any = getattr(function, "__call__", None)  # noqa: B004  # asked for its kind, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
