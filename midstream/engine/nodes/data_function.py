"""Functions that are data: what a node of such a function does can be recorded whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue


class DataFunction(ABC):
    """A function that is data; see `midstream.engine.ready.functions`."""

    @abstractmethod
    def placed(self, where: str) -> DataFunction:
        """Return it as the function of a node, named as errors do: `graph 'trip': node 'plan'`."""

    @abstractmethod
    def for_items(self) -> DataFunction:
        """Return it as it is done for each item of a map, which it names `item`."""

    @abstractmethod
    def data(self) -> Mapping[str, JsonValue]:
        """Return it as it is recorded."""

    __call__: Callable[..., Any]
