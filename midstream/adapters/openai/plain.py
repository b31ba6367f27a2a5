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

    def plain_question(self, text: str) -> bool:
        """See `Plain.plain_question`."""
        self.items.append({"role": "user", "content": text})
        return True

    def plain_saying(self, origin: str | None, text: str) -> bool:
        """See `Plain.plain_saying`."""
        self.items.append({"role": "assistant", "content": text})
        self.state["calls"] = ()
        return True

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
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
        self.state["calls"] = tuple([call["id"] for call in calls])
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        if any(failed for _, failed in results):
            return False
        for id_, (text, _) in zip(self.state["calls"], results, strict=True):
            self.items.append({"role": "tool", "tool_call_id": id_, "content": text})
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
