"""Reading documents: what is refused, with its place and its remedy, and what names stand for."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midstream import Engine, Graph
from midstream.errors import GraphError
from tests.engine.documents import code

HEAD = "name: trip\nnodes:\n"
CODE = "tests.engine.documents.code"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "line 1: no YAML"),
        ("just words", "pass Path('just words')"),
        ("[1]", "holds no mapping"),
        ("nodes: {a: {type: llm, prompt: x}}", "'name' is missing"),
        ("name: x", "'nodes' is missing"),
        ("name: x\nnodes: {}", "line 2: nodes"),
        ("format: 2\nname: x\nnodes: {a: {type: llm, prompt: x}}", "line 1: format"),
        ("name: x\nname: y", "line 2: no YAML: key 'name' stands twice"),
        (
            f"{HEAD}  a:\n    type: llm\n    promt: x",
            "line 5: nodes.a.promt: unknown key 'promt' (did you mean 'prompt'?)",
        ),
        (
            f"{HEAD}  a:\n    type: llm\n    prompt: x\n    retry: {{atempts: 3}}",
            "line 6: nodes.a.retry.atempts: unknown key 'atempts' (did you mean 'attempts'?)",
        ),
        (
            f"{HEAD}  a: {{type: lm, prompt: x}}",
            "line 3: nodes.a: type 'lm' is none of function, llm",
        ),
        (f"{HEAD}  a: {{prompt: x}}", "'type' is missing; it is one of"),
        (f"{HEAD}  a:\n    type: llm\n    prompt: x\n    schema: 3", "nodes.a.schema"),
        (f"{HEAD}  a: {{type: llm}}", "nodes.a: 'prompt' is missing"),
        (
            f"{HEAD}  a:\n    type: llm\n    prompt: '{{{{ x'",
            "line 3: nodes.a: graph 'trip': node 'a': prompt, line 1",
        ),
        (
            f"{HEAD}  a: {{type: llm, prompt: x, retry: {{attempts: 0}}}}",
            "attempts must be 1 or more",
        ),
        (
            f"{HEAD}  a: {{type: function, function: nope}}",
            "there is no function 'nope'; there are none",
        ),
        (f"{HEAD}  a: {{type: function, function: 'no.such:x'}}", "cannot import 'no.such'"),
        (f"{HEAD}  a: {{type: function, function: '{CODE}:nope'}}", "has no 'nope'"),
        (f"{HEAD}  a: {{type: function, function: '{CODE}:GUIDE'}}", "is a Agent, not a function"),
        (
            f"{HEAD}  a: {{type: llm, prompt: x, after: [b]}}",
            "is after 'b', but there is no such node",
        ),
        (
            f"{HEAD}  a: {{type: map, over: x, each: {{type: llm, prompt: x, model: m}}}}",
            "'model' is an option of the node",
        ),
        (f"{HEAD}  a: {{type: tool, tool: '{CODE}:search'}}", "needs an argument 'query'"),
        (f"{HEAD}  a: {{type: plan, goal: x}}", "line 3: nodes.a: 'nodes' is missing"),
        (f"{HEAD}  a: {{type: plan, goal: x, nodes: []}}", "line 3: nodes.a.nodes: "),
        (
            f"{HEAD}  a:\n    type: plan\n    goal: x\n    nodes: [nope]",
            "line 3: nodes.a: graph 'trip': there is no function 'nope'",
        ),
        (
            f"{HEAD}  a: {{type: plan, goal: x, nodes: ['{CODE}:search'], join: any}}",
            "'join' is no option of a plan; it has after, output",
        ),
        (
            f"{HEAD}  a: {{type: plan, goal: '{{{{ x', nodes: ['{CODE}:search']}}",
            "line 3: nodes.a: graph 'trip': plan 'a': goal",
        ),
        (
            f"{HEAD}  a: {{type: plan, goal: x, nodes: ['{CODE}:search'], on_failure: b}}",
            "on_failure must be 'fail', 'skip', 'reflect' or Continue",
        ),
        (
            "name: x\nfunctions: {act: null}\nnodes:\n  a: {type: llm, prompt: x}",
            "line 2: functions.act: there is no function 'act'",
        ),
        (
            f"name: x\nagents: {{guide: '{CODE}:search'}}\nnodes:\n  a: {{type: llm, prompt: x}}",
            "is a Tool, not an agent",
        ),
        (
            "name: x\ninputs: [city]\nnodes:\n  a: {type: llm, prompt: '{{ citi }}'}",
            "takes 'citi', which is neither a node nor an input (did you mean 'city'?)",
        ),
        (f"{HEAD}  a: {{type: llm, prompt: x, schema: Plan}}", "there is no type 'Plan'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph.from_yaml(text)
    assert said in str(caught.value)


def test_words_such_as_on_and_no_are_texts() -> None:
    text = f"{HEAD}  a: {{type: llm, prompt: no, retry: {{on: [timeout]}}}}"
    graph = Graph.from_yaml(text)
    assert graph.nodes["a"].retry.on == {"timeout"}
    assert graph.to_data()["nodes"]["a"]["prompt"] == "no"
    assert Graph.from_yaml(graph.to_yaml()).digest == graph.digest


def test_a_file_is_named_in_errors(tmp_path: Path) -> None:
    file = tmp_path / "trip.yaml"
    file.write_text(f"{HEAD}  a: {{type: llm, promt: x}}")
    with pytest.raises(GraphError, match=r"trip\.yaml, line 3: nodes\.a"):
        Graph.from_yaml(file)
    with pytest.raises(GraphError, match="cannot read"):
        Graph.from_json(tmp_path / "none.json")


def test_json_tells_the_line_of_what_is_no_json() -> None:
    with pytest.raises(GraphError, match="line 2: no JSON"):
        Graph.from_json('{\n"name": }')


def test_documents_of_others_import_nothing() -> None:
    text = f"{HEAD}  a: {{type: function, function: 'os:getcwd'}}"
    with pytest.raises(GraphError, match="would be imported, which this reader does not do"):
        Graph.from_yaml(text, imports=False)


async def test_names_are_what_the_reader_gives() -> None:
    text = f"""{HEAD}
  a: {{type: function, function: act}}
  b: {{type: llm, prompt: "{{{{ a }}}}", schema: Sights, tools: [look], when: is_two}}
"""
    graph = Graph.from_yaml(
        text,
        functions={"act": lambda: 2, "is_two": lambda a: a == 2, "look": code.search},
        types={"Sights": code.Sights},
        imports=False,
    )
    async with Engine.memory(models={"m": ['{"names": ["x"]}']}) as engine:
        assert await (await engine.start(graph, model="m")) == {"names": ["x"]}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda g: g.add_node("a", lambda: 1), "node 'a': its function is"),
        (
            lambda g: g.add_node("a", code.double, when=lambda number: True),
            "write it as a template",
        ),
        (lambda g: g.map("a", code.double, over=lambda: [1]), "over= is"),
        (lambda g: g.map("a", code.double, over="x", key=lambda item: item), "key= is"),
        (lambda g: g.llm("a", "x", schema=local_type()), "move it to the top of a module"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_remedy(make: Any, said: str) -> None:
    graph = Graph("g")
    make(graph)
    with pytest.raises(GraphError) as caught:
        graph.to_json()
    assert said in str(caught.value)


def test_a_graph_inside_is_named_inline_given_or_imported() -> None:
    inner = Graph("inner")
    inner.llm("a", "{{ city }}")
    inline = "graphs: {inner: {nodes: {a: {type: llm, prompt: '{{ city }}'}}}}"
    text = "name: outer\nnodes:\n  b: {type: subgraph, graph: inner}\n"
    found = Graph.from_yaml(text + inline)
    assert found.digest == Graph.from_yaml(text, graphs={"inner": inner}).digest
    assert found.digest == Graph.from_json(found.to_json()).digest
    with pytest.raises(GraphError, match="there is no graph 'inner'; there are outer"):
        Graph.from_yaml(text)
    with pytest.raises(GraphError, match="is a Tool, not a graph"):
        Graph.from_yaml(text.replace("graph: inner", f"graph: '{CODE}:search'"))
    with pytest.raises(
        GraphError, match=r"line 4: graphs\.inner\.nodes\.a: .*a parameter of its own name"
    ):
        Graph.from_yaml(text + inline.replace("city", "a"))


def local_type() -> type:
    class Local:
        """A class that cannot be imported."""

        name: str

        def __init__(self, name: str) -> None: ...

    from dataclasses import dataclass

    return dataclass(Local)


def test_variables_are_inputs_that_need_not_be_given() -> None:
    graph = Graph.from_yaml(
        "name: x\nvariables: {city: Rome, more: 1}\nnodes:\n  a: {type: llm, prompt: '{{ city }}'}"
    )
    assert graph.input_names == {"city": False}
    assert graph.with_variables({}) == {"city": "Rome"}
    assert graph.with_variables({"city": "Oslo"}) == {"city": "Oslo"}


async def test_a_variable_is_recorded_as_an_input() -> None:
    graph = Graph("x", variables={"city": "Rome"})
    graph.llm("a", "{{ city }}")
    async with Engine.memory(models={"m": lambda said: said[-1].text}) as engine:
        run = await engine.start(graph, model="m", run_id="r")
        assert await run == "Rome"
        assert dict((await run.state()).inputs) == {"city": "Rome"}
        assert await (await engine.start(graph, model="m", run_id="r")) == "Rome"


def test_the_format_is_published_as_json_schema() -> None:
    schema = Graph.json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) >= {"format", "name", "nodes", "variables"}
    assert sorted(schema["required"]) == ["name", "nodes"]
    assert "schema" in schema["$defs"]["LlmNode"]["properties"]


def test_a_file_that_is_not_there_is_refused_with_what_might_be_meant(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"YAML and JSON files in .*: none"):
        Graph.from_yaml(tmp_path / "trip.yaml")
    (tmp_path / "trip.yml").write_text("name: trip")
    with pytest.raises(GraphError, match=r"did you mean '.*trip\.yml'\?"):
        Graph.from_yaml(tmp_path / "trip.yaml")
    with pytest.raises(GraphError, match=r"files in .*: trip\.yml"):
        Graph.from_json(tmp_path / "other.json")
    with pytest.raises(GraphError, match="there is no folder"):
        Graph.from_json(tmp_path / "nowhere" / "trip.json")
    with pytest.raises(GraphError, match="give the path of a YAML or JSON file"):
        Graph.from_yaml(tmp_path)


def test_an_option_that_a_reader_does_not_know_is_refused() -> None:
    options: Any = {"function": {}}
    with pytest.raises(GraphError, match=r"'function' is no option .* functions"):
        Graph.from_yaml(f"{HEAD}  a: {{type: llm, prompt: x}}", **options)
