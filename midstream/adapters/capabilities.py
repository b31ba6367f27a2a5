"""What each family of models can be told and asked, as data: the first pattern that fits the name decides.

Sources: the vendors' model pages and SDK types, genai-prices for context windows, and recorded answers of the services
(a 400 that names the parameter). A name that fits nothing gets what every model of the vendor takes. Numbers that are not
known are None, and then nothing is clamped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from midstream.adapters.base import Capabilities, Structured

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From least to most."""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that take the same.

    Attributes:
        pattern: What their names begin with, as a regular expression.
        capabilities: What they can be told and asked.
        efforts: The levels of `reasoning_effort` they know.
        traits: Where they differ from the rest of their vendor's models, in words that the adapter knows.
    """

    pattern: str
    capabilities: Capabilities
    efforts: tuple[str, ...] = ()
    traits: frozenset[str] = frozenset()


_CHAT = frozenset(
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
_REASONING = frozenset(("max_tokens", "seed", "tool_choice", "reasoning_effort"))
_MESSAGES = frozenset(("max_tokens", "stop", "tool_choice", "parallel_tool_calls"))


def _chat(
    pattern: str,
    window: int | None,
    output: int | None,
    *,
    images: bool = True,
    audio: bool = False,
    structured: Structured = "native",
    traits: str = "",
) -> Family:
    capabilities = Capabilities(
        window,
        output,
        images=images,
        documents=images,
        audio=audio,
        settings=_CHAT,
        structured=structured,
    )
    return Family(pattern, capabilities, traits=frozenset(traits.split()))


def _thinks(
    pattern: str,
    window: int,
    output: int,
    efforts: str,
    *,
    also: str = "",
    images: bool = True,
    tools: bool = True,
    traits: str = "developer",
) -> Family:
    settings = _REASONING | frozenset(also.split())
    capabilities = Capabilities(
        window,
        output,
        images=images,
        documents=images,
        tools=tools,
        settings=settings,
        structured="native" if tools else "text",
    )
    own = ["completion_limit", *traits.split(), *(("free_text",) if "gpt" in pattern else ())]
    return Family(pattern, capabilities, tuple(efforts.split()), frozenset(own))


_SOME = "low medium high"
_ALL = "none low medium high xhigh"
_SOMETIMES = (
    "temperature top_p stop parallel_tool_calls"  # while the effort is `none`, their default
)

OPENAI = (
    _thinks("o1-(mini|preview)", 128_000, 65_536, "", images=False, tools=False, traits=""),
    _thinks("o3-mini", 200_000, 100_000, _SOME, also="stop", images=False),
    _thinks("o[134]", 200_000, 100_000, _SOME),
    _chat(r"gpt-5-chat", 128_000, 16_384),
    _thinks(r"gpt-5\.[123]-chat", 128_000, 16_384, "medium", also="parallel_tool_calls"),
    _thinks(r"gpt-5(\.\d)?-pro", 400_000, 128_000, "medium high xhigh", also="parallel_tool_calls"),
    _thinks(r"gpt-5\.1-codex", 400_000, 128_000, _SOME, also="parallel_tool_calls"),
    _thinks(
        r"gpt-5\.4-mini",
        400_000,
        128_000,
        _ALL,
        also=_SOMETIMES,
        traits="developer default_none tools_without_effort",
    ),
    _thinks(
        r"gpt-5\.1",
        400_000,
        128_000,
        "none low medium high",
        also=_SOMETIMES,
        traits="developer default_none",
    ),
    _thinks(
        r"gpt-5\.[234]", 400_000, 128_000, _ALL, also=_SOMETIMES, traits="developer default_none"
    ),
    _thinks(r"gpt-5\.\d", 1_000_000, 128_000, _ALL, also="parallel_tool_calls"),
    _thinks(r"gpt-5", 400_000, 128_000, "minimal low medium high", also="parallel_tool_calls"),
    _thinks(r"gpt-[6-9]", 1_000_000, 128_000, _ALL, also="parallel_tool_calls"),
    _chat(
        r"gpt-(audio|4o(-mini)?-audio|realtime)",
        128_000,
        16_384,
        images=False,
        audio=True,
        structured="tool",
    ),
    _chat(r"gpt-4\.1", 1_047_576, 32_768),
    _chat(r"gpt-4o-2024-05-13", 128_000, 4_096, structured="tool"),
    _chat(r"(gpt-4o|chatgpt-4o)", 128_000, 16_384),
    _chat(r"gpt-4-(turbo|1106|0125|vision)", 128_000, 4_096, structured="tool"),
    _chat(r"gpt-4-32k", 32_768, 32_768, images=False, structured="tool"),
    _chat(r"gpt-4(-|$)", 8_192, 8_192, images=False, structured="tool"),
    _chat(r"gpt-3\.5", 16_385, 4_096, images=False, structured="tool"),
    _chat("", None, None, structured="tool"),
)
"""Chat Completions. Traits: `developer` (the role of instructions), `completion_limit` (the name of the limit, and no
sampling while it reasons), `free_text` (it calls tools of free text), `default_none` (it does not reason unless told to), `tools_without_effort` (tools and an effort
together are refused)."""


def _responses(family: Family) -> Family:
    """Return what the models of a family take in Responses: no stops and no seed, and tools next to an effort."""
    can = family.capabilities
    reasons = "completion_limit" in family.traits
    kept = replace(
        can,
        audio=False,
        reasoning=reasons and can.tools,
        settings=can.settings - {"stop", "seed"},
    )
    traits = family.traits - {"tools_without_effort"}
    if "free_text" in traits:
        traits |= {"adds_tools"}
    return replace(family, capabilities=kept, traits=traits)


RESPONSES = tuple(_responses(family) for family in OPENAI)
"""Responses: the same models, with the traits of Chat Completions that say something there, and `adds_tools` (tools that come on
the way are an item of the conversation, as was recorded of gpt-5 and its successors)."""


def _claude(
    pattern: str,
    window: int | None,
    output: int | None,
    thinking: str = "",
    *,
    traits: str = "",
    images: bool = True,
    structured: Structured = "native",
) -> Family:
    settings = _MESSAGES | ({"reasoning_effort"} if thinking else frozenset[str]())
    capabilities = Capabilities(
        window,
        output,
        images=images,
        documents=images,
        reasoning=bool(thinking),
        settings=settings,
        structured=structured,
    )
    efforts = {
        "": (),
        "budget": ("none", "low", "medium", "high"),
        "adaptive": ("none", "low", "medium", "high", "max"),
    }[thinking]
    if "xhigh" in traits:
        efforts = ("none", "low", "medium", "high", "xhigh", "max")
    return Family(pattern, capabilities, efforts, frozenset((thinking, *traits.split())))


ANTHROPIC = (
    _claude("claude-(fable|mythos)", 1_000_000, None, "adaptive", traits="midway unforced xhigh"),
    _claude("claude-opus-4-8", 1_000_000, None, "adaptive", traits="midway xhigh"),
    _claude("claude-opus-4-7", 1_000_000, None, "adaptive", traits="xhigh"),
    _claude("claude-(opus|sonnet)-4-6", 1_000_000, None, "adaptive"),
    _claude("claude-(opus|sonnet|haiku)-5", 1_000_000, None, "adaptive", traits="midway xhigh"),
    _claude("claude-(opus|sonnet|haiku)-4-5", 200_000, 64_000, "budget"),
    _claude("claude-(sonnet|haiku)-4", 200_000, 64_000, "budget", structured="tool"),
    _claude("claude-opus-4-1", 200_000, 32_000, "budget"),
    _claude("claude-opus-4", 200_000, 32_000, "budget", structured="tool"),
    _claude("claude-3-7", 200_000, 64_000, "budget", structured="tool"),
    _claude("claude-3-5", 200_000, 8_192, structured="tool"),
    _claude("claude-3", 200_000, 4_096, structured="tool"),
    _claude("claude-(instant|[12])", 100_000, 4_096, images=False, structured="tool"),
    _claude("", None, None, structured="tool"),
)
"""Messages. Traits: `adaptive` or `budget` (how it is told to think), `midway` (it takes the role `system` between turns),
`unforced` (it refuses to be made to call a tool), `xhigh`. None takes temperature, top_p or top_k: version 2026-10-21 of the
API refuses them, even at their defaults."""


_GENERATE = frozenset(("temperature", "top_p", "max_tokens", "stop", "seed", "tool_choice"))


def _gemini(
    pattern: str, window: int | None, output: int | None, efforts: str = "", traits: str = ""
) -> Family:
    settings = _GENERATE | ({"reasoning_effort"} if efforts else frozenset[str]())
    if "unsampled" in traits:
        settings -= {"temperature", "top_p"}
    capabilities = Capabilities(
        window, output, audio=True, reasoning=bool(efforts), settings=settings, structured="native"
    )
    return Family(pattern, capabilities, tuple(efforts.split()), frozenset(traits.split()))


_NEW = "signed levels result_media"
_LEVELS = "minimal low medium high"
GEMINI = (
    _gemini("gemini-3-pro", 1_048_576, 65_536, "low high", _NEW),
    _gemini(r"gemini-3\.\d+-pro", 1_048_576, 65_536, "low medium high", _NEW),
    _gemini("gemini-3-flash", 1_048_576, 65_536, _LEVELS, _NEW),
    _gemini(r"gemini-3\.[5-9]", 1_048_576, 65_536, _LEVELS, f"{_NEW} unsampled"),
    _gemini("gemini-([3-9]|flash|pro)", 1_048_576, 65_536, _LEVELS, _NEW),
    _gemini(r"gemini-2\.5-pro", 1_048_576, 65_536, "minimal low medium high", "always_thinks"),
    _gemini(r"gemini-2\.5", 1_048_576, 65_536, "none low medium high"),
    _gemini(r"gemini-(2\.0|1\.5)", 1_048_576, 8_192),
    Family(
        "gemma",
        Capabilities(
            128_000,
            8_192,
            documents=False,
            tools=False,
            settings=_GENERATE,
            structured="text",
        ),
        traits=frozenset(("uninstructed",)),
    ),
    _gemini("", None, None),
)
"""Gemini. Traits: `signed` (calls need a thought signature), `levels` (it is told a level of thinking, not a budget),
`result_media` (results of tools hold images and documents), `always_thinks`, `unsampled` (sampling is not to be set),
`uninstructed` (it knows no instructions)."""


def family_of(model: str, own: Sequence[Family], known: Callable[[str], Family]) -> Family:
    """Return what a model takes: as the caller says of it, or else as is known here.

    Args:
        model: Its name without its provider.
        own: The caller's families; the first whose pattern fits the name decides.
        known: What is known here.
    """
    if own:
        found = next((family for family in own if re.match(family.pattern, model)), None)
        if found is not None:
            return found
    return known(model)


@lru_cache(maxsize=256)
def gemini_family(model: str) -> Family:
    """Return the family of a model of Gemini; the collection that it is in does not count."""
    return _first(GEMINI, model.rpartition("/")[2])


@lru_cache(maxsize=256)
def openai_family(model: str) -> Family:
    """Return the family of a model of Chat Completions; a fine-tuned model is of its base's family."""
    return _first(OPENAI, model.removeprefix("ft:"))


@lru_cache(maxsize=256)
def responses_family(model: str) -> Family:
    """Return the family of a model of Responses; a fine-tuned model is of its base's family."""
    return _first(RESPONSES, model.removeprefix("ft:"))


@lru_cache(maxsize=256)
def anthropic_family(model: str) -> Family:
    """Return the family of a model of Messages; what a cloud puts before `claude-` does not count."""
    return _first(ANTHROPIC, re.sub(r"^.*(?=claude-)", "", model.lower()))


def nearest_effort(wanted: str, known: tuple[str, ...]) -> str | None:
    """Return the greatest known effort that is not above the wanted one, or else the least; None where it is no effort."""
    if wanted not in EFFORTS or not known:
        return None
    below = [level for level in known if EFFORTS.index(level) <= EFFORTS.index(wanted)]
    return below[-1] if below else known[0]


def _first(families: tuple[Family, ...], model: str) -> Family:
    return next(family for family in families if re.match(family.pattern, model))
