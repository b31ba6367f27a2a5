"""`midstream policy test`: what policies would have done on a recorded run, without any call."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from midstream.cli.exits import OK
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS

if TYPE_CHECKING:
    from midstream.engine.policies.trial import Would


def _plain(would: Would) -> dict[str, Any]:
    losses = [loss.model_dump(exclude_defaults=True) for loss in would.losses]
    cost = None if would.cost is None else format(would.cost, "f")
    return {**asdict(would), "losses": losses, "cost": cost}


async def test(wanted: str, *, file: str) -> int:
    """Show what the policies of a file would have done.

    Args:
        wanted: The run.
        file: YAML, with a list under `policies`.
    """
    from midstream.engine.policies.reading import read_policies
    from midstream.engine.policies.trial import try_policies

    policies = read_policies(file)
    async with reading() as store:
        info = await find_run(store, wanted)
        trial = await try_policies(store, info.run_id, policies)
    for would in trial.decisions:
        if SETTINGS.get().as_json:
            put_json(_plain(would))
        else:
            put(
                f"{would.seq:>5} {would.step:<24} {would.policy}: {would.source} → {would.target} "
                f"({would.scope}): {would.reason}"
            )
            for kind, count in Counter(loss.kind for loss in would.losses).items():
                put(f"      lost: {count} of {kind}")
    say(
        f"{trial.run_id}: {trial.moved} of {trial.calls} model calls would have gone elsewhere; nobody was asked"
    )
    return OK
