"""Drawing: nodes by what they do, values and order by their arrows, and no text that Mermaid would obey."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from midstream import Graph
from midstream.engine.ready import functions as ready
from tests.engine.documents import code


def test_a_graph_is_drawn() -> None:
    graph = Graph("g")
    graph.tool("find", code.search, query="x")
    graph.add_node("told", code.described, when="{{ find | length > 2 }}", on_failure="handler")
    graph.llm("plan", "{{ told }}", output=True, after=["find"])
    graph.map("each", ready.llm("{{ item }}"), over="find")
    graph.agent("go", "x", after=["plan"], compensate=code.double)
    graph.question("sure", "{{ go }}")
    graph.add_node("handler", code.handle, start=False)
    assert graph.to_mermaid().splitlines() == [
        "flowchart TD",
        '    n0[["find"]]',
        '    n1["told<br/>when #123;#123; find #124; length #62; 2 #125;#125;"]',
        '    n2(["plan"])',
        '    n3[\\"each<br/>for each of find"\\]',
        '    n4{{"go"}}',
        '    n5["go.undo<br/>when called"]',
        '    n6[/"sure"/]',
        '    n7["handler<br/>when called"]',
        '    n0 -->|"facts"| n1',
        "    n1 --> n2",
        "    n0 -.-> n2",
        "    n0 --> n3",
        "    n2 -.-> n4",
        "    n4 --> n6",
        '    n1 -. "on failure" .-> n7',
        '    n4 -. "undone by" .-> n5',
        "    classDef output stroke-width:3px",
        "    class n2 output",
    ]


def test_names_that_mermaid_would_obey_are_only_shown() -> None:
    graph = Graph("g")
    graph.add_node("end", code.double)
    graph.add_node("a", lambda end: end, when='{{ end == "]-->x" }}')
    drawn = graph.to_mermaid()
    assert "]-->x" not in drawn
    assert 'n0["end"]' in drawn
