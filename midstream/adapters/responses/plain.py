"""How ordinary turns sound in Responses; see `midstream.adapters.plain`."""

from __future__ import annotations

from typing import Any

from midstream.adapters.plain import Fields, Returned
from midstream.adapters.responses.items import ASSISTANT
from midstream.adapters.responses.offers import Offers
from midstream.adapters.responses.returning import Homeward
from midstream.adapters.wire import arguments_object


class PlainTurns(Homeward):
    """Tells ordinary turns; an answer of the service itself goes back item by item, which is another way."""

    returns_own = True

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        waits = Offers.of(self.state).waiting
        return not (self.empty or waits or found("home") or found("aliases") or found("free"))

    def settle(self, last: str, *, by_text: bool) -> None:
        """See `Plain.settle`."""
        if by_text:
            self.state["calls"], self.state["kinds"] = (), ()

    def plain_question(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_question`."""
        return {"role": "user", "content": text}

    def plain_saying(self, text: str) -> dict[str, Any]:
        """See `Plain.plain_saying`."""
        return {"role": ASSISTANT, "content": text}

    def plain_answer(self, texts: list[str], calls: list[Fields], last: str) -> bool:
        """See `Plain.plain_answer`."""
        told: list[dict[str, Any]] = [self.plain_saying(text) for text in texts]
        for call in calls:
            arguments: str = call["arguments"]
            if not arguments or arguments_object(arguments) is None:
                return False
            about = {"call_id": call["id"], "name": call["name"], "arguments": arguments}
            told.append({"type": "function_call", **about})
        self.items += told
        self.state["kinds"] = ("function_call",) * len(calls)
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        told: list[dict[str, Any]] = []
        for kind, (id_, text, failed) in zip(self.state["kinds"], results, strict=True):
            if failed:
                return False
            told.append({"type": f"{kind}_output", "call_id": id_, "output": text})
        self.items += told
        return True
