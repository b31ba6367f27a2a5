"""`midstream cost`: what a run cost, and would have cost; with no more imported than that takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import get_args

from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import put, put_json
from midstream.cli.settings import SETTINGS
from midstream.engine.driving.moments import moment_seq
from midstream.engine.spending.costing import EVERY, Caching, CostReport, cost_report
from midstream.errors import ConfigError
from midstream.events.paging import pages
from midstream.events.payloads import Cost, Usage
from midstream.projections.answered import ANSWERED
from midstream.projections.fold import fold_pages, needs


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
        found = await fold_pages(ANSWERED, pages(store, info.run_id, to=to, needed=needs(ANSWERED)))
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
