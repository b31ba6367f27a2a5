"""An answer of a given type: its schema for the model, and its value out of what the model said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import AfterValidator, JsonValue, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from midstream.adapters.output import OutputSchema, setting
from midstream.adapters.schema_rules import rooted
from midstream.adapters.wire import is_object
from midstream.engine.fitting import misfits
from midstream.errors import ConfigError
from midstream.events.content import Message, Refusal, Text

Value = TypeVar("Value")

_WRAPPED = "value"
"""The one field of the object around an answer that is no object itself: services want an object at the root."""
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)
_MOST = 8
"""Problems that a model is told of at once."""


class Unfit(Exception):  # noqa: N818  # no error yet: the model may mend it
    """What a model said is not what was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Output(Generic[Value]):
    """A type that an answer must have.

    Attributes:
        adapter: Validates it.
        wanted: What a model is told of it.
        wrapped: The answer stands in a field of an object.
    """

    adapter: TypeAdapter[Value]
    wanted: OutputSchema
    wrapped: bool

    @property
    def setting(self) -> dict[str, JsonValue]:
        """The setting that asks for it; recorded with the call."""
        return setting(self.wanted)

    def read(self, message: Message) -> Value:
        """Return the value that the message holds.

        Raises:
            Unfit: It holds none, or one of another form.
        """
        problem = "there is no JSON object in it"
        for text in _candidates(message):
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            try:
                return self.adapter.validate_json(orjson.dumps(self._inner(found)))
            except LookupError:
                problem = f"it is no object with a field {_WRAPPED!r}"
            except ValidationError as error:
                problem = _problems(error, (_WRAPPED,) if self.wrapped else ())
        raise Unfit(problem)

    def _inner(self, found: Any) -> Any:
        if not self.wrapped:
            return found
        if not is_object(found):
            raise LookupError(_WRAPPED)
        return found[_WRAPPED]


def output(annotation: Any) -> Output[Any]:
    """Return the type of an answer.

    Args:
        annotation: A pydantic model, a dataclass, a TypedDict, any other type that pydantic knows, or a JSON Schema, of
            which the values are plain JSON.

    Raises:
        ConfigError: It is not known, or has no JSON Schema.
    """
    if isinstance(annotation, Mapping):
        annotation = _of_schema(annotation)  # pyright: ignore[reportUnknownArgumentType]  # JSON
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigError(
            f"output={annotation!r} has no JSON Schema ({error}); use a pydantic model, a dataclass or a TypedDict"
        ) from error
    root = rooted(schema)
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", str(root.get("title") or _name(annotation)))[:64]
    description = str(root.get("description") or "")
    wrapped = root.get("type") != "object" or "properties" not in root
    if wrapped:
        definitions = {key: schema.pop(key) for key in ("$defs",) if key in schema}
        root = {
            "type": "object",
            "properties": {_WRAPPED: schema},
            "required": [_WRAPPED],
            **definitions,
        }
    return Output(adapter, OutputSchema(name or "answer", root, description, True), wrapped)


def _of_schema(schema: Mapping[str, Any]) -> Any:
    """Return a type of plain JSON values that fit a schema."""

    def fitting(value: Any) -> Any:
        wrong = misfits(schema, value)
        if wrong:
            raise ValueError("; ".join(wrong[:_MOST]))
        return value

    return Annotated[Any, AfterValidator(fitting), WithJsonSchema(dict(schema))]


def mending(problem: str) -> str:
    """Return what a model is told whose answer does not fit."""
    return (
        f"Your answer is not what was asked for: {problem}. Answer again, with the whole JSON object, corrected, "
        "and nothing else."
    )


def refused(message: Message) -> bool:
    """Tell whether the model declined to answer."""
    return any(isinstance(part, Refusal) for part in message.parts)


def _name(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", "answer"))


def _candidates(message: Message) -> Iterator[str]:
    """Return the texts that may be the answer: all of it, what it says finally, its last text, what stands in a fence."""
    texts = [part for part in message.parts if isinstance(part, Text)]
    yield "".join(part.text for part in texts)
    final = [part.text for part in texts if part.phase != "commentary"]
    yield "".join(final)
    if final:
        yield final[-1]
    for part in texts:
        yield from _FENCED.findall(part.text)


def _problems(error: ValidationError, before: tuple[str, ...]) -> str:
    found = error.errors(include_url=False, include_context=False)
    said = [
        f"{'.'.join(map(str, (*before, *item['loc']))) or 'the object'}: {item['msg']}"
        for item in found[:_MOST]
    ]
    more = [f"and {len(found) - _MOST} more problems"] if len(found) > _MOST else []
    return "; ".join([*said, *more])
