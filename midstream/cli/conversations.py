"""`midstream import` and `midstream say`: a recorded conversation becomes a run, and goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from midstream.adapters.wire import is_array, is_object
from midstream.cli.convert import read_file
from midstream.cli.drive import converse, log_to_stderr
from midstream.cli.exits import OK
from midstream.cli.exporting import bring_in_log, is_log
from midstream.cli.given import graph_of, tags_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.engine.runs.conversation_graph import NAME, conversation
from midstream.errors import ConfigError, ConversionError


async def bring_in(
    file: str,
    *,
    as_run: bool,
    source: str,
    response: str,
    run_id: str,
    tags: Sequence[str],
    open_too: bool = False,
) -> int:
    """Make a run of a recorded conversation, or bring in runs that were exported.

    Args:
        file: A log that was exported, a request body, or an object that holds one and its answer; `-` is stdin.
        as_run: It must be said.
        source: Its wire format; empty to see it from the body.
        response: The file of its answer, or empty.
        run_id: The run's id, or empty.
        tags: As in `team=blue`.
        open_too: Of a log, also runs that have not ended.
    """
    log_to_stderr()
    body = read_file(file)
    if is_log(body):
        return await bring_in_log(body, open_too=open_too)
    if not as_run:
        raise ConfigError("import makes a run of a conversation; say so with --as-run")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ConversionError(f"{file} is not JSON: {error}") from error
    request, answer, named = _parts(found)
    if response:
        answer = read_file(response)
    dialect = source or named or seen(request)
    async with engine(new=True) as opened:
        run = await opened.import_conversation(
            request, source=dialect, response=answer, run_id=run_id or None, tags=tags_of(tags)
        )
        state = await run.state()
        count = len(await run.messages())
    if SETTINGS.get().as_json:
        put_json({"run_id": run.id, "dialect": dialect, "model": state.model, "messages": count})
        return OK
    put(run.id)
    say(f"{count} messages with {state.model}, read as {dialect}")
    say(f"look at it with `{command('messages', run.id)}`")
    say(f"move it with `{command('migrate', run.id, '--to', 'PROVIDER:MODEL')}`")
    say(f"go on with it with `{command('resume', run.id)}`")
    return OK


def _parts(found: Any) -> tuple[Any, Any, str]:
    """Return the request, its answer or None, and the name of its wire format or an empty text."""
    if is_object(found) and is_object(found.get("request")):
        named = found.get("source")
        return found["request"], found.get("response"), named if isinstance(named, str) else ""
    return found, None, ""


def seen(request: Any) -> str:
    """Return the wire format of a request, seen from its fields.

    Raises:
        ConversionError: It looks like none.
    """
    if is_object(request):
        if "contents" in request:
            return "gemini"
        if "input" in request:
            return "openai-responses"
        if is_array(request.get("messages")):
            return "anthropic" if _of_anthropic(request) else "openai-chat"
    raise ConversionError(
        "the file is no request body: it has neither messages, nor input, nor contents; "
        "name its wire format with --from if it is one"
    )


def _of_anthropic(request: Mapping[str, Any]) -> bool:
    """Tell Messages from Chat Completions, which share the name of the field."""
    if "system" in request or "claude" in str(request.get("model", "")):
        return True
    tools = request.get("tools")
    if is_array(tools) and tools:
        return any(is_object(tool) and "input_schema" in tool for tool in tools)
    blocks = [
        block
        for message in request["messages"]
        if is_object(message) and is_array(message.get("content"))
        for block in message["content"]
    ]
    kinds = {block.get("type") for block in blocks if is_object(block)}
    return bool(kinds & {"tool_use", "tool_result", "thinking", "image", "document"})


async def say_more(wanted: str, text: str, *, end: bool, place: str, by: str, quiet: bool) -> int:
    """Say something in a conversation, and wait for the answer.

    Args:
        wanted: The run.
        text: What is said; `-` is stdin, empty with `end` says nothing.
        end: Nobody will say more.
        place: `MODULE:GRAPH` of a `midstream.conversation(tools)`, or empty.
        by: Who says it.
        quiet: Say nothing of what happens in between.
    """
    log_to_stderr()
    if not text and not end:
        raise ConfigError("say what? give a TEXT, - for stdin, or --end")
    graph = graph_of(place) if place else conversation()
    async with engine(graphs=(graph,)) as opened:
        info = await find_run(opened.store, wanted)
        if info.graph != NAME or graph.name != NAME:
            raise ConfigError(
                f"run {info.run_id!r} is of graph {info.graph!r}, which hears nobody on the command line; "
                f"only conversations do, which `{command('import', 'FILE', '--as-run')}` makes"
            )
        run = opened.run(info.run_id)
        if text:
            await run.say(sys.stdin.read() if text == "-" else text, by=by)
        if end:
            await run.say(None, by=by)
        await run.resume(by=by)
        return await converse(run, after=info.seq, quiet=quiet)
