"""The facts of a run as a whole: how it began, who drives it, what it waits for, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.events.fact import Fact


class RunCreated(Fact):
    """A run was accepted; from here on it will be driven to an end.

    Attributes:
        graph: The name of the graph.
        definition: The graph as data: nodes, what each waits for, its policies.
        graph_digest: sha256 of the definition, in hex.
        code: The version of the code that was given to the engine, or empty.
        inputs: By name.
        model: The default model of the run, or empty.
        tags: For finding it again.
        id: Of this start; a start whose answer was lost is recognised by it.
        limits: What the run may not exceed: `activations`, `seconds`, `depth`.
        context: What is done where a conversation is too long for its model; empty where nothing is. See `ContextPolicy`.
        parent: The run that started this one, or None.
        parent_step: The address of its call that did.
        subject: Whom its content is about, so that it can be erased with all other runs of that; or empty.
    """

    type: Literal["run.created"] = "run.created"
    graph: str
    definition: Mapping[str, JsonValue]
    graph_digest: str
    code: str = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    model: str = ""
    tags: Mapping[str, str] = Field(default_factory=dict)
    parent: str | None = None
    id: str = ""
    limits: Mapping[str, float] = Field(default_factory=dict)
    context: Mapping[str, JsonValue] = Field(default_factory=dict)
    parent_step: str = ""
    subject: str = ""


class RunResumed(Fact):
    """A driver took the run over; every driver of an earlier epoch is refused from here on."""

    type: Literal["run.resumed"] = "run.resumed"
    epoch: int
    driver: str


class RunPaused(Fact):
    """No further node or call is started until `run.continued`; what is in flight is finished and recorded."""

    type: Literal["run.paused"] = "run.paused"
    id: str
    reason: str = ""


class RunContinued(Fact):
    """A paused run goes on."""

    type: Literal["run.continued"] = "run.continued"
    id: str


class RunCompleted(Fact):
    """The run ended with an output."""

    type: Literal["run.completed"] = "run.completed"
    output: JsonValue = None


class Failure(BaseModel):
    """How one node failed for good."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    address: str
    kind: str
    message: str


class RunFailed(Fact):
    """The run ended without an output; several nodes may have failed side by side."""

    type: Literal["run.failed"] = "run.failed"
    failures: tuple[Failure, ...] = ()


class RunCancelRequested(Fact):
    """Somebody wants the run to end; its driver closes what is open and then records `run.cancelled`."""

    type: Literal["run.cancel_requested"] = "run.cancel_requested"
    id: str
    reason: str = ""


class RunCancelled(Fact):
    """The run was cancelled, and every call that was open has a recorded end."""

    type: Literal["run.cancelled"] = "run.cancelled"
    reason: str = ""


class NoteAdded(Fact):
    """The embedding service's own data."""

    type: Literal["note.added"] = "note.added"
    id: str
    data: JsonValue
