"""The commands of people: `questions`, `answer`, `feedback`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import By, MaybeRun, RunArgument


def questions(
    run: MaybeRun = "",
) -> None:
    """List what people are asked, and how to answer."""
    from midstream.cli import people

    carry_out(people.questions(run))


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


COMMANDS: Mapping[str, Callable[..., None]] = {
    "questions": questions,
    "answer": answer,
    "feedback": feedback,
}
"""By name."""
