"""Reading the settings of a request: each is taken once, as the type it must be, and what is left over is reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import JsonValue

from midstream.adapters.capabilities import nearest_effort
from midstream.adapters.changes import Repair, loss, repair
from midstream.adapters.native import NATIVE
from midstream.adapters.output import SETTING, OutputSchema, output_schema
from midstream.events.payloads import Change

TIGHT = 1_024
"""Tokens below which a limit may be used up by reasoning alone: the least budget to think that Anthropic takes.

OpenAI advises 25,000 to begin with; an answer that was cut off for its reasoning alone was recorded with several hundred.
"""


class Wishes:
    """What a caller asked for, against what a model takes.

    Args:
        settings: As the caller gave them; None stands for not given.
        accepted: What the model takes; the others are dropped and reported.
        model: For the report.
    """

    def __init__(
        self, settings: Mapping[str, JsonValue], accepted: Collection[str], model: str
    ) -> None:
        self.changes: list[Change] = []
        self._model = model
        self._left = {name: value for name, value in settings.items() if value is not None}
        self._left.pop(NATIVE, None)  # the body sees to it
        for name in [name for name in self._left if name not in accepted and name != SETTING]:
            self.drop(name, f"{model} does not take it")

    def drop(self, name: str, reason: str) -> None:
        """Leave a setting out, and say so."""
        value = self._left.pop(name, None)
        self.changes.append(loss("setting_dropped", 0, f"{name}={value!r}: {reason}"))

    def note(self, kind: Repair, detail: str) -> None:
        """Say that a setting was told otherwise."""
        self.changes.append(repair(kind, 0, detail))

    def suspend(self, reason: str) -> None:
        """Say that the model is not told to think in this request."""
        self.changes.append(repair("thinking_suspended", 0, reason))

    def number(self, name: str, low: float, high: float | None) -> float | None:
        """Take a number, put into its range."""
        value = self._left.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            self.drop(name, "it is not a number")
            return None
        del self._left[name]
        kept = max(low, value if high is None else min(high, value))
        if kept != value:
            self.note("setting_clamped", f"{name}={value!r} becomes {kept!r}")
        return kept

    def integer(self, name: str, low: int, high: int | None) -> int | None:
        """Take a whole number, put into its range."""
        value = self.number(name, low, high)
        return None if value is None else int(value)

    def flag(self, name: str) -> bool | None:
        """Take a yes or no."""
        value = self._left.get(name)
        if value is None or isinstance(value, bool):
            self._left.pop(name, None)
            return value
        self.drop(name, "it is neither true nor false")
        return None

    def tight(self, limit: int | None) -> None:
        """Say that the reasoning of the model counts against a limit that leaves little room for an answer."""
        if limit is not None and limit < TIGHT:
            self.note("limit_tight", f"max_tokens={limit}: reasoning counts, and may use it up")

    def text(self, name: str) -> str | None:
        """Take a text."""
        value = self._left.get(name)
        if value is None or isinstance(value, str):
            self._left.pop(name, None)
            return value
        self.drop(name, "it is not a text")
        return None

    def output(self) -> OutputSchema | None:
        """Take what the answer must be."""
        value = self._left.get(SETTING)
        found = output_schema(value)
        if value is not None and found is None:
            self.drop(SETTING, "it is not {name, schema, …}")
            return None
        self._left.pop(SETTING, None)
        return found

    def effort(self, known: tuple[str, ...]) -> str | None:
        """Take the effort, as the nearest level that the model knows."""
        wanted = self.text("reasoning_effort")
        if wanted is None:
            return None
        found = nearest_effort(wanted, known)
        if found is None:
            self._left["reasoning_effort"] = wanted
            self.drop("reasoning_effort", f"{self._model} knows no such level")
        elif found != wanted:
            self.note("setting_clamped", f"reasoning_effort={wanted!r} becomes {found!r}")
        return found

    def stops(self, most: int | None, *, blank: bool) -> list[str]:
        """Take the stop sequences.

        Args:
            most: How many the provider takes; None for any number.
            blank: It takes sequences of white space only.
        """
        value = self._left.pop("stop", None)
        if value is None:
            return []
        wanted = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        kept = [
            item for item in wanted if isinstance(item, str) and item and (blank or item.strip())
        ]
        kept = kept[:most]
        if kept != wanted:
            self.changes.append(loss("setting_dropped", 0, f"stop={value!r} becomes {kept!r}"))
        return kept
