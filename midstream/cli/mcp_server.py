"""`mcp serve`: the runs of a store as tools for whoever speaks MCP; needs the extra `midstream[mcp]`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import OK
from midstream.cli.moments import moment_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, reading
from midstream.engine.people.answers import open_questions
from midstream.engine.recording.snapshots import load_run
from midstream.errors import ConfigError, MidstreamError
from midstream.events.store import RunQuery
from midstream.projections.timeline import line


async def serve() -> int:
    """Serve over stdin and stdout until the client has gone.

    Raises:
        ConfigError: The extra is not installed.
    """
    log_to_stderr()
    async with reading():
        pass  # there is a store, or this says so before anybody is served
    await made().run_stdio_async()
    return OK


def made() -> Any:
    """Return the server.

    Raises:
        ConfigError: The extra is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise ConfigError("MCP needs the extra: pip install 'midstream[mcp]'") from error
    server: Any = MCPServer("midstream", instructions="The runs of a midstream store.")
    looking = ToolAnnotations(read_only_hint=True)
    for look in (list_runs, show_run, view_run):
        server.tool(annotations=looking)(look)
    adding = ToolAnnotations(destructive_hint=False)
    for add in (answer_question, fork_run):
        server.tool(annotations=adding)(add)
    return server


async def list_runs(graph: str = "", limit: int = 20) -> list[dict[str, Any]]:
    """List runs, the newest first."""
    async with reading() as store:
        infos = await store.runs(RunQuery(graph=graph or None, limit=limit))
    names = ("run_id", "graph", "status", "seq")
    return [
        {**{name: getattr(info, name) for name in names}, "tags": dict(info.tags)} for info in infos
    ]


async def show_run(run: str, after: int = 0) -> dict[str, Any]:
    """Show where a run stands, what it asks people, and what happened in it, one line an event.

    Args:
        run: Its id, or the beginning of it.
        after: Only events after this one.
    """
    async with reading() as store:
        info = await _found(store, run)
        state = await load_run(store, info.run_id)
        lines = [line(event) async for event in store.read(info.run_id, after=after)]
    return {
        "run_id": info.run_id,
        "status": state.status,
        "output": state.output,
        "questions": [asdict(one) for one in open_questions(info.run_id, state)],
        "events": [f"{one.seq} {one.type} {one.step} {one.text}".strip() for one in lines],
    }


async def view_run(run: str, step: str = "") -> list[dict[str, Any]]:
    """Return the newest conversation of a run, or that of a step, in neutral messages."""
    async with engine() as opened:
        info = await _found(opened.store, run)
        said = await opened.run(info.run_id).messages(step=step or None)
    return [one.model_dump(mode="json", exclude_defaults=True) for one in said]


async def answer_question(
    run: str, question: str, approved: bool | None = None, value: Any = None, by: str = "mcp"
) -> str:
    """Answer a question of a run, once: yes or no, or a value."""
    given = {} if value is None else {"value": value}
    async with engine() as opened:
        info = await _found(opened.store, run)
        try:
            await opened.run(info.run_id).answer(question, approved=approved, **given, by=by)
        except MidstreamError as error:
            return f"refused: {error}"
    return "answered"


async def fork_run(
    run: str,
    at: str = "",
    set_values: dict[str, Any] | None = None,
    model: str = "",
    prompts: dict[str, str] | None = None,
    fork_id: str = "",
    reason: str = "",
    by: str = "mcp",
) -> dict[str, Any]:
    """Make a new run that shares the beginning of another one; it is paused until somebody resumes it with its code.

    Args:
        run: The id of the run, or the beginning of it.
        at: The moment: a seq, a step such as `plan#1` (before it begins), or empty for the newest event.
        set_values: Inputs, outputs of nodes, or results of calls that are to be others.
        model: `provider:model` from there on; empty for no change.
        prompts: Prompts of nodes that are to be others, by node.
        fork_id: The id of the new run; empty for a made one.
        reason: Why.
        by: Who forks.
    """
    async with engine() as opened:
        info = await _found(opened.store, run)
        try:
            made = await opened.run(info.run_id).fork(
                at=moment_of(at),
                set=set_values,
                model=model,
                prompts=prompts or {},
                paused=True,
                run_id=fork_id or None,
                reason=reason,
                by=by,
            )
        except MidstreamError as error:
            return {"refused": str(error)}
        shared = (await opened.store.lineage(made.id))[-1].after
    return {"run_id": made.id, "parent": info.run_id, "shared": shared, "status": "paused"}


async def _found(store: Any, run: str) -> Any:
    return await find_run(store, run)
