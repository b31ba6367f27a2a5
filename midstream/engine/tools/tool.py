"""Tools: functions that a node or a model may call, and what is known of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, overload
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from midstream.engine.retry import ANY, NEVER, Retry
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
        user: For whom the run is, as its tag `user` says; empty where it does not.
        ctx: The `Context` of the activation, for recorded effects inside the tool; of use to async tools only.
    """

    run_id: str
    step: str
    key: str
    attempt: int
    user: str = ""
    ctx: Any = None


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

Confirm = bool | Callable[[Mapping[str, Any]], bool | Awaitable[bool]]
"""Whether a person is asked before a call: always, never, or as the arguments say."""

OnError = Literal["tell", "fail"]
"""What an exception of a tool is to a model's caller: an error result for the model, or a failure of the node."""


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
        is_async: The function is a coroutine function.
        schema: JSON Schema of its arguments.
        confirm: Whether a person is asked before a call.
        editable: The arguments that the person may change.
        confirm_timeout: Seconds after which a call that nobody approved counts as refused; None for never.
        on_error: What an exception is where a model made the call.
        concurrency: At most so many calls at once in this process; None for any number.
        checks: Checks the arguments in the place of `arguments`, for a tool whose schema comes from elsewhere.
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
    confirm: Confirm = False
    editable: tuple[str, ...] = ()
    confirm_timeout: float | None = None
    on_error: OnError = "tell"
    concurrency: int | None = None
    given: ToolSpec | None = None
    elsewhere: bool = False
    checks: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    _gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = field(
        default_factory=WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore],
        repr=False,
        compare=False,
    )

    @property
    def __name__(self) -> str:
        """Its name, under which a graph registers it like a function."""
        return self.name

    @property
    def waits(self) -> bool:
        """A call may have to wait for something before it begins: its intent is recorded when it does."""
        return self.confirm is not False or self.concurrency is not None

    @asynccontextmanager
    async def gate(self) -> AsyncGenerator[None, None]:
        """Wait until this call is one of as many as there may be at once."""
        if self.concurrency is None:
            yield
            return
        loop = asyncio.get_running_loop()
        async with self._gates.setdefault(loop, asyncio.Semaphore(self.concurrency)):
            yield

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
        if self.checks is not None:
            return self.checks(arguments)
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
    retries: int | None = None,
    on_unknown: OnUnknown | None = None,
    confirm: Confirm = False,
    editable: Sequence[str] = (),
    confirm_timeout: float | None = None,
    on_error: OnError = "tell",
    concurrency: int | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a function.

    Args:
        function: What it does. Its name, docstring and parameters become the tool's.
        **options: `name`, `description`, `effect` (`read`, `idempotent` or `unsafe`, which is assumed), `timeout` in
            seconds for one attempt, `retry` or `retries` (how often a call is made again after any exception, with the
            delays of `Retry`), `on_unknown`, and:

            * `confirm`: True, or a function of the arguments that says whether a person is asked before the call;
            * `editable`: the parameters whose arguments that person may change;
            * `confirm_timeout`: seconds after which a call that nobody approved counts as refused;
            * `on_error`: `tell` the model of an exception, or `fail` the node whose model made the call;
            * `concurrency`: at most so many calls at once in this process.

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
    retries: int | None = None,
    on_unknown: OnUnknown | None = None,
    confirm: Confirm = False,
    editable: Sequence[str] = (),
    confirm_timeout: float | None = None,
    on_error: OnError = "tell",
    concurrency: int | None = None,
) -> Tool:
    """Make a tool of a function, or return the tool that was given; see `tool`."""
    if isinstance(function, Tool):
        return function
    name = name or str(getattr(function, "__name__", type(function).__name__))
    arguments, context = _arguments(name, function)
    described = description if description is not None else inspect.cleandoc(function.__doc__ or "")
    made = Tool(
        name,
        function,
        described,
        effect,
        timeout,
        retry if retries is None else Retry(attempts=retries + 1, on=ANY),
        on_unknown,
        arguments,
        context,
        is_async(function),
        _schema(name, arguments),
        confirm,
        tuple(editable),
        confirm_timeout,
        on_error,
        concurrency,
    )
    _check(made)
    return made


def _schema(name: str, arguments: type[BaseModel]) -> dict[str, JsonValue]:
    try:
        schema = arguments.model_json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError) as error:
        raise ConfigError(
            f"tool {name!r}: a parameter has no JSON Schema ({error}); annotate it with a plain type"
        ) from error
    schema.pop("title", None)
    return schema


def _check(made: Tool) -> None:
    where = f"tool {made.name!r}"
    if made.effect not in ("read", "idempotent", "unsafe"):
        raise ConfigError(
            f"{where}: effect must be 'read', 'idempotent' or 'unsafe', not {made.effect!r}"
        )
    if made.on_error not in ("tell", "fail"):
        raise ConfigError(f"{where}: on_error must be 'tell' or 'fail', not {made.on_error!r}")
    if made.concurrency is not None and made.concurrency < 1:
        raise ConfigError(f"{where}: concurrency must be 1 or more, not {made.concurrency!r}")
    for option in ("timeout", "confirm_timeout"):
        seconds = getattr(made, option)
        if seconds is not None and seconds <= 0:
            raise ConfigError(f"{where}: {option} must be more than 0 seconds, not {seconds!r}")
    if made.confirm is False and (made.editable or made.confirm_timeout is not None):
        raise ConfigError(
            f"{where}: editable and confirm_timeout are about asking a person; pass confirm=True"
        )
    known: Any = made.schema.get("properties", {})
    for parameter in made.editable:
        if parameter not in known:
            raise ConfigError(
                f"{where}: editable names {parameter!r}, but there is no such parameter; there are: "
                f"{', '.join(known) or 'none'}"
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
