"""How ordinary turns sound in Chat Completions; see `midstream.adapters.plain`."""

from __future__ import annotations

from midstream.adapters.openai.returning import Homeward
from midstream.adapters.wire import arguments_object, quick

_TEXT = b'{"type":"text","text":%b}'
_TEXTS = b"[%b]"
_CONTENT = b',"content":%b'
_CALL = b'{"id":"%b","type":"function","function":{"name":%b,"arguments":%b}}'
_ANSWER = b'{"role":"assistant"%b,"tool_calls":[%b]}'
_RESULT = b'{"role":"tool","tool_call_id":"%b","content":%b}'


class PlainTurns(Homeward):
    """Tells ordinary turns."""

    __slots__ = ()

    question = b'{"role":"user","content":%b}'
    saying = b'{"role":"assistant","content":%b}'

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        return not (self.empty or self.state.get("home") or self.state.get("aliases"))

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        if by_text:
            self.state["calls"] = ()

    def plain_call(self, id_: bytes, name: bytes, arguments: str) -> bytes:
        """See `Plain.plain_call`: one whose arguments any server takes."""
        if not arguments:
            return b""
        if self.speech.provider != "openai" and arguments_object(arguments) is None:
            return b""
        return _CALL % (id_, name, quick(arguments))

    def plain_answer(self, told: list[bytes], texts: list[bytes], calls: list[bytes]) -> None:
        """See `Plain.plain_answer`."""
        content = texts[0] if len(texts) == 1 else _TEXTS % b",".join([_TEXT % t for t in texts])
        if calls:
            before = _CONTENT % content if texts else b""
            told.append(_ANSWER % (before, b",".join(calls)))
        else:
            told.append(self.saying % content)

    def plain_result(self, place: int, id_: bytes, text: bytes, failed: bool) -> bytes:
        """See `Plain.plain_result`."""
        return b"" if failed else _RESULT % (id_, text)
