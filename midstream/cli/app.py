"""The commands and their options; what they do is imported when one is run, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from midstream.cli.app_conversations import COMMANDS
from midstream.cli.app_debugging import COMMANDS as DEBUGGING
from midstream.cli.app_debugging import export_app
from midstream.cli.exits import MEANINGS, carry_out
from midstream.cli.experience import app as experience
from midstream.cli.options import By, Lease, Quiet, Reason, RunArgument, Tags
from midstream.cli.routing_commands import GROUPS
from midstream.cli.settings import DEFAULT_DB, SETTINGS, Settings

_EVERYWHERE = "--db, --config, --json and --no-color may stand before or after the command."

app = typer.Typer(
    name="midstream",
    help="Runs of LLM work that survive a crash and change models midstream.",
    epilog=f"{MEANINGS} {_EVERYWHERE}",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("midstream"))
        except PackageNotFoundError:
            import midstream

            typer.echo(midstream.__version__)
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    db: Annotated[
        Path | None,
        typer.Option("--db", envvar="MIDSTREAM_DB", metavar="FILE", help="The store [runs.db]."),
    ] = None,
    config: Annotated[
        str,
        typer.Option(
            "--config",
            envvar="MIDSTREAM_CONFIG",
            metavar="FILE",
            help="Groups, pools and endpoints [midstream.yaml].",
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout, with the API's names.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="As NO_COLOR does.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keep what was said for all commands."""
    SETTINGS.set(
        Settings(
            db=db or DEFAULT_DB,
            as_json=as_json,
            color=not no_color,
            db_given=_on_command_line(ctx, "db"),
            config=config,
        )
    )


@app.command()
def demo(
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask the vendors, with OPENAI_API_KEY and ANTHROPIC_API_KEY."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what the tools and the processes wrote, too.")
    ] = False,
) -> None:
    """Kill a run in the middle of a tool loop, resume it, and move it to another provider's model.

    Needs no key: a stand-in for both providers answers on this machine, over real HTTP, to the vendors' real SDKs.
    """
    from midstream.cli.demo import demonstrate

    carry_out(demonstrate(live=live, keep=keep))


@app.command()
def start(
    graph: Annotated[str, typer.Argument(metavar="MODULE:GRAPH", help="As in trips:trip.")],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "-i", metavar="K=V", help="An input: JSON where it is JSON, else text. Repeat."
        ),
    ] = None,
    file: Annotated[
        str, typer.Option("--input", metavar="FILE", help="Inputs as a JSON object; - is stdin.")
    ] = "",
    run_id: Annotated[
        str, typer.Option("--run-id", help="The same id with the same inputs is the same run.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="PROVIDER:MODEL", help="Of calls that name none.")
    ] = "",
    tag: Tags = None,
    lease: Lease = 15.0,
    quiet: Quiet = False,
) -> None:
    """Start a run and drive it here; its output is written to stdout."""
    from midstream.cli import drive

    carry_out(
        drive.start(
            graph,
            given=given or (),
            file=file,
            run_id=run_id,
            model=model,
            tags=tag or (),
            lease=lease,
            quiet=quiet,
        )
    )


@app.command()
def runs(
    status: Annotated[
        str, typer.Option("--status", "-s", help="running, paused, completed, failed, cancelled.")
    ] = "",
    graph: Annotated[str, typer.Option("--graph", help="Only of this graph.")] = "",
    tag: Tags = None,
    limit: Annotated[int, typer.Option("-n", min=1, help="At most so many.")] = 20,
) -> None:
    """List runs, the newest first."""
    from midstream.cli.runs import list_runs

    carry_out(list_runs(status, graph, tag or (), limit))


@app.command()
def show(
    run: RunArgument = "@last",
    at: Annotated[
        str, typer.Option("--at", metavar="N|STEP", help="As it stood then; also RUN@N.")
    ] = "",
    state: Annotated[
        bool, typer.Option("--state", help="Inputs, what each step returned, and calls.")
    ] = False,
) -> None:
    """Show one run on one screen: where it stands, what it waits for, and what to do next."""
    from midstream.cli import show as showing

    carry_out(showing.show(run, at=at, whole=state))


@app.command()
def tail(
    run: RunArgument = "@last",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes.")] = False,
    after: Annotated[int, typer.Option("--after", min=0, help="Events after this one.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="The whole data of each event.")] = False,
) -> None:
    """Write the events of a run, one line each; Ctrl-C leaves the run alone."""
    from midstream.cli import tail as tailing

    carry_out(tailing.tail(run, follow=follow, after=after, full=full))


@app.command()
def resume(
    run: RunArgument,
    graph: Annotated[
        list[str] | None,
        typer.Option("--graph", metavar="MODULE:GRAPH", help="The run's code. May be repeated."),
    ] = None,
    by: By = "",
    lease: Lease = 15.0,
    wait: Annotated[
        bool, typer.Option(help="Wait for the lease of a driver that may have died.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Take a run over where nobody drives it, or let a paused one go on."""
    from midstream.cli import drive

    carry_out(drive.resume(run, places=graph or (), by=by, lease=lease, wait=wait, quiet=quiet))


@app.command()
def migrate(
    run: RunArgument,
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER:MODEL", help="Who goes on.")],
    scope: Annotated[str, typer.Option("--scope", help="run, node:NAME or thread:NAME.")] = "run",
    source: Annotated[
        str, typer.Option("--source", metavar="MODEL", help="Only calls that would go to it.")
    ] = "",
    when: Annotated[
        str, typer.Option("--when", help="next: after the call in flight; now: abandon that call.")
    ] = "next",
    handoff: Annotated[
        str, typer.Option("--handoff", help="brief: tell it where the run stands; or none.")
    ] = "none",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it means.")] = False,
    by: By = "",
) -> None:
    """Go on with another model, and say what it cannot be told."""
    from midstream.cli import wishes

    carry_out(
        wishes.migrate(
            run,
            to=to,
            scope=scope,
            source=source,
            when=when,
            handoff=handoff,
            dry_run=dry_run,
            by=by,
        )
    )


@app.command()
def pause(run: RunArgument, reason: Reason = "", by: By = "") -> None:
    """Start nothing further; what is in flight ends and is recorded."""
    from midstream.cli import wishes

    carry_out(wishes.pause(run, reason=reason, by=by))


@app.command()
def cancel(run: RunArgument, reason: Reason = "", by: By = "") -> None:
    """End a run; every call that is open gets a recorded end."""
    from midstream.cli import wishes

    carry_out(wishes.cancel(run, reason=reason, by=by))


@app.command()
def settle(
    run: RunArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="As `midstream show RUN` names it.")],
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What the call returned.")
    ] = None,
    error: Annotated[str, typer.Option("--error", metavar="TEXT", help="How it failed.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="It did nothing; call it again.")] = False,
    by: By = "",
) -> None:
    """Say what became of an unsafe tool call that was in flight when its process ended."""
    from midstream.cli import wishes

    carry_out(wishes.settle(run, step, result=result, error=error, retry=retry, by=by))


@app.command()
def feedback(
    run: RunArgument = "@last",
    step: Annotated[
        str, typer.Argument(metavar="[STEP]", help="As in plan#1; the whole run, if none.")
    ] = "",
    good: Annotated[bool, typer.Option("--good", help="It was right.")] = False,
    bad: Annotated[bool, typer.Option("--bad", help="It was wrong.")] = False,
    correct: Annotated[
        str, typer.Option("--correct", metavar="TEXT", help="What would have been right.")
    ] = "",
    score: Annotated[
        float | None, typer.Option("--score", min=0, max=1, metavar="X", help="From 0 to 1.")
    ] = None,
    text: Annotated[str, typer.Option("--text", help="Why.")] = "",
    by: By = "",
    program: Annotated[
        bool, typer.Option("--program", help="A test or a callback says so, not a person.")
    ] = False,
    id_: Annotated[str, typer.Option("--id", help="The same id twice counts once.")] = "",
) -> None:
    """Say how good a run or a step was; without options, a key press for each step."""
    from midstream.cli import feedback as judging

    carry_out(
        judging.feedback(
            run,
            step,
            good=good,
            bad=bad,
            correct=correct,
            score=score,
            text=text,
            by=by,
            program=program,
            id=id_,
        )
    )


@app.command()
def questions(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Of this run; of all, if none.")] = "",
) -> None:
    """List what people are asked, and how to answer."""
    from midstream.cli import people

    carry_out(people.questions(run))


@app.command()
def answer(
    run: RunArgument,
    question: Annotated[str, typer.Argument(metavar="ID", help="As `midstream questions` says.")],
    approved: Annotated[
        bool | None, typer.Option("--yes/--no", help="Where that is asked.")
    ] = None,
    value: Annotated[
        str | None, typer.Option("--value", metavar="JSON", help="The value, or a remark.")
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", metavar="K=V", help="A changed argument. May be repeated."),
    ] = None,
    by: By = "",
) -> None:
    """Answer a question of a run, once; whoever drives it hears of it."""
    from midstream.cli import people

    carry_out(
        people.answer(
            run, question, approved=approved, value=value, arguments=argument or (), by=by
        )
    )


@app.command()
def verify(
    run: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="All, if none.")
    ] = None,
    anchor: Annotated[
        str, typer.Option("--anchor", metavar="FILE", help="Heads that were kept elsewhere.")
    ] = "",
    save_anchor: Annotated[
        str, typer.Option("--save-anchor", metavar="FILE", help="Write the heads of sound runs.")
    ] = "",
) -> None:
    """Check that every event is what was written; without an anchor, the end is not checked (exit 3)."""
    from midstream.cli.checking import check

    carry_out(check(run or (), anchor=anchor, save_anchor=save_anchor))


app.add_typer(experience, name="experience")


mcp_app = typer.Typer(help="Speak MCP.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(mcp_app, name="mcp")


@mcp_app.command("serve")
def mcp_serve() -> None:
    """Offer the runs of the store as MCP tools over stdin and stdout: list, show, view, and answer a question."""
    from midstream.cli import mcp_server

    carry_out(mcp_server.serve())


@app.command()
def doctor(
    what: Annotated[
        str, typer.Argument(metavar="[config]", help="config: what is in force, and why.")
    ] = "",
) -> None:
    """Check this machine, and say what to do about what is missing; or print the configuration in force."""
    if what == "config":
        from midstream.cli import configuring

        carry_out(configuring.effective())
    if what:
        raise typer.BadParameter(f"{what!r} is nothing to look at; say config, or nothing")
    from midstream.cli import doctor as examining

    carry_out(examining.doctor())


for _name, _command in {**COMMANDS, **DEBUGGING}.items():
    app.command(_name)(_command)
for _group in GROUPS:
    app.add_typer(_group)
app.add_typer(export_app, name="export")


def main() -> None:
    """Run the command line; exits the process."""
    arguments = sys.argv[1:]
    app(globals_first(arguments), prog_name="midstream")


def globals_first(arguments: list[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere."""
    front: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for word in given:
        if word == "--":
            rest += [word, *given]
        elif word in ("--db", "--config"):
            front += [word, *(value for value in [next(given, None)] if value is not None)]
        elif word in ("--json", "--no-color") or word.startswith(("--db=", "--config=")):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def _on_command_line(ctx: typer.Context, option: str) -> bool:
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
