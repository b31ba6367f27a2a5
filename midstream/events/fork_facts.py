"""The fact of a fork: whose events a run begins with, and what is different from there on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.events.fact import Fact


class Override(BaseModel):
    """What is asked in place of what the code says, from a fork on.

    Attributes:
        step: A node, an activation or a model call; empty for every call.
        prompt: What is said in place of the first message of a call, or None.
        system: The instruction, or None for the code's.
        settings: Settings that are added to those of the code, or replace them.
        model: Who is asked, whatever the code or a migration says; empty for whoever they say.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    step: str = ""
    prompt: str | None = None
    system: str | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    model: str = ""


class Rehearsal(BaseModel):
    """How a fork is tried: which steps of it happen, while its parent's log answers for all others.

    It is recorded, so that whoever drives the fork, after a crash too, does no more than was asked for.

    Attributes:
        live: The steps that happen: nodes, activations, calls, or tools as in `tool:NAME`.
        changed: What becomes of a step that is not asked what it was asked then, or was not asked: it happens, or the try
            stops there.
        upto: The newest event of the parent that answers.
        limit: US dollars that the steps which happen may cost; empty for any.
        lesson: A lesson that the steps which happen are told; empty for none.
        told: Its words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    live: tuple[str, ...]
    changed: Literal["live", "stop"] = "live"
    upto: int
    limit: str = ""
    lesson: str = ""
    told: str = ""


class RunForked(Fact):
    """A run begins with the events of another one, up to an event; they are shared, not copied.

    The first event of its own of a run that was forked; its `seq` follows that of the last shared event, and its digest
    follows from that event's digest.

    Attributes:
        parent: The run whose events it begins with.
        seq: The last event that is shared.
        digest: The digest of that event, in hex.
        graph: The name of the graph.
        tags: For finding it again.
        status: Where the run stood at that event.
        definition: The graph as data, where it is another one from here on; None where it is not.
        graph_digest: sha256 of that definition, in hex.
        code: The version of the code, where the graph is another one.
        inputs: Inputs of the run that are others from here on.
        outputs: What steps are taken to have returned from here on: by the address of an activation or call.
        overrides: What is asked in place of what the code says.
        reason: Why it was forked.
        rehearsal: How it is tried, where it answers a what-if; None for a run like any other.
        id: Of this fork; one whose answer was lost is recognised by it.
    """

    type: Literal["run.forked"] = "run.forked"
    parent: str
    seq: int
    digest: str
    graph: str
    tags: Mapping[str, str] = Field(default_factory=dict)
    status: Literal["running", "paused", "completed", "failed", "cancelled"] = "running"
    definition: Mapping[str, JsonValue] | None = None
    graph_digest: str = ""
    code: str = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    outputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    reason: str = ""
    rehearsal: Rehearsal | None = None
    id: str = ""
