"""What runs with the same tag have spent: a fold over the answers of all runs, read on from where it was."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from midstream.events.store import EventStore

_TYPES = frozenset(("run.created", "model.responded"))


class TagSpending:
    """Counts what was spent, by tag.

    Args:
        store: Where the runs are.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = 0
        self._tags: dict[str, Mapping[str, str]] = {}
        self._spent: dict[str, Decimal] = {}

    async def refresh(self) -> None:
        """Read what is new."""
        async for page in self._store.scan(after=self._position, types=_TYPES):
            for event in page:
                self._position = max(self._position, event.position)
                if event.type == "run.created":
                    tags = event.data.get("tags", {})
                    if tags:
                        self._tags[event.run_id] = tags
                    continue
                cost = event.data.get("cost")
                if cost is not None:
                    self._add(self._tags.get(event.run_id, {}), Decimal(cost["amount"]))

    def _add(self, tags: Mapping[str, str], amount: Decimal) -> None:
        for name, value in tags.items():
            key = f"{name}={value}"
            self._spent[key] = self._spent.get(key, Decimal(0)) + amount

    def by_tag(self, tags: Mapping[str, str]) -> dict[str, Decimal]:
        """Return what all runs with these tags have spent, in US dollars, by `name=value`."""
        keys = [f"{name}={value}" for name, value in tags.items()]
        return {key: self._spent.get(key, Decimal(0)) for key in keys}
