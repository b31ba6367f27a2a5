"""How ordinary turns sound in Messages; see `midstream.adapters.plain`."""

from __future__ import annotations

from midstream.adapters.anthropic.returning import Homeward
from midstream.adapters.plain import NEEDED
from midstream.adapters.wire import arguments_object, quick

FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""
_TEXT = b'{"type":"text","text":%b}'
_CALL = b'{"type":"tool_use","id":"%b","name":%b,"input":%b}'
_ANSWER = b'{"role":"assistant","content":[%b]}'
_RESULT = b'{"type":"tool_result","tool_use_id":"%b","content":%b}'
_FAILED = b'{"type":"tool_result","tool_use_id":"%b","content":%b,"is_error":true}'
_RESULTS = b'{"role":"user","content":[%b]}'


class PlainTurns(Homeward):
    """Tells ordinary turns."""

    __slots__ = ()

    question = b'{"role":"user","content":%b}'
    saying = _ANSWER % _TEXT
    filler = question % quick(FILLER)

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        waits = found("held") or found("waiting")
        return bool(found("tail")) and not (found("home") or waits or found("aliases"))

    def told_last(self) -> str:
        """See `Plain.told_last`."""
        last: str = self.state["tail"]
        return last

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        self.state["tail"] = last
        if by_text:
            self.state["unthought"], self.state["calls"] = False, ()

    def fill(self) -> None:
        """Say something for the user: a model of today refuses to go on with its own turn, and an earlier one would."""
        self.repair("filler_inserted", NEEDED)
        self.items.append({"role": "user", "content": FILLER})
        self.state["tail"] = "user"

    def plain_call(self, id_: bytes, name: bytes, arguments: str) -> bytes:
        """See `Plain.plain_call`."""
        found = arguments_object(arguments)
        return b"" if found is None else _CALL % (id_, name, quick(found))

    def plain_answer(self, told: list[bytes], texts: list[bytes], calls: list[bytes]) -> None:
        """See `Plain.plain_answer`."""
        self.state["unthought"] = calls != []
        for text in reversed(texts):
            calls.insert(0, _TEXT % text)
        told.append(_ANSWER % b",".join(calls))

    def plain_result(self, place: int, id_: bytes, text: bytes, failed: bool) -> bytes:
        """See `Plain.plain_result`."""
        return (_FAILED if failed else _RESULT) % (id_, text)

    def plain_results(self, told: list[bytes], results: list[bytes]) -> None:
        """See `Plain.plain_results`."""
        told.append(_RESULTS % b",".join(results))
