"""The commands that somebody new runs first: `demo` and `doctor`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out


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


COMMANDS: Mapping[str, Callable[..., None]] = {
    "demo": demo,
    "doctor": doctor,
}
"""By name."""
