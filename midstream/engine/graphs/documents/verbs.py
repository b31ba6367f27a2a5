"""The verbs of a graph that are about documents: read from one, written as one, drawn."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from pydantic import JsonValue

from midstream.engine.limits import Limits
from midstream.engine.nodes.node import Node, NodeOptions
from midstream.engine.on_change import OnChange
from midstream.engine.ready.ready_verbs import ReadyVerbs
from midstream.engine.requests.context_policy import ContextOption, context_policy

if TYPE_CHECKING:
    from midstream.engine.graphs.documents.names import Known, Names
    from midstream.engine.graphs.documents.spec import InnerSpec
    from midstream.engine.graphs.documents.text import Document, Source


class Documented(ReadyVerbs):
    """Graphs as documents; see `Graph`.

    The same graph in either form: a document that was written of a graph is read as one of the same digest. Functions and
    tools stand in it by name, `module:name` where they can be imported, else as `Graph.register` names them.
    """

    version: str
    description: str
    context: ContextOption | None
    limits: Limits
    on_failure: Literal["fail", "reflect"]
    takes: tuple[str, ...] | None
    variables: Mapping[str, JsonValue]
    on_change: OnChange | None

    def map(
        self,
        name: str | None,
        function: Callable[..., Any] | str,
        *,
        over: str | Callable[..., Iterable[Any] | AsyncIterable[Any]],
        key: Callable[[Any], Any] | str | None = None,
        concurrency: int | None = None,
        order: Literal["results", "completed"] = "results",
        **options: Unpack[NodeOptions],
    ) -> Node:
        """See `Graph.map`."""
        raise NotImplementedError

    def check(self) -> None:
        """See `Graph.check`."""
        raise NotImplementedError

    @classmethod
    def from_yaml(cls, source: Source, **known: Unpack[Known]) -> Self:
        """Read a graph from YAML, see `docs/graphs-as-data.md` for the format; or a pipeline, which has `stages`.

        Args:
            source: The text, or a `Path` to a file.
            **known: What names in it stand for: `functions`, `agents`, `actions`, `types`, `graphs`, `imports`; see `Known`.

        Raises:
            GraphError: It is no such document, or a name in it stands for nothing; the message says on which line.
        """
        from midstream.engine.graphs.documents import text
        from midstream.engine.graphs.documents.names import Names

        return cls._from(text.read_yaml(source), Names(**known))

    @classmethod
    def from_json(cls, source: Source, **known: Unpack[Known]) -> Self:
        """Read a graph from JSON; see `from_yaml`."""
        from midstream.engine.graphs.documents import text
        from midstream.engine.graphs.documents.names import Names

        return cls._from(text.read_json(source), Names(**known))

    @classmethod
    def from_data(cls, data: Mapping[str, Any], **known: Unpack[Known]) -> Self:
        """Read a graph from plain data; see `from_yaml`."""
        from midstream.engine.graphs.documents.names import Names
        from midstream.engine.graphs.documents.text import Document

        return cls._from(Document(data, "the document"), Names(**known))

    @classmethod
    def _from(cls, document: Document, names: Names) -> Self:
        from midstream.engine.graphs.documents.pipeline import PipelineSpec, Stages, graph_of
        from midstream.engine.graphs.documents.reading import build, validated
        from midstream.engine.graphs.documents.spec import GraphSpec

        if "stages" in document.data:
            pipeline = validated(document, PipelineSpec)
            spec = graph_of(pipeline, document, names)
            document = Stages(document, pipeline.stages)
        else:
            spec = validated(document, GraphSpec)
        graph: Any = cls._made(spec.name, spec)
        inner = {name: cls._made(name, one) for name, one in spec.graphs.items()}
        names.graphs |= {**inner, spec.name: graph}
        for name, one in spec.graphs.items():
            build(inner[name], one, document, names, "graphs", name)
        build(graph, spec, document, names)
        graph.check()
        read: Self = graph
        return read

    @classmethod
    def _made(cls, name: str, spec: InnerSpec) -> Any:
        """Return a graph without nodes."""
        make: Any = cls  # a dataclass of these fields
        return make(
            name,
            version=spec.version,
            on_failure=spec.on_failure,
            description=spec.description,
            context=context_policy(spec.context),  # type: ignore[arg-type]  # its name is checked there
            limits=Limits() if spec.limits is None else spec.limits.made(),
            takes=spec.inputs,
            variables=dict(spec.variables),
            on_change=spec.on_change,
        )

    def to_data(self) -> dict[str, Any]:
        """Return the graph as plain data, in the format that `from_yaml` reads.

        Raises:
            GraphError: A function in it has no name that could be written.
        """
        from midstream.engine.graphs.documents.writing import document_of

        graph: Any = self  # all that is read of it is there; see `Graph`
        return document_of(graph)

    def to_json(self) -> str:
        """Return the graph as JSON; see `to_data`."""
        from midstream.engine.graphs.documents import text

        return text.to_json(self.to_data())

    def to_yaml(self) -> str:
        """Return the graph as YAML; see `to_data`."""
        from midstream.engine.graphs.documents import text

        return text.to_yaml(self.to_data())

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart."""
        from midstream.engine.graphs.documents.drawing import mermaid

        return mermaid(self.nodes)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of the documents that `from_yaml` reads."""
        from midstream.engine.graphs.documents.spec import json_schema

        return json_schema()
