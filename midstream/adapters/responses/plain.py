"""How ordinary turns sound in Responses; see `midstream.adapters.plain`."""

from __future__ import annotations

from midstream.adapters.responses.offers import Offers
from midstream.adapters.responses.returning import Homeward
from midstream.adapters.wire import arguments_object, quick

_CALL = b'{"type":"function_call","call_id":"%b","name":%b,"arguments":%b}'
_RESULT = b'{"type":"%b_output","call_id":"%b","output":%b}'


class PlainTurns(Homeward):
    """Tells ordinary turns; an answer of the service itself goes back item by item, which is another way."""

    __slots__ = ()

    returns_own = True
    question = b'{"role":"user","content":%b}'
    saying = b'{"role":"assistant","content":%b}'

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        waits = Offers.of(self.state).waiting
        return not (self.empty or waits or found("home") or found("aliases") or found("free"))

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        if by_text:
            self.state["calls"], self.state["kinds"] = (), ()

    def plain_call(self, id_: bytes, name: bytes, arguments: str) -> bytes:
        """See `Plain.plain_call`."""
        if not arguments or arguments_object(arguments) is None:
            return b""
        return _CALL % (id_, name, quick(arguments))

    def plain_answer(self, told: list[bytes], texts: list[bytes], calls: list[bytes]) -> None:
        """See `Plain.plain_answer`."""
        self.state["kinds"] = ("function_call",) * len(calls)
        told += [*[self.saying % text for text in texts], *calls]

    def plain_result(self, place: int, id_: bytes, text: bytes, failed: bool) -> bytes:
        """See `Plain.plain_result`."""
        kind: str = self.state["kinds"][place]
        return b"" if failed else _RESULT % (kind.encode(), id_, text)
