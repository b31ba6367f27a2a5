"""`migrate`, `cancel`, `pause` and `settle`: what somebody wants of a run, whichever process drives it."""

from __future__ import annotations

import time
from typing import Any, get_args

from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import BAD, OK
from midstream.cli.given import json_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.cli.summary import SOURCE
from midstream.engine.policies.migrate import Handoff, MigrationPlan, When
from midstream.engine.runs.conversation_graph import NAME as CONVERSATION
from midstream.errors import ConfigError, MigrationError, ToolError
from midstream.events.store import RunInfo


async def migrate(
    wanted: str,
    *,
    to: str,
    scope: str,
    source: str,
    when: str,
    dry_run: bool,
    by: str,
    handoff: str = "none",
) -> int:
    """Move a run to another model, or only say what that means; see `Run.migrate`."""
    log_to_stderr()
    known: dict[str, When] = {name: name for name in get_args(When)}
    if when not in known:
        raise ConfigError(f"--when {when!r} is neither of {', '.join(known)}")
    ways: dict[str, Handoff] = {name: name for name in get_args(Handoff)}
    if handoff not in ways:
        raise ConfigError(f"--handoff {handoff!r} is neither of {', '.join(ways)}")
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        plan = await run.migrate(
            to,
            scope=scope,
            source=source,
            when=known[when],
            handoff=ways[handoff],
            dry_run=True,
            by=by,
        )
        if info.status not in ("running", "paused"):
            raise MigrationError(run.id, to, f"it has ended ({info.status})")
        if not dry_run:
            await plan.apply()
        _print_plan(plan, applied=not dry_run)
        if not dry_run:
            say_who_drives(info)
        return OK if plan.fits or plan.cuts else BAD


def _print_plan(plan: MigrationPlan, *, applied: bool) -> None:
    if SETTINGS.get().as_json:
        names = (
            "run_id",
            "target",
            "scope",
            "source",
            "when",
            "losses",
            "repairs",
            "conversations",
        )
        more = ("tokens", "context_window", "fits", "cost")
        put_json({"applied": applied, **{name: getattr(plan, name) for name in (*names, *more)}})
        return
    for line in plan_lines(plan):
        put(line)
    say(
        f"recorded: {plan.run_id} goes on with {plan.target}"
        if applied
        else "nothing was recorded; leave --dry-run away to do it"
    )


def plan_lines(plan: MigrationPlan) -> list[str]:
    """Return what a migration means, in words."""
    fits = (
        f"about {plan.tokens} tokens"
        if plan.context_window is None
        else f"about {plan.tokens} of {plan.context_window} tokens: {'fits' if plan.fits else 'DOES NOT FIT'}"
    )
    cost = "no price is known" if plan.cost is None else f"about ${plan.cost:.4f} to read it once"
    lines = [f"{plan.scope} to {plan.target}: {plan.conversations} conversations, {fits}, {cost}"]
    lines += [
        f"  {change.severity}  {change.kind}  {f'event {change.seq}: ' if change.seq else ''}{change.detail}"
        for change in plan.changes
    ]
    if not plan.changes:
        lines.append("  nothing is lost, nothing is told in another form")
    return lines


def say_who_drives(info: RunInfo) -> None:
    """Say how a run goes on that nobody drives."""
    if info.holder is None or info.until <= time.time():
        graph = info.tags.get(SOURCE, "MODULE:GRAPH")
        code = () if info.graph == CONVERSATION else ("--graph", graph)
        say(f"nobody drives it now; go on with `{command('resume', info.run_id, *code)}`")


async def cancel(wanted: str, *, reason: str, by: str) -> int:
    """End a run, and wait until it has ended."""
    log_to_stderr()
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        if info.status in ("running", "paused"):
            await run.cancel(reason, by=by)
        status = (await run.state()).status
    return _done(info, status, wanted="cancelled")


async def pause(wanted: str, *, reason: str, by: str) -> int:
    """Let a run start nothing further."""
    log_to_stderr()
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        if info.status == "running":
            await run.pause(reason, by=by)
        status = (await run.state()).status
    return _done(info, status, wanted="paused")


def _done(info: RunInfo, status: str, *, wanted: str) -> int:
    if SETTINGS.get().as_json:
        put_json({"run_id": info.run_id, "status": status})
    elif status == wanted:
        say(f"run {info.run_id} is {status}")
    else:
        say(f"run {info.run_id} was not {wanted}: it has ended, {status}")
    return OK if status == wanted else BAD


async def settle(
    wanted: str, step: str, *, result: str | None, error: str, retry: bool, by: str
) -> int:
    """Say what became of a tool call of unknown outcome; see `Run.settle`."""
    log_to_stderr()
    if (result is not None) + bool(error) + retry != 1:
        raise ConfigError("settle takes exactly one of --result JSON, --error TEXT and --retry")
    outcome: dict[str, Any] = {"error": error, "retry": retry}
    if result is not None:
        outcome["result"] = json_of(result, "--result")
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        try:
            await run.settle(step, **outcome, by=by)
        except ToolError as refused:
            state = await run.state()
            unknown = [name for name in state.open_calls if state.calls[name].status == "unknown"]
            raise ToolError(
                f"{refused}; calls of unknown outcome in run {run.id!r}: {', '.join(unknown) or 'none'}",
                tool=refused.tool,
                address=refused.address,
                kind=refused.kind,
            ) from refused
    if SETTINGS.get().as_json:
        put_json({"run_id": info.run_id, "step": step, "settled": True})
    else:
        say(f"settled: {step}")
        say_who_drives(info)
    return OK
