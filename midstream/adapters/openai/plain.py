"""How ordinary turns sound in Chat Completions; see `midstream.adapters.plain`."""

from __future__ import annotations

from typing import Any

from midstream.adapters.openai.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object


class PlainTurns(Homeward):
    """Tells ordinary turns."""

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        return not (self.empty or self.state.get("home") or self.state.get("aliases"))

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        if by_text:
            self.state["calls"] = ()

    def plain_question(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_question`."""
        return {"role": "user", "content": text}

    def plain_saying(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_saying`."""
        return {"role": "assistant", "content": text}

    def plain_answer(self, texts: list[str], calls: list[Fields], last: str) -> bool:
        """See `Plain.plain_answer`."""
        item: dict[str, Any] = {"role": "assistant"}
        if len(texts) == 1:
            item["content"] = texts[0]
        elif texts:
            item["content"] = [{"type": "text", "text": text} for text in texts]
        if calls:
            told = [self._plain_call(call) for call in calls]
            if None in told:
                return False
            item["tool_calls"] = told
        self.items.append(item)
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        told: list[dict[str, Any]] = []
        for id_, text, failed in results:
            if failed:
                return False
            told.append({"role": "tool", "tool_call_id": id_, "content": text})
        self.items += told
        return True

    def _plain_call(self, call: Fields) -> dict[str, Any] | None:
        """Return a call whose arguments any server takes, or None."""
        arguments: str = call["arguments"]
        if not arguments:
            return None
        if self.speech.provider != "openai" and arguments_object(arguments) is None:
            return None
        function = {"name": call["name"], "arguments": arguments}
        return {"id": call["id"], "type": "function", "function": function}
