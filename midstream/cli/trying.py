"""`midstream replay --live`: what something else would have come to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from midstream.cli.costs import models_of
from midstream.cli.debugging import texts
from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import BAD, OK, REFUSED
from midstream.cli.given import graph_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.cli.summary import SOURCE
from midstream.engine.debugging.tries import Estimate
from midstream.engine.debugging.what_if import Changed
from midstream.errors import ConfigError, GraphError


async def replay_live(
    wanted: Sequence[str],
    *,
    everything: bool,
    live: Sequence[str],
    models: Sequence[str],
    prompts: Sequence[str],
    times: int,
    stop: bool,
    limit: str,
    forget: bool,
    place: str,
    yes: bool,
) -> int:
    """Try a run again with some steps live; 1 if a try did not end as the run did."""
    log_to_stderr()
    name, said = _one(wanted, everything=everything), texts(prompts, "--prompt")
    code = graph_of(place) if place else None
    changed: Changed = "stop" if stop else "live"
    async with engine(graphs=() if code is None else (code,)) as opened:
        info = await find_run(opened.store, name)
        if code is None or code.name != info.graph:
            hint = command("replay", info.run_id, "--graph", info.tags.get(SOURCE, "MODULE:GRAPH"))
            raise GraphError(
                f"run {info.run_id!r} needs the code of graph {info.graph!r}; "
                f"try `{hint}` where that module can be imported"
            )
        run, others = opened.run(info.run_id), models_of(models)
        estimate = await run.estimate(live=live, models=others, times=times, changed=changed)
        say(str(estimate))
        if not yes and not agreed([estimate]):
            say("nothing was tried; pass --yes to do it")
            return REFUSED
        found = await run.replay(
            live=live,
            models=others,
            prompts=said,
            times=times,
            changed=changed,
            limit=money(limit),
            keep=not forget,
        )
    if SETTINGS.get().as_json:
        put_json(found.data())
    else:
        put(str(found))
    return OK if all(one.same for one in found.tries) else BAD


def _one(runs: Sequence[str], *, everything: bool) -> str:
    """Return the one run that is meant.

    Raises:
        ConfigError: Several are, or all.
    """
    if everything or len(runs) > 1:
        raise ConfigError("--live tries one run; name that one")
    return runs[0] if runs else "@last"


def agreed(estimates: Sequence[Estimate]) -> bool:
    """Say whether the person at the terminal agrees; what costs nothing needs no answer."""
    if not any(one.most or one.unpriced or one.calls for one in estimates):
        return True
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def money(text: str) -> Decimal | None:
    """Return an amount of US dollars, or None for an empty text.

    Raises:
        ConfigError: It is none.
    """
    if not text:
        return None
    try:
        return Decimal(text.removeprefix("$"))
    except InvalidOperation as error:
        raise ConfigError(
            f"--limit {text!r} is no amount of US dollars; write it as 0.50"
        ) from error
