"""`experience`: what runs have taught, on the command line; list, search, add, distil, move, report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast, get_args

import typer

from midstream.cli.exits import OK, carry_out
from midstream.cli.options import MaybeRun, group

app = group(
    "experience",
    "What runs have taught: lessons, what they rest on, and what they have been worth.",
)

Tenant = Annotated[str, typer.Option("--tenant", help="Whose; the tag `tenant` of runs.")]
By = Annotated[str, typer.Option("--by", help="Who wants it; recorded.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Lesson = Annotated[
    str, typer.Argument(metavar="LESSON", help="As `midstream experience list` names it.")
]
GraphName = Annotated[
    str, typer.Option("--graph", help="The graph of the call, or that it is for.")
]
NodeName = Annotated[str, typer.Option("--node", help="The node of the call, or that it is for.")]

MOVES = ("activate", "shadow", "quarantine", "retire")


@app.command("list")
def list_(
    status: Annotated[str, typer.Option("--status", "-s", help="Only of this status.")] = "",
    tenant: Tenant = "default",
) -> None:
    """List lessons in the order they were written."""
    carry_out(_list(status, tenant))


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What a call would say.")],
    graph: GraphName = "",
    node: NodeName = "",
    tenant: Tenant = "default",
) -> None:
    """Show what a call with these words would be told, and why the rest would not."""
    carry_out(_search(query, graph, node, tenant))


@app.command()
def add(
    when: Annotated[str, typer.Option("--when", help="The situation that it is for.")],
    do: Annotated[str, typer.Option("--do", help="The advice.")],
    kind: Annotated[
        str, typer.Option("--kind", help="do, avoid, fact, workflow or preference.")
    ] = "do",
    graph: GraphName = "",
    node: NodeName = "",
    tenant: Tenant = "default",
    by: By = "",
) -> None:
    """Write a lesson by hand; it is active at once."""
    carry_out(_add(when, do, kind, graph, node, tenant, by))


@app.command()
def distil(
    run: MaybeRun = "",
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="PROVIDER:MODEL", help="Who reads the runs; by rule, if none."
        ),
    ] = "",
    auto_activate: Annotated[
        bool,
        typer.Option(help="Activate what three runs support in the words of two sources."),
    ] = False,
) -> None:
    """Make lessons of what was said of runs; they wait for somebody to activate them."""
    carry_out(_distil(run, model, auto_activate=auto_activate))


@app.command()
def trial(
    lesson: Lesson,
    graph: Annotated[
        str, typer.Option("--graph", metavar="MODULE:GRAPH", help="The code of its runs.")
    ],
    judge: Annotated[
        str,
        typer.Option("--judge", metavar="MODULE:FUNCTION", help="Of what a step returned: 0 to 1."),
    ] = "",
    model: Annotated[
        str,
        typer.Option("--model", metavar="PROVIDER:MODEL", help="Who judges by what people said."),
    ] = "",
    times: Annotated[int, typer.Option("--times", min=1, help="How often each step happens.")] = 3,
    passing: Annotated[
        int, typer.Option("--passing", min=0, help="Runs that went well, to see no harm.")
    ] = 2,
    limit: Annotated[str, typer.Option("--limit", metavar="USD", help="Of all tries.")] = "",
    move: Annotated[
        bool, typer.Option("--move", help="Activate, quarantine or retire it by what comes of it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about the price.")] = False,
    tenant: Tenant = "default",
    by: By = "",
) -> None:
    """Try a lesson again at the step that taught it; exit 1 if it did not help."""
    from midstream.cli import trying_lessons

    carry_out(
        trying_lessons.trial(
            lesson,
            place=graph,
            judge=judge,
            model=model,
            times=times,
            passing=passing,
            limit=limit,
            move=move,
            yes=yes,
            tenant=tenant,
            by=by,
        )
    )


def _mover(move: str, meaning: str) -> None:
    def command(
        lesson: Lesson, reason: Reason = "", tenant: Tenant = "default", by: By = ""
    ) -> None:
        carry_out(_move(move, lesson, reason, tenant, by))

    command.__doc__ = meaning
    app.command(move)(command)


_mover("activate", "Have a lesson told to calls that it fits.")
_mover("shadow", "Look a lesson up and do not tell it, to see how calls go without.")
_mover("quarantine", "Tell a lesson to nobody until somebody has looked at it.")
_mover("retire", "Tell a lesson to nobody any more; it stays in the log.")


@app.command()
def erase(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run.")],
    reason: Reason = "",
    tenant: Tenant = "default",
    by: By = "",
) -> None:
    """Use nothing any more that a run has taught; lessons without other evidence retire."""
    carry_out(_erase(run, reason, tenant, by))


@app.command()
def skills(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="NAME.md or NAME/SKILL.md.")],
    tenant: Tenant = "default",
    by: By = "",
) -> None:
    """Take the skills of a folder in force, in the versions that stand there."""
    carry_out(_skills(folder, tenant, by))


@app.command()
def report(tenant: Tenant = "default") -> None:
    """Say what lessons have been worth."""
    carry_out(_report(tenant))


async def _list(status: str, tenant: str) -> int:
    from midstream.cli.opening import engine
    from midstream.errors import ConfigError
    from midstream.events.experience_facts import LessonStatus

    if status and status not in get_args(LessonStatus):
        raise ConfigError(f"--status {status!r} is none of {', '.join(get_args(LessonStatus))}")
    async with engine() as opened:
        for one in await opened.experience.lessons(tenant=tenant):
            if status in ("", one.status):
                _put(one)
    return OK


async def _search(query: str, graph: str, node: str, tenant: str) -> int:
    from midstream.cli.opening import engine
    from midstream.cli.output import put, put_json
    from midstream.cli.settings import SETTINGS

    async with engine() as opened:
        found = await opened.experience.search(query, graph=graph, node=node, tenant=tenant)
    for one in found:
        if SETTINGS.get().as_json:
            put_json({"id": one.lesson.id, "score": one.score, "why": one.why, "do": one.lesson.do})
        else:
            put(f"{one.score:.3f}  {one.why or 'told':8}  {_text(one.lesson)}")
    return OK


async def _add(when: str, do: str, kind: str, graph: str, node: str, tenant: str, by: str) -> int:
    from midstream.cli.opening import engine
    from midstream.errors import ConfigError
    from midstream.events.experience_facts import LessonKind

    kinds = [one for one in get_args(LessonKind) if one != "skill"]
    if kind not in kinds:
        raise ConfigError(f"--kind {kind!r} is none of {', '.join(kinds)}")
    async with engine() as opened:
        made = await opened.experience.add(
            when, do, kind=cast("LessonKind", kind), graph=graph, node=node, tenant=tenant, by=by
        )
    _put(made)
    return OK


async def _distil(wanted: str, model: str, *, auto_activate: bool) -> int:
    from midstream.cli.naming import find_run
    from midstream.cli.opening import engine
    from midstream.cli.output import put, put_json
    from midstream.cli.settings import SETTINGS

    async with engine() as opened:
        run_id = (await find_run(opened.store, wanted)).run_id if wanted else None
        done = await opened.experience.distil(run_id, model=model, auto_activate=auto_activate)
    for one in done:
        if SETTINGS.get().as_json:
            put_json(
                {
                    "run_id": one.run_id,
                    "lessons": one.lessons,
                    "refused": one.refused,
                    "known": one.known,
                }
            )
        else:
            what = "nothing new was said" if one.known else ", ".join(one.lessons) or "no lesson"
            refused = f"; refused: {'; '.join(one.refused)}" if one.refused else ""
            put(f"{one.run_id}  {what}{refused}")
    return OK


async def _move(move: str, lesson: str, reason: str, tenant: str, by: str) -> int:
    from midstream.cli.opening import engine

    async with engine() as opened:
        moved = await getattr(opened.experience, move)(lesson, reason=reason, tenant=tenant, by=by)
    _put(moved)
    return OK


async def _erase(wanted: str, reason: str, tenant: str, by: str) -> int:
    from midstream.cli.naming import find_run
    from midstream.cli.opening import engine
    from midstream.cli.output import put_json, say
    from midstream.cli.settings import SETTINGS

    async with engine() as opened:
        run = await find_run(opened.store, wanted)
        retired = await opened.experience.erase(run.run_id, tenant=tenant, reason=reason, by=by)
    if SETTINGS.get().as_json:
        put_json({"run_id": run.run_id, "retired": retired})
    else:
        say(
            f"nothing of {run.run_id} is used any more; retired: {', '.join(retired) or 'no lesson'}"
        )
    return OK


async def _skills(folder: str, tenant: str, by: str) -> int:
    from midstream.cli.opening import engine

    async with engine() as opened:
        for skill in await opened.experience.import_skills(folder, tenant=tenant, by=by):
            _put(skill)
    return OK


async def _report(tenant: str) -> int:
    from midstream.cli.opening import engine
    from midstream.cli.output import put, put_json
    from midstream.cli.settings import SETTINGS

    async with engine() as opened:
        found = await opened.experience.report(tenant=tenant)
    if SETTINGS.get().as_json:
        put_json(_totals(found))
    for one in found.lessons:
        if SETTINGS.get().as_json:
            row = {"id": one.lesson.id, "uplift": one.uplift, "deviation": one.deviation}
            put_json(
                {
                    **row,
                    "hurts": one.hurts,
                    "told": one.told,
                    "untold": one.untold,
                    "status": one.lesson.status,
                }
            )
        else:
            worth = f"{one.uplift:+.2f} ± {one.deviation:.2f}, {one.told:g} with, {one.untold:g} without"
            put(f"{worth}  {_text(one.lesson)}")
    if not SETTINGS.get().as_json:
        put(_sentence(found))
    return OK


def _totals(found: Any) -> dict[str, Any]:
    names = ("with_any", "with_none", "calls_with", "calls_without", "deviation", "conflicts")
    return {name: getattr(found, name) for name in names}


def _sentence(found: Any) -> str:
    def mean(value: float | None, number: int) -> str:
        return "not known" if value is None else f"{value:.2f} (n = {number})"

    told, untold = found.with_any, found.with_none
    text = (
        f"with lessons {mean(told, found.calls_with)}, without {mean(untold, found.calls_without)}"
    )
    if told is not None and untold is not None:
        text += f", difference {told - untold:+.2f} ± {found.deviation:.2f}"
    pairs: Sequence[tuple[str, str]] = found.conflicts
    return text + "".join(
        f"; {first} and {second} contradict each other" for first, second in pairs
    )


def _put(lesson: Any) -> None:
    from midstream.cli.output import put, put_json
    from midstream.cli.settings import SETTINGS

    if SETTINGS.get().as_json:
        evidence = [{"run": run, "seq": seq} for run, seq in lesson.evidence]
        told = {
            "status": lesson.status,
            "reason": lesson.reason,
            "trust": lesson.trust,
            "evidence": evidence,
        }
        put_json({**lesson.data, **told})
    else:
        put(_text(lesson))


def _text(lesson: Any) -> str:
    scope = "/".join(part for part in (lesson.graph, lesson.node) if part)
    advice = f"avoid: {lesson.do}" if lesson.kind == "avoid" else lesson.do
    return f"{lesson.id}  {lesson.status:11}  {lesson.trust:8}  {scope or '*'}  when {lesson.when}: {advice}"
