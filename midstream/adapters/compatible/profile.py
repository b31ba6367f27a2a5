"""How a server that speaks Chat Completions differs from OpenAI, as data: one object for each, declared in a few lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from midstream.adapters.base import Capabilities
from midstream.adapters.capabilities import Family
from midstream.adapters.compatible.thinking import Tags
from midstream.adapters.failures import Kind
from midstream.adapters.openai.render import IDS
from midstream.adapters.telling import Fit

SETTINGS = frozenset(
    (
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "tool_choice",
        "parallel_tool_calls",
    )
)
"""What most servers take."""

Effort = Literal["reasoning_effort", "reasoning"]


def models(
    pattern: str = "",
    *,
    window: int | None = None,
    output: int | None = None,
    images: bool = True,
    documents: bool = False,
    tools: bool = True,
    efforts: str = "",
    also: str = "",
    without: str = "",
    structured: Literal["native", "tool", "text"] = "native",
    traits: str = "",
) -> Family:
    """Return models that take the same.

    Args:
        pattern: What their names begin with, as a regular expression; empty fits each.
        window: The context, in tokens; None where it is not known.
        output: The longest answer, in tokens; None where it is not known.
        images: They take images.
        documents: They take PDFs by their bytes.
        tools: They call tools.
        efforts: The levels of `reasoning_effort` they know, from least to most.
        also: Settings that they take beside `SETTINGS`.
        without: Settings that they do not take.
        structured: How they are held to a form of their answer.
        traits: `thinks` for those whose thoughts are wanted back, see `Profile.thoughts`; `one_call` for those whose answers
            hold one call at most.
    """
    settings = (SETTINGS | set(also.split())) - set(without.split())
    if efforts:
        settings |= {"reasoning_effort"}
    can = Capabilities(
        window,
        output,
        images=images,
        documents=documents,
        tools=tools,
        reasoning="thinks" in traits,
        settings=settings,
        structured=structured,
    )
    return Family(pattern, can, tuple(efforts.split()), frozenset(traits.split()))


@dataclass(frozen=True, slots=True)
class Profile:
    """What is particular of a server. The defaults are a server that follows OpenAI in all that it knows.

    Attributes:
        provider: As in a model's name; answers go back to the provider that gave them.
        base_url: Where it is; empty where the caller or the environment says.
        key: The environment variable of the key; empty where none is needed.
        families: What its models take: the first whose pattern fits the name decides, and the last should fit each.
        ids: What ids of calls must look like.
        instructions: Where the role `system` may stand: `anywhere`, `leading` (before all else), or `first` (one, at the very
            beginning). Elsewhere an instruction is a turn of the user.
        after_tool: Results must be followed by an answer: `user` after `tool` is refused.
        alternating: The user and the model must take turns.
        names_results: A result carries the name of its tool.
        call_content: What stands for the text of an answer that only calls: nothing (`absent`), `null` or an empty text.
        flat: Content is one text, not a list of texts.
        thoughts: What becomes of the server's own reasoning in the history: `back` as it came, `never`, or `needed`: each
            answer of a model that thinks must have the field, also those of other models.
        tags: How thoughts stand in the text of an answer, of a server that does not take them out; None where it does.
        strict: It knows `strict` of a tool.
        limit: Its name for the longest answer.
        required: Its word for "call some tool".
        named: It can be told to call one tool by its name.
        seed: Its name for the seed.
        stops: How many stop sequences it takes.
        effort: How it is told to think: a field, or `reasoning` with the level inside.
        usage_in_streams: It must be asked for the tokens of a streamed answer; others send them anyway, or refuse the field.
        reasoning_outside: Its tokens of reasoning are not among those of the answer.
        failed: Reasons to end that stand for a failure of the server, with 200.
        codes: Its own codes and types of errors.
        statuses: HTTP statuses that mean something else than usual.
        headers: Sent with each request.
    """

    provider: str
    base_url: str = ""
    key: str = ""
    families: tuple[Family, ...] = (models(),)
    ids: Fit = IDS
    instructions: Literal["anywhere", "leading", "first"] = "anywhere"
    after_tool: bool = False
    alternating: bool = False
    names_results: bool = False
    call_content: Literal["absent", "null", "empty"] = "absent"
    flat: bool = False
    thoughts: Literal["back", "never", "needed"] = "back"
    tags: Tags | None = None
    strict: bool = True
    limit: str = "max_tokens"
    required: str = "required"
    named: bool = True
    seed: str = "seed"
    stops: int | None = 4
    effort: Effort = "reasoning_effort"
    usage_in_streams: bool = True
    reasoning_outside: bool = False
    failed: frozenset[str] = frozenset(("error",))
    codes: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    statuses: Mapping[int, Kind] = field(default_factory=dict[int, Kind])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def family(self, model: str) -> Family:
        """Return what the model takes; the collection that it is in does not count."""
        name = model.rpartition("/")[2]
        fits = (f for f in self.families if re.match(f.pattern, name) or re.match(f.pattern, model))
        return next(fits, self.families[-1])

    @property
    def address(self) -> str:
        """The environment variable that says where the server is."""
        name = re.sub(r"[^A-Z0-9]", "_", self.provider.upper())
        return f"MIDSTREAM_{name}_BASE_URL"
