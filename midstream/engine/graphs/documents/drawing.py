"""A graph as a drawing, for Mermaid or Graphviz: what a node does by its shape, values as arrows, order as dotted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from midstream.engine.nodes.node import ITEMS, Node
from midstream.engine.nodes.tool_node import code_of
from midstream.engine.ready.planner import planned_of
from midstream.engine.ready.ready_node import Ready

_SHAPES = {
    "function": ("[", "]"),
    "llm": ("([", "])"),
    "tool": ("[[", "]]"),
    "agent": ("{{", "}}"),
    "question": ("[/", "/]"),
    "map": ("[\\", "\\]"),
    "subgraph": ("[[", "]]"),
    "plan": ("[(", ")]"),
}
_FORMS = {
    "function": "box",
    "llm": "ellipse",
    "tool": "component",
    "agent": "hexagon",
    "question": "parallelogram",
    "map": "box3d",
    "subgraph": "folder",
    "plan": "note",
}
_LONGEST = 40


def kind_of_node(node: Node) -> str:
    """Return what a node is: `function`, `llm`, `tool`, `agent`, `question`, `map`, `subgraph` or `plan`."""
    if planned_of(node) is not None:
        return "plan"
    if node.over is not None:
        return "map"
    if node.graph is not None:
        return "subgraph"
    code = code_of(node.function)
    if isinstance(code, Ready):
        return code.spec.type
    return "function" if code is node.function else "tool"


def edges(nodes: Mapping[str, Node]) -> Iterator[tuple[str, str, str]]:
    """Return each edge as its source, its target, and the parameter that takes the value; empty for order alone."""
    for name, node in nodes.items():
        taken = dict[str, None]()
        for parameter in node.waits:
            if parameter.source in nodes:
                taken[parameter.source] = None
                yield parameter.source, name, parameter.name
        asked = () if node.when is None else node.when.parameters
        for needed in dict.fromkeys((*node.after, *(p.source for p in asked))):
            if needed in nodes and needed not in taken:
                yield needed, name, ""


def mermaid(nodes: Mapping[str, Node]) -> str:
    """Return the flowchart."""
    ids = {name: f"n{place}" for place, name in enumerate(nodes)}
    lines = ["flowchart TD"]
    for name, node in nodes.items():
        opening, closing = _SHAPES[kind_of_node(node)]
        lines.append(f"    {ids[name]}{opening}{_quoted(_label(node))}{closing}")
    for source, target, parameter in edges(nodes):
        alike = parameter in ("", source) or parameter.startswith(ITEMS)
        arrow = "-->" if parameter else "-.->"
        said = "" if alike else f"|{_quoted(parameter)}|"
        lines.append(f"    {ids[source]} {arrow}{said} {ids[target]}")
    for name, node in nodes.items():
        if isinstance(node.on_failure, str) and node.on_failure in nodes:
            lines.append(f'    {ids[name]} -. "on failure" .-> {ids[node.on_failure]}')
        if node.undo in nodes:
            lines.append(f'    {ids[name]} -. "undone by" .-> {ids[node.undo]}')
    ends = ",".join(ids[name] for name, node in nodes.items() if node.output)
    if ends:
        lines += ["    classDef output stroke-width:3px", f"    class {ends} output"]
    return "\n".join(lines) + "\n"


def dot(nodes: Mapping[str, Node]) -> str:
    """Return the graph in the language of Graphviz."""
    lines = ["digraph {"]
    for name, node in nodes.items():
        bold = ", style=bold" if node.output else ""
        label = "\\n".join(_in_quotes(one) for one in _said(node))
        lines.append(
            f'  "{_in_quotes(name)}" [shape={_FORMS[kind_of_node(node)]}, label="{label}"{bold}];'
        )
    for source, target, parameter in edges(nodes):
        alike = parameter in ("", source) or parameter.startswith(ITEMS)
        told = [] if parameter else ["style=dotted"]
        told += [] if alike else [f'label="{_in_quotes(parameter)}"']
        options = f" [{', '.join(told)}]" if told else ""
        lines.append(f'  "{_in_quotes(source)}" -> "{_in_quotes(target)}"{options};')
    return "\n".join([*lines, "}"]) + "\n"


def _in_quotes(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _label(node: Node) -> str:
    return "<br/>".join(_escaped(one) for one in _said(node))


def _said(node: Node) -> list[str]:
    said = [node.name]
    if node.when is not None:
        said.append(f"when {_short(node.when.name or 'a function says so')}")
    if node.over is not None:
        items = node.over.items
        over = node.over.source or (items.name if items is not None else "") or "a function"
        said.append(f"for each of {_short(over)}")
    if not node.start:
        said.append("when called")
    return said


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    """Return the text with what Mermaid would read as its own written as entities."""
    return "".join(char if char.isalnum() or char in " ._-…" else f"#{ord(char)};" for char in text)


def _quoted(text: str) -> str:
    return f'"{text}"'
