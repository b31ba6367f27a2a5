"""Tools: functions that a node or a model may call, and what is known of them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, overload

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from midstream.engine.retry import NEVER, Retry
from midstream.engine.signature import annotations_of, is_async
from midstream.errors import ConfigError, ToolError
from midstream.events.content import ToolSpec
from midstream.events.payloads import Effect


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may want to know of the call; given to a parameter of this type, never shown to a model.

    Attributes:
        run_id: The run.
        step: The address of the call.
        key: The idempotency key: the same for every attempt of this call, in every process.
        attempt: Which attempt, from 1.
    """

    run_id: str
    step: str
    key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class UnknownCall:
    """A call of an unsafe tool that was in flight when its process ended; what an `on_unknown` handler is asked about.

    Attributes:
        run_id: The run.
        step: The address of the call.
        tool: The tool's name.
        arguments: What it was called with.
        key: Its idempotency key.
    """

    run_id: str
    step: str
    tool: str
    arguments: Mapping[str, JsonValue]
    key: str


RETRY_CALL = object()
"""What an `on_unknown` handler returns where it has found that the call did nothing and may be made again."""

OnUnknown = Callable[[UnknownCall], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function with what the engine and a model need to know of it.

    Attributes:
        name: Its name.
        function: What it does; async, or sync in a thread.
        description: For the model.
        effect: What it does to the world; decides what happens when a process dies in the middle of it.
        timeout: Seconds for one attempt, or None.
        retry: How often it is tried.
        on_unknown: Finds out what became of an unsafe call that was in flight when its process ended, and returns its
            result, or `RETRY_CALL`, or raises what it failed with.
        arguments: The model of its arguments.
        context: The parameter that takes a `ToolContext`, or empty.
        given: What a model was told of it elsewhere, where it is to be told the same; None for what the function says.
        elsewhere: There is no code for it here: somebody has to say what its calls returned.
    """

    name: str
    function: Callable[..., Any]
    description: str
    effect: Effect
    timeout: float | None
    retry: Retry
    on_unknown: OnUnknown | None
    arguments: type[BaseModel]
    context: str = ""
    is_async: bool = True
    schema: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    given: ToolSpec | None = None
    elsewhere: bool = False

    @property
    def spec(self) -> ToolSpec:
        """What a model is told of it."""
        if self.given is not None:
            return self.given
        return ToolSpec(name=self.name, description=self.description, parameters=dict(self.schema))

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function wants them.

        Raises:
            ToolError: They do not fit; the message tells a model what to mend.
        """
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}"
                for item in error.errors()
            )
            raise ToolError(
                f"the arguments of {self.name!r} do not fit: {wrong}",
                tool=self.name,
                kind="bad_arguments",
            ) from error
        return {
            str(field.alias): getattr(checked, name)
            for name, field in self.arguments.model_fields.items()
            if name in checked.model_fields_set
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, past the engine; nothing is recorded."""
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "unsafe",
    timeout: float | None = None,
    retry: Retry = NEVER,
    on_unknown: OnUnknown | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a function.

    Args:
        function: What it does. Its name, docstring and parameters become the tool's.
        **options: `name`, `description`, `effect` (`read`, `idempotent` or `unsafe`, which is assumed), `timeout` in
            seconds for one attempt, `retry`, `on_unknown`.

    Raises:
        ConfigError: A parameter has a type that JSON Schema cannot describe, or an option is not known.
    """
    if function is not None:
        return make_tool(function)

    def decorate(decorated: Callable[..., Any]) -> Tool:
        return make_tool(decorated, **options)

    return decorate


def make_tool(
    function: Callable[..., Any] | Tool,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "unsafe",
    timeout: float | None = None,
    retry: Retry = NEVER,
    on_unknown: OnUnknown | None = None,
) -> Tool:
    """Make a tool of a function, or return the tool that was given; see `tool`."""
    if isinstance(function, Tool):
        return function
    name = name or str(getattr(function, "__name__", type(function).__name__))
    if effect not in ("read", "idempotent", "unsafe"):
        raise ConfigError(
            f"tool {name!r}: effect must be 'read', 'idempotent' or 'unsafe', not {effect!r}"
        )
    arguments, context = _arguments(name, function)
    try:
        schema = arguments.model_json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError) as error:
        raise ConfigError(
            f"tool {name!r}: a parameter has no JSON Schema ({error}); annotate it with a plain type"
        ) from error
    schema.pop("title", None)
    described = description if description is not None else inspect.cleandoc(function.__doc__ or "")
    return Tool(
        name,
        function,
        described,
        effect,
        timeout,
        retry,
        on_unknown,
        arguments,
        context,
        is_async(function),
        schema,
    )


def tool_elsewhere(spec: ToolSpec) -> Tool:
    """Return a tool that a model is told of and that nobody here can call: what it returns has to be settled."""
    return Tool(
        spec.name,
        _nothing,
        spec.description,
        "unsafe",
        None,
        NEVER,
        None,
        create_model("Anything", __config__=ConfigDict(extra="allow")),
        schema=spec.parameters,
        given=spec,
        elsewhere=True,
    )


def _nothing(**_arguments: Any) -> None:
    raise AssertionError("a tool without code is never called")


def _arguments(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], str]:
    hints = annotations_of(function)
    fields: dict[str, Any] = {}
    context = ""
    for place, parameter in enumerate(inspect.signature(function).parameters.values()):
        annotation = hints.get(parameter.name, Any)
        if annotation is ToolContext:
            context = parameter.name
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"tool {name!r}: parameter {parameter} cannot be described; name each argument"
            )
        elif parameter.name not in hints and parameter.annotation is not parameter.empty:
            raise ConfigError(
                f"tool {name!r}: the annotation of parameter {parameter} names nothing that can be found at run time; "
                "import it, or move it to the top of its module"
            )
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            # By place: a parameter may have a name that a pydantic model has for itself.
            fields[f"p{place}"] = (Annotated[annotation, Field(alias=parameter.name)], default)
    try:
        made = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticSchemaGenerationError as error:
        raise ConfigError(
            f"tool {name!r}: {error.message}; annotate its parameters with plain types"
        ) from error
    return made, context
