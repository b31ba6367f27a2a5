"""The body of a request whose messages are in JSON already: they are listed only for whoever looks at them.

What is sent is the bytes that the view keeps, so that a turn costs what it adds, and not what was said before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.view import View
from midstream.adapters.wire import encode


class Told:
    """The messages of a request: those of a view, and what the request adds to them."""

    __slots__ = ("_more", "_view")

    def __init__(self, view: View, more: list[dict[str, Any]]) -> None:
        self._view = view
        self._more = more

    def each(self) -> list[Any]:
        """Return them one by one."""
        return [*self._view.tape.list(), *self._more]

    def pieces(self) -> list[bytes]:
        """Return them as a JSON array, in pieces to be joined."""
        spoken = self._view.spoken
        if not self._more:
            return [b"[", *spoken.pieces(), b"]"]
        more = encode(self._more)[1:]
        return [b"[", *spoken.pieces(), b"," + more] if spoken else [b"[" + more]


class Body(Mapping[str, Any]):
    """The fields of a request, as the mapping that they are; reading the messages makes a list of them."""

    __slots__ = ("_fields", "_key", "_told")

    def __init__(self, fields: dict[str, Any], key: str, told: Told) -> None:
        self._fields = fields
        self._key = key
        self._told = told

    def __getitem__(self, key: str) -> Any:
        found = self._fields[key]
        return self._told.each() if found is self._told else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def chunks(self, more: Mapping[str, Any]) -> list[bytes]:
        """See `midstream.adapters.base.ModelRequest.chunks`."""
        rest = {**self._fields, **more}
        rest = {key: value for key, value in rest.items() if more.get(key, key) is not None}
        del rest[self._key]
        tail = b"," + encode(rest)[1:] if rest else b"}"
        return [b'{"%s":' % self._key.encode(), *self._told.pieces(), tail]


def body_of(fields: dict[str, Any]) -> Mapping[str, Any]:
    """Return the fields as a body; those whose messages are nowhere written stay what they are."""
    for key, value in fields.items():
        if isinstance(value, Told):
            return Body(fields, key, value)
    return fields
