"""The commands about graphs: `graph show`, `graph draw`, `graph check`; see `app`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import group

graph = group(
    "graph", "Graphs, as code or as documents: what they hold, and whether they could run."
)

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET", help="MODULE:GRAPH, as in trips:trip, or a .yaml or .json file."
    ),
]


class Form(StrEnum):
    """What a graph is written as."""

    mermaid = "mermaid"
    dot = "dot"
    yaml = "yaml"
    json = "json"


@graph.command("show")
def show_graph(target: Target) -> None:
    """List the nodes of a graph: what each does, what it waits for, and its options."""
    from midstream.cli import graphs

    carry_out(graphs.show(target))


@graph.command("draw")
def draw_graph(
    target: Target,
    form: Annotated[Form, typer.Option("--format", help="dot is for Graphviz.")] = Form.mermaid,
) -> None:
    """Draw a graph, or write it as a document that `midstream start` reads."""
    from midstream.cli import graphs

    carry_out(graphs.draw(target, form.value))


@graph.command("check")
def check_graph(target: Target) -> None:
    """Say whether a graph could run; exits 1 where it could not."""
    from midstream.cli import graphs

    carry_out(graphs.check(target))
