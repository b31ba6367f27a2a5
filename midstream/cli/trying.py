"""`midstream replay --live` and `midstream cost`: what something else would have come to, and would have cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import get_args

from midstream.cli.debugging import texts
from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import BAD, OK, REFUSED
from midstream.cli.given import graph_of
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.cli.summary import SOURCE
from midstream.engine.costing import EVERY, Caching, CostReport, cost_report
from midstream.engine.moments import moment_seq
from midstream.engine.tries import Estimate
from midstream.engine.what_if import Changed
from midstream.errors import ConfigError, GraphError
from midstream.events.paging import pages
from midstream.events.payloads import Cost, Usage
from midstream.projections.answered import ANSWERED
from midstream.projections.fold import fold_pages


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


def models_of(given: Sequence[str]) -> dict[str, str]:
    """Return models by step, from `MODEL` or `STEP=MODEL`.

    Raises:
        ConfigError: One names no model.
    """
    found: dict[str, str] = {}
    for text in given:
        step, sign, model = text.partition("=")
        if not sign:
            step, model = EVERY, text
        if not step or ":" not in model:
            raise ConfigError(
                f"--model {text!r} names no model; write it as openai:gpt-4o-mini, or plan=openai:gpt-4o-mini"
            )
        found[step] = model
    return found


async def cost(wanted: str, *, models: Sequence[str], cache: str, date: str, at: str) -> int:
    """Say what a run cost, or would have cost by other prices."""
    caching = dict[str, Caching]({name: name for name in get_args(Caching)}).get(cache)
    if caching is None:
        raise ConfigError(f"--cache {cache!r} is none of {', '.join(get_args(Caching))}")
    run, place = split_moment(wanted)
    others, on = models_of(models), _day(date)
    async with reading() as store:
        info = await find_run(store, run)
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        found = await fold_pages(ANSWERED, pages(store, info.run_id, to=to))
    report = cost_report(info.run_id, found.calls, _list_price, models=others, on=on, cache=caching)
    if SETTINGS.get().as_json:
        put_json(report.data())
    else:
        _print(report)
    return OK


def _list_price(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    from midstream.adapters.prices import cost  # the price list is large: only where it is needed

    return cost(provider, model, usage, at)


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--date {text!r} is no day; write it as 2026-01-31") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _print(report: CostReport) -> None:
    for text in str(report).splitlines():
        put(text)
