"""The commands about conversations of providers: `convert`, `import`, `say`, `messages`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import By, Quiet, RunArgument, Tags


def convert(
    request: Annotated[
        str, typer.Argument(metavar="[REQUEST.json]", help="A request body; - is stdin.")
    ] = "",
    source: Annotated[
        str,
        typer.Option("--from", metavar="DIALECT", help="Whose it is: openai-chat, anthropic, …"),
    ] = "",
    target: Annotated[str, typer.Option("--to", metavar="DIALECT", help="Whose it becomes.")] = "",
    model: Annotated[str, typer.Option("--model", help="Whom to ask, without the provider.")] = "",
    response: Annotated[
        str, typer.Option("--response", metavar="FILE", help="Its answer, JSON or a stream.")
    ] = "",
    out: Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="[stdout]")] = "",
    report: Annotated[
        str, typer.Option("--report", metavar="FILE", help="What was lost or repaired, as JSON.")
    ] = "",
    batch: Annotated[
        str, typer.Option("--batch", metavar="IN.jsonl", help="Many, a line for each; - is stdin.")
    ] = "",
) -> None:
    """Turn a request of one provider into one of another; nothing is sent, nothing is recorded."""
    from midstream.cli import convert as converting

    if batch:
        carry_out(converting.many(batch, out=out))
    carry_out(
        converting.one(
            request,
            source=source,
            target=target,
            model=model,
            response=response,
            out=out,
            report=report,
        )
    )


def import_(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="[jsonl] FILE",
            help="An exported log, a request body, or {request, response}; - is stdin.",
        ),
    ],
    as_run: Annotated[
        bool, typer.Option("--as-run", help="Make a run of a request; a log holds runs already.")
    ] = False,
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="DIALECT", help="Whose it is; seen from the body if not given."
        ),
    ] = "",
    response: Annotated[
        str, typer.Option("--response", metavar="FILE", help="Its answer, JSON or a stream.")
    ] = "",
    run_id: Annotated[str, typer.Option("--id", help="Of the run; made if not given.")] = "",
    tag: Tags = None,
    open_too: Annotated[
        bool, typer.Option("--open", help="Of a log, also runs that have not ended.")
    ] = False,
) -> None:
    """Bring in runs that were exported, or make a run of a recorded conversation, to look at and continue."""
    from midstream.cli import conversations

    if len(file) > 2 or file[:-1] not in ([], ["jsonl"]):
        raise typer.BadParameter(f"{' '.join(file)!r} names no single file; write one")
    carry_out(
        conversations.bring_in(
            file[-1],
            as_run=as_run,
            source=source,
            response=response,
            run_id=run_id,
            tags=tag or (),
            open_too=open_too,
        )
    )


def say(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is said; - is stdin.")] = "",
    end: Annotated[
        bool, typer.Option("--end", help="Nobody will say more: the run ends with the answer.")
    ] = False,
    graph: Annotated[
        str, typer.Option("--graph", metavar="MODULE:GRAPH", help="With the code of its tools.")
    ] = "",
    by: By = "",
    quiet: Quiet = False,
) -> None:
    """Say something in a conversation, and wait for the answer."""
    from midstream.cli import conversations

    carry_out(conversations.say_more(run, text, end=end, place=graph, by=by, quiet=quiet))


def messages(
    run: RunArgument = "@last",
    provider: Annotated[
        str, typer.Option("--provider", metavar="P", help="As it is told: PROVIDER[:MODEL].")
    ] = "",
    versus: Annotated[
        str, typer.Option("--versus", metavar="Q", help="And beside it, as this one is told.")
    ] = "",
    at: Annotated[
        str, typer.Option("--at", metavar="N|STEP", help="As it stood then; also RUN@N.")
    ] = "",
    thread: Annotated[str, typer.Option("--thread", help="The conversation of this name.")] = "",
    node: Annotated[str, typer.Option("--node", help="The newest conversation of it.")] = "",
    step: Annotated[str, typer.Option("--step", help="Of this model call or activation.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Texts in their whole length.")] = False,
) -> None:
    """Show a conversation of a run: neutral, as a model is told it, or as two are told it, with what is lost."""
    from midstream.cli import messages as showing

    carry_out(
        showing.show(
            run,
            provider=provider,
            versus=versus,
            at=at,
            thread=thread,
            node=node,
            step=step,
            full=full,
        )
    )


COMMANDS: Mapping[str, Callable[..., None]] = {
    "convert": convert,
    "import": import_,
    "say": say,
    "messages": messages,
}
"""By the names that people type."""
