"""How ordinary turns sound in Messages; see `midstream.adapters.plain`."""

from __future__ import annotations

from typing import Any

from midstream.adapters.anthropic.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object

FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""


class PlainTurns(Homeward):
    """Tells ordinary turns."""

    def fill(self) -> None:
        """Say something for the user: a model of today refuses to go on with its own turn, and an earlier one would."""
        self.repair("filler_inserted", "the service needs a turn of the user here")
        self.items.append({"role": "user", "content": FILLER})
        self.state["tail"] = "user"

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        waits = found("held") or found("waiting")
        return bool(found("tail")) and not (found("home") or waits or found("aliases"))

    def plain_question(self, text: str) -> bool:
        """See `Plain.plain_question`."""
        self.items.append({"role": "user", "content": text})
        self.state["tail"] = "user"
        return True

    def plain_saying(self, origin: str | None, text: str) -> bool:
        """See `Plain.plain_saying`."""
        state = self.state
        if state["tail"] == "assistant":
            self.fill()
        self.items.append({"role": "assistant", "content": [{"type": "text", "text": text}]})
        state["tail"], state["unthought"], state["calls"] = "assistant", False, ()
        return True

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """See `Plain.plain_answer`."""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
        ids: list[str] = []
        for call in calls:
            found = arguments_object(call["arguments"])
            if found is None:
                return False
            id_, name = call["id"], call["name"]
            blocks.append({"type": "tool_use", "id": id_, "name": name, "input": found})
            ids.append(id_)
        state = self.state
        if state["tail"] == "assistant":
            self.fill()
        self.items.append({"role": "assistant", "content": blocks})
        state["tail"], state["unthought"] = "assistant", bool(calls)
        state["calls"] = tuple(ids)
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        blocks: list[dict[str, Any]] = []
        ids: tuple[str, ...] = self.state["calls"]
        for place, (text, failed) in enumerate(results):
            id_ = ids[place]
            block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id_, "content": text}
            if failed:
                block["is_error"] = True
            blocks.append(block)
        self.items.append({"role": "user", "content": blocks})
        self.state["tail"] = "results"
        return True
