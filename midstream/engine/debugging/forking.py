"""Making a fork: planned, named, recorded, and driven, unless it is paused or over."""

from __future__ import annotations

from midstream.engine.driving.fork import Changes, plan_fork
from midstream.engine.driving.host import Host
from midstream.engine.driving.moments import Moment
from midstream.errors import ConcurrencyError, ConfigError, RunExistsError
from midstream.events.ids import RUN_ID, RunId, new_run_id
from midstream.events.store import EventStore


async def make_fork(
    host: Host,
    parent: RunId,
    at: Moment | None,
    changes: Changes,
    *,
    run_id: str | None = None,
    actor: str = "user",
) -> RunId:
    """Make a fork and return its id; see `Run.fork`.

    Args:
        host: Drives it.
        parent: Whose events it begins with.
        at: Up to which moment.
        changes: What is to be different.
        run_id: The new run's id; None makes one from the parent's.
        actor: Who wants it.

    Raises:
        ConfigError: There is no such moment or value, or the id is none; nothing was recorded.
        GraphError: The code is not known here, or has no place for what is running; nothing was recorded.
        RunExistsError: There is a run of that id; nothing was recorded.
    """
    if run_id is not None and not RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"run_id {run_id!r}: must begin with a letter or digit and hold at most 128 letters, digits and _.:~-"
        )
    graph = changes.graph
    codes = host.graphs if graph is None else {**host.graphs, graph.name: graph}
    while True:
        fork = await plan_fork(host.store, parent, at, changes, codes)
        chosen = RunId(run_id) if run_id is not None else await _free_id(host.store, parent)
        try:
            await host.fork(chosen, fork.cut, fork.payloads, graph, actor=actor)
        except ConcurrencyError as error:
            if run_id is not None:
                raise RunExistsError(chosen, "another beginning") from error
        else:
            return chosen


async def ready(host: Host, model: str) -> None:
    """See that somebody answers for a model.

    Raises:
        ConfigError: Nobody does.
    """
    await host.providers.ready(model)
    host.providers.adapter(model)


async def _free_id(store: EventStore, parent: RunId) -> RunId:
    """Return an id that tells whose fork it is, as in `order-42~1`."""
    for number in range(1, 1000):
        name = RunId(f"{parent}~{number}")
        if RUN_ID.fullmatch(name) and await store.head(name) is None:
            return name
    return new_run_id()
