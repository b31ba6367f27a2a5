"""`midstream policy test`: what policies would have done on a recorded run, without any call."""

from __future__ import annotations

from dataclasses import asdict

from midstream.cli.exits import OK
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS


async def test(wanted: str, *, file: str) -> int:
    """Show what the policies of a file would have done.

    Args:
        wanted: The run.
        file: YAML, with a list under `policies`.
    """
    from midstream.engine.policies_reading import read_policies
    from midstream.engine.policies_trial import try_policies

    policies = read_policies(file)
    async with reading() as store:
        info = await find_run(store, wanted)
        trial = await try_policies(store, info.run_id, policies)
    for would in trial.decisions:
        if SETTINGS.get().as_json:
            put_json(asdict(would))
        else:
            put(
                f"{would.seq:>5} {would.step:<24} {would.policy}: {would.source} → {would.target} "
                f"({would.scope}): {would.reason}"
            )
    say(
        f"{trial.run_id}: {trial.moved} of {trial.calls} model calls would have gone elsewhere; nobody was asked"
    )
    return OK
