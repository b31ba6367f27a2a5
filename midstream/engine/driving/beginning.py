"""What is recorded of a run that begins: its id, and the fields of its first fact, as plain data and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from midstream.engine.graphs.graph import Graph
from midstream.engine.requests.context_policy import ContextPolicy
from midstream.errors import ConfigError
from midstream.events.ids import RUN_ID, RunId, new_run_id
from midstream.events.values import plain


def chosen_id(run_id: str | None) -> RunId:
    """Return the id of a new run.

    Raises:
        ConfigError: It is not one.
    """
    if run_id is None:
        return new_run_id()
    if not RUN_ID.fullmatch(run_id):
        raise ConfigError(
            f"run_id {run_id!r}: must begin with a letter or digit and hold at most 128 letters, digits and _.:~-"
        )
    return RunId(run_id)


def created(
    graph: Graph,
    inputs: Mapping[str, Any],
    policy: ContextPolicy | None,
    model: str,
    tags: Mapping[str, str] | None,
    *,
    limits: Mapping[str, float],
    subject: str = "",
    parent: str | None = None,
    parent_step: str = "",
) -> dict[str, Any]:
    """Return the fields of a `run.created` that are not at their defaults, with nothing in the place of its definition.

    Not a `RunCreated`, of which making and writing one takes as long as all else that is done before a run is recorded.

    Args:
        graph: What is run; its definition is the same for all its runs, see `Graph.prepared`.
        inputs: By name.
        policy: What is done where a conversation is too long for its model.
        model: Of the run, or empty.
        tags: For finding it again.
        limits: What it may not exceed.
        subject: Whom its content is about, or empty.
        parent: The run that starts it, or None.
        parent_step: The address of its call that does.

    Raises:
        GraphError: An input is missing or unknown.
        NotRecordableError: An input, or another text, is not JSON.
        ConfigError: The model, the subject or a tag is no text.
    """
    graph.check_inputs(inputs)
    inputs = graph.with_variables(inputs)
    fields: dict[str, Any] = {
        "graph": graph.name,
        "definition": None,
        "graph_digest": graph.digest,
        "code": graph.version,
        "inputs": {name: plain(value, f"input {name!r}") for name, value in inputs.items()},
        "model": _text(model, "model"),
        "tags": _plain_tags(tags) if tags else None,
        "parent": parent,
        "id": os.urandom(16).hex(),
        "limits": {name: float(bound) for name, bound in limits.items()},
        "context": None if policy is None else policy.data(),
        "parent_step": parent_step,
        "subject": _text(subject, "subject"),
    }
    return {name: value for name, value in fields.items() if value or name == "definition"}


def _plain_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {_text(name, "name of a tag"): _text(tags[name], f"tag {name!r}") for name in tags}


def _text(value: object, what: str) -> str:
    """Return a text that can be recorded."""
    if not isinstance(value, str):
        raise ConfigError(f"{what}: must be a text, not {value!r:.200}; pass str(…) of it")
    plain(value, what)
    return value
