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

    def is_plain(self) -> bool:
        """See `Plain.is_plain`."""
        found = self.state.get
        waits = Offers.of(self.state).waiting
        return not (self.empty or waits or found("home") or found("aliases") or found("free"))

    def plain_question(self, text: str) -> bool:
        """See `Plain.plain_question`."""
        self.items.append({"role": "user", "content": text})
        return True

    def plain_saying(self, origin: str | None, text: str) -> bool:
        """See `Plain.plain_saying`."""
        if origin is not None and origin.partition(":")[0] == self.speech.provider:
            return False
        self.items.append({"role": ASSISTANT, "content": text})
        self.state["calls"], self.state["kinds"] = (), ()
        return True

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """See `Plain.plain_answer`."""
        if origin is not None and origin.partition(":")[0] == self.speech.provider:
            return False
        told: list[dict[str, Any]] = [{"role": ASSISTANT, "content": text} for text in texts]
        for call in calls:
            arguments: str = call["arguments"]
            if not arguments or arguments_object(arguments) is None:
                return False
            about = {"call_id": call["id"], "name": call["name"], "arguments": arguments}
            told.append({"type": "function_call", **about})
        self.items += told
        state = self.state
        state["calls"] = tuple([call["id"] for call in calls])
        state["kinds"] = ("function_call",) * len(calls)
        return True

    def plain_results(self, results: list[Returned]) -> bool:
        """See `Plain.plain_results`."""
        if any(failed for _, failed in results):
            return False
        about = zip(self.state["calls"], self.state["kinds"], results, strict=True)
        for id_, kind, (text, _) in about:
            self.items.append({"type": f"{kind}_output", "call_id": id_, "output": text})
        return True
