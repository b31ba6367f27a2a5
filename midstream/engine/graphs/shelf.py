"""The code of graphs by name, some of which is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping

from midstream.engine.graphs.graph import Graph


class Shelf(MutableMapping[str, Graph]):
    """Graphs by name: most processes run no agent, and to make the graph of one takes as long as to begin a node.

    Args:
        graphs: What stands on it from the beginning.
    """

    def __init__(self, graphs: Mapping[str, Graph] | None = None) -> None:
        self._made: dict[str, Graph] = dict(graphs or {})
        self._makers: dict[str, Callable[[], Graph]] = {}

    def offer(self, name: str, maker: Callable[[], Graph]) -> None:
        """Have a graph that is made when somebody asks for it."""
        self._makers[name] = maker

    def __getitem__(self, name: str) -> Graph:
        if name in self._makers:
            self._made[name] = self._makers.pop(name)()
        return self._made[name]

    def __setitem__(self, name: str, graph: Graph) -> None:
        self._makers.pop(name, None)
        self._made[name] = graph

    def __delitem__(self, name: str) -> None:
        if self._makers.pop(name, None) is None:
            del self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._made or name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter((*self._makers, *self._made))

    def __len__(self) -> int:
        return len(self._makers) + len(self._made)
