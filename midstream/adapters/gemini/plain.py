"""How ordinary turns sound in Gemini; see `midstream.adapters.plain`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from midstream.adapters.gemini.parts import MADE, MODEL
from midstream.adapters.gemini.returning import Homeward
from midstream.adapters.plain import Fields, Returned
from midstream.adapters.wire import arguments_object

FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""


class PlainTurns(Homeward):
    """Tells ordinary turns; an answer of the service itself has its signatures, and goes the long way."""

    returns_own = True

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
        self.repair("filler_inserted", "the service needs a turn of the user here")
        self.items.append({"role": "user", "parts": [{"text": FILLER}]})
        self.remember(tail="user")

    def plain_question(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_question`."""
        return {"role": "user", "parts": [{"text": text}]}

    def plain_saying(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_saying`."""
        return {"role": MODEL, "parts": [{"text": text}]}

    def plain_answer(self, texts: list[str], calls: list[Fields], last: str) -> bool:
        """See `Plain.plain_answer`."""
        blocks: list[dict[str, Any]] = [{"text": text} for text in texts]
        for call in calls:
            found = arguments_object(call["arguments"])
            if found is None or MADE.fullmatch(call["id"]):
                return False
            about = {"id": call["id"], "name": call["name"], "args": found}
            blocks.append({"functionCall": about})
        if last == "assistant":
            self.fill()
        self.items.append({"role": MODEL, "parts": self.signed(blocks) if calls else blocks})
        self.state["called"] = tuple([call["name"] for call in calls])
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        blocks: list[dict[str, Any]] = []
        state = self.state
        for name, (id_, text, failed) in zip(state["called"], results, strict=True):
            about = {"id": id_, "name": name} if id_ else {"name": name}
            said = {"response": {"error" if failed else "output": text}}
            blocks.append({"functionResponse": {**about, **said}})
        self.items.append({"role": "user", "parts": blocks})
        return True
