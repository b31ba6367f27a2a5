"""Messages and tools of a request that was read, made without asking again whether what is kept of it is JSON.

A request is JSON when it comes here, and each piece of it is one; to look through every value of what is kept beside the
parts costs more than all else that reading a message takes. The rest is what the readers have just made: texts that they
know to be texts, and parts that are validated themselves.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from midstream.events.content import Message, Part, Role, ToolSpec

Kind = TypeVar("Kind", Message, ToolSpec)
_new = object.__new__
_set = object.__setattr__


def read_message(
    role: Role,
    parts: tuple[Part, ...],
    native: Any,
    dialect: str,
    unsaid: tuple[str, ...] = (),
    origin: str | None = None,
) -> Message:
    """Return the message that `Message` would make of the same; see there.

    Args:
        role: Who speaks.
        parts: What is said.
        native: JSON, which stands in the message as it is: nobody may change it from here on.
        dialect: The wire format of the request.
        unsaid: What `native` says and the parts do not.
        origin: Who said it, or None where no model did.
    """
    return _made(
        Message,
        {
            "role": role,
            "parts": parts,
            "origin": origin,
            "native": native,
            "dialect": dialect,
            "unsaid": unsaid,
        },
    )


def read_tool(
    name: str,
    description: str,
    parameters: dict[str, Any],
    native: Any,
    dialect: str,
    unsaid: tuple[str, ...] = (),
    *,
    form: Literal["json", "text"] = "json",
    strict: bool | None = None,
) -> ToolSpec:
    """Return the tool that `ToolSpec` would make of the same; see there and `read_message`."""
    return _made(
        ToolSpec,
        {
            "name": name,
            "description": description,
            "parameters": parameters,
            "form": form,
            "strict": strict,
            "hosted": "",
            "hints": None,
            "native": native,
            "dialect": dialect,
            "unsaid": unsaid,
        },
    )


def _made(kind: type[Kind], fields: dict[str, Any]) -> Kind:
    made = _new(kind)
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", set(fields))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made
