"""How ordinary turns sound in Gemini; see `midstream.adapters.plain`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from midstream.adapters.gemini.parts import MADE, MODEL
from midstream.adapters.gemini.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object


class PlainTurns(Homeward):
    """Tells ordinary turns; an answer of the service itself has its signatures, and goes the long way."""

    @abstractmethod
    def before_answer(self, *, calls: bool = True) -> None:
        """Say what has to stand before an answer."""

    @abstractmethod
    def signed(self, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the parts of an answer with what stands for the signature of its first call."""

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        return not (self.empty or self.state.get("home") or self.state.get("aliases"))

    def plain_question(self, text: str) -> bool:
        """See `Plain.plain_question`."""
        self.items.append({"role": "user", "parts": [{"text": text}]})
        self.state["tail"] = "user"
        return True

    def plain_saying(self, origin: str | None, text: str) -> bool:
        """See `Plain.plain_saying`."""
        return self.plain_answer(origin, [text], [])

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """See `Plain.plain_answer`."""
        if origin is not None and origin.partition(":")[0] == self.speech.provider:
            return False
        blocks: list[dict[str, Any]] = [{"text": text} for text in texts]
        for call in calls:
            found = arguments_object(call["arguments"])
            if found is None or MADE.fullmatch(call["id"]):
                return False
            about = {"id": call["id"], "name": call["name"], "args": found}
            blocks.append({"functionCall": about})
        self.before_answer(calls=bool(calls))
        self.items.append({"role": MODEL, "parts": self.signed(blocks) if calls else blocks})
        state = self.state
        state["tail"] = "model"
        state["calls"] = tuple([call["id"] for call in calls])
        state["called"] = tuple([call["name"] for call in calls])
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        blocks: list[dict[str, Any]] = []
        state = self.state
        for id_, name, (text, failed) in zip(state["calls"], state["called"], results, strict=True):
            about = {"id": id_, "name": name} if id_ else {"name": name}
            said = {"response": {"error" if failed else "output": text}}
            blocks.append({"functionResponse": {**about, **said}})
        self.items.append({"role": "user", "parts": blocks})
        state["tail"] = "results"
        return True
