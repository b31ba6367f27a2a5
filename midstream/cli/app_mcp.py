"""The commands of `midstream mcp`; see `app`."""

from __future__ import annotations

from midstream.cli.exits import carry_out
from midstream.cli.options import group

mcp = group("mcp", "Speak MCP.")


@mcp.command("serve")
def mcp_serve() -> None:
    """Offer the runs of the store as MCP tools over stdin and stdout: list, show, view, fork, and answer a question."""
    from midstream.cli import mcp_server

    carry_out(mcp_server.serve())
