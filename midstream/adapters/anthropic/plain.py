"""How ordinary turns sound in Messages; see `midstream.adapters.plain`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from midstream.adapters.anthropic.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object


class PlainTurns(Homeward):
    """Tells ordinary turns."""

    @abstractmethod
    def before_answer(self) -> None:
        """Say what has to stand before an answer."""

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

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """See `Plain.plain_answer`."""
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
        for call in calls:
            found = arguments_object(call["arguments"])
            if found is None:
                return False
            about = {"id": call["id"], "name": call["name"], "input": found}
            blocks.append({"type": "tool_use", **about})
        state = self.state
        if state["tail"] == "assistant":
            self.before_answer()
        self.items.append({"role": "assistant", "content": blocks})
        state["tail"], state["unthought"] = "assistant", bool(calls)
        state["calls"] = tuple([call["id"] for call in calls]) if calls else ()
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        blocks: list[dict[str, Any]] = []
        for id_, (text, failed) in zip(self.state["calls"], results, strict=True):
            block = {"type": "tool_result", "tool_use_id": id_, "content": text}
            blocks.append({**block, "is_error": True} if failed else block)
        self.items.append({"role": "user", "content": blocks})
        self.state["tail"] = "results"
        return True
