"""How ordinary turns sound in Messages; see `midstream.adapters.plain`."""

from __future__ import annotations

from typing import Any

from midstream.adapters.anthropic.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object

FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""
_NEEDED = "the service needs a turn of the user here"


class PlainTurns(Homeward):
    """Tells ordinary turns."""

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
        # What `repair` notes of a whole turn.
        self.noted.append(("filler_inserted", "repair", self.seq, None, _NEEDED))
        self.items.append({"role": "user", "content": FILLER})
        self.state["tail"] = "user"

    def plain_question(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_question`."""
        return {"role": "user", "content": text}

    def plain_saying(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_saying`."""
        return {"role": "assistant", "content": [{"type": "text", "text": text}]}

    def plain_answer(self, texts: list[str], calls: list[Fields], last: str) -> bool:
        """See `Plain.plain_answer`."""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
        for call in calls:
            found = arguments_object(call["arguments"])
            if found is None:
                return False
            block = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": found}
            blocks.append(block)
        if last == "assistant":
            self.fill()
        self.items.append({"role": "assistant", "content": blocks})
        self.state["unthought"] = calls != []
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        blocks: list[dict[str, Any]] = []
        for id_, text, failed in results:
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id_, "content": text}
            if failed:
                block["is_error"] = True
            blocks.append(block)
        self.items.append({"role": "user", "content": blocks})
        return True
