"""How ordinary turns sound in Gemini; see `midstream.adapters.plain`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from midstream.adapters.gemini.parts import MADE
from midstream.adapters.gemini.returning import Homeward
from midstream.adapters.plain import NEEDED
from midstream.adapters.wire import arguments_object, quick

FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""
_TEXT = b'{"text":%b}'
_CALL = b'{"id":"%b","name":%b,"args":%b}'
_PART = b'{"functionCall":%b%b}'
_SIGNATURE = b',"thoughtSignature":%b'
_ANSWER = b'{"role":"model","parts":[%b]}'
_ID = b'"id":"%b",'
_RESULT = b'{"functionResponse":{%b"name":%b,"response":{"%b":%b}}}'
_RESULTS = b'{"role":"user","parts":[%b]}'


class PlainTurns(Homeward):
    """Tells ordinary turns; an answer of the service itself has its signatures, and goes the long way."""

    __slots__ = ()

    returns_own = True

    question = b'{"role":"user","parts":[{"text":%b}]}'
    saying = _ANSWER % _TEXT
    filler = question % quick(FILLER)

    @abstractmethod
    def signed(self, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the parts of an answer with what stands for the signature of its first call."""

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        return bool(found("tail")) and not (found("home") or found("aliases"))

    def told_last(self) -> str:
        """See `Plain.told_last`."""
        last: str = self.state["tail"]
        return "assistant" if last == "model" else last

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        self.state["tail"] = "model" if last == "assistant" else last
        if by_text:
            self.state["calls"], self.state["called"] = (), ()

    def fill(self) -> None:
        """Say something for the user, whose turn it is."""
        self.repair("filler_inserted", NEEDED)
        self.items.append({"role": "user", "parts": [{"text": FILLER}]})
        self.remember(tail="user")

    def plain_call(self, id_: bytes, name: bytes, arguments: str) -> bytes:
        """See `Plain.plain_call`."""
        found = arguments_object(arguments)
        if found is None or MADE.fullmatch(id_.decode()):
            return b""
        return _CALL % (id_, name, quick(found))

    def plain_answer(self, told: list[bytes], texts: list[bytes], calls: list[bytes]) -> None:
        """See `Plain.plain_answer`."""
        self.state["called"] = tuple([call.name for call in self.open])
        parts = [_TEXT % text for text in texts]
        for place, call in enumerate(calls):
            parts.append(_PART % (call, b"" if place else self._signature()))
        told.append(_ANSWER % b",".join(parts))

    def plain_result(self, place: int, id_: bytes, text: bytes, failed: bool) -> bytes:
        """See `Plain.plain_result`."""
        about = _ID % id_ if id_ else b""
        name = quick(self.state["called"][place])
        return _RESULT % (about, name, b"error" if failed else b"output", text)

    def plain_results(self, told: list[bytes], results: list[bytes]) -> None:
        """See `Plain.plain_results`."""
        told.append(_RESULTS % b",".join(results))

    def _signature(self) -> bytes:
        """Return what stands for the signature of a call, as a field after the others, where it needs one; says so."""
        found = self.signed([{"functionCall": {}}])[0].get("thoughtSignature")
        return _SIGNATURE % quick(found) if found else b""
