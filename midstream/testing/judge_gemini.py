"""What Gemini refuses although its types allow it.

Neighbouring turns of one role count as one: so recorded traffic has it, and the rules of pairing are about those.
Sources: the quoted messages in `RULES`; https://ai.google.dev/gemini-api/docs/function-calling and thought-signatures.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.testing.json_reading import as_list, as_object, as_text, objects
from midstream.testing.violations import Violation, violation

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_RANGES = (("temperature", 0, 2), ("topP", 0, 1), ("candidateCount", 1, 8))
_STOPS = 5
_SIGNS = re.compile(r"(.*/)?gemini-[3-9]")
_NO_PREFILL = re.compile(r"(.*/)?gemini-(3\.[5-9]|[4-9])")


@dataclass
class _Turn:
    """Neighbouring contents of one role.

    Attributes:
        role: Whose they are.
        at: The index of the first one.
        calls: The names that are called.
        answers: The names of the functions that respond.
        says: There is something beside calls and responses.
        signed: The first call has a signature.
    """

    role: str
    at: int
    calls: list[str] = field(default_factory=list[str])
    answers: list[str] = field(default_factory=list[str])
    says: bool = False
    signed: bool = True


def gemini_violations(request: Mapping[str, Any], model: str) -> Iterator[Violation]:
    """Apply the rules of Gemini beyond its types."""
    request = _camel(request)
    contents = objects(request.get("contents"))
    if request.get("contents") == []:
        yield violation("messages-empty", ("contents",), "contents is not specified")
    for index, content in contents:
        yield from _content(index, content)
    turns = _turns(contents)
    yield from _pairing(turns)
    yield from _of_the_model(turns, model)
    yield from _tools(request)
    yield from _parameters(_camel(request.get("generationConfig")))


def _camel(value: Any) -> dict[str, Any]:
    """An object with its keys spelled as the documentation does; the service takes both."""
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), key): item
        for key, item in as_object(value).items()
    }


def _content(index: int, content: Mapping[str, Any]) -> Iterator[Violation]:
    at = ("contents", index)
    if content.get("role") not in (None, "user", "model", "function"):
        yield violation("role", (*at, "role"), f"{content.get('role')!r} is neither user nor model")
    if not as_list(content.get("parts")):
        yield violation("content-empty", (*at, "parts"), "must not be empty")
    for i, part in objects(content.get("parts")):
        said = _camel(part)
        if not said.keys() - {"thought", "partMetadata", "mediaResolution"}:
            yield violation("content-empty", (*at, "parts", i), "a part without data")
        for key, role in (("functionCall", "model"), ("functionResponse", "user")):
            found = as_object(said.get(key))
            name = found.get("name")
            if found and content.get("role") not in (role, None, "function"):
                yield violation("block-role", (*at, "parts", i), f"{key} of {content.get('role')}")
            if found and not (isinstance(name, str) and _NAME.fullmatch(name)):
                yield violation("tool-name", (*at, "parts", i, key), f"{name!r} is no name")


def _turns(contents: list[tuple[int, Mapping[str, Any]]]) -> list[_Turn]:
    turns: list[_Turn] = []
    for index, content in contents:
        role = "model" if content.get("role") == "model" else "user"
        if not turns or turns[-1].role != role:
            turns.append(_Turn(role, index))
        for _, part in objects(content.get("parts")):
            _add(turns[-1], _camel(part))
    return turns


def _add(turn: _Turn, part: Mapping[str, Any]) -> None:
    if "functionCall" in part:
        if not turn.calls:
            turn.signed = bool(part.get("thoughtSignature"))
        turn.calls.append(as_text(as_object(part["functionCall"]).get("name")))
    elif "functionResponse" in part:
        turn.answers.append(as_text(as_object(part["functionResponse"]).get("name")))
    else:
        turn.says = True


def _pairing(turns: list[_Turn]) -> Iterator[Violation]:
    before = _Turn("user", 0)
    for place, turn in enumerate(turns):
        at = ("contents", turn.at)
        if turn.calls and place == 0:
            yield violation("call-placement", at, "nobody spoke before the call")
        missing = Counter(before.calls) - Counter(turn.answers)
        if missing:
            yield violation(
                "call-unanswered", ("contents", before.at), f"no response for {sorted(missing)}"
            )
        extra = Counter(turn.answers) - Counter(before.calls)
        if extra:
            yield violation(
                "result-orphan", at, f"responses to calls that nobody made: {sorted(extra)}"
            )
        before = turn
    if before.calls:
        found = f"no response for {sorted(before.calls)}"
        yield violation("call-unanswered", ("contents", before.at), found)


def _of_the_model(turns: list[_Turn], model: str) -> Iterator[Violation]:
    """Apply what only newer models refuse: a last turn of the model, and calls of the running loop without a signature."""
    if turns and turns[-1].role == "model" and _NO_PREFILL.match(model):
        yield violation("prefill", ("contents", turns[-1].at), "the last turn is the model's")
    if not _SIGNS.match(model):
        return
    for turn in reversed(turns):
        if turn.role == "user" and turn.says:
            return  # the running loop began here
        if turn.calls and not turn.signed:
            yield violation(
                "signature", ("contents", turn.at), f"missing on the call of {turn.calls[0]!r}"
            )


def _tools(request: Mapping[str, Any]) -> Iterator[Violation]:
    given = request.get("tools")
    names: set[str] = set()
    for i, tool in objects([given] if isinstance(given, dict) else given):
        for j, function in objects(_camel(tool).get("functionDeclarations")):
            at = ("tools", i, "functionDeclarations", j)
            said = _camel(function)
            name = as_text(said.get("name"))
            if not _NAME.fullmatch(name):
                yield violation("tool-name", (*at, "name"), f"{name!r} is no function name")
            if name in names:
                yield violation("tool-name-duplicate", (*at, "name"), f"{name!r} is there twice")
            names.add(name)
            schema = as_object(said.get("parametersJsonSchema"))
            if schema and as_text(schema.get("type")).lower() != "object":
                where = (*at, "parametersJsonSchema")
                yield violation("tool-schema-root", where, "the root must be of type object")
    yield from _tool_choice(request, names)


def _tool_choice(request: Mapping[str, Any], names: set[str]) -> Iterator[Violation]:
    calling = _camel(_camel(request.get("toolConfig")).get("functionCallingConfig"))
    at = ("toolConfig", "functionCallingConfig")
    mode = as_text(calling.get("mode")).upper()
    if mode == "ANY" and not names:
        yield violation("tool-choice", at, "it is set without function declarations")
    allowed = [as_text(name) for name in as_list(calling.get("allowedFunctionNames"))]
    for name in allowed:
        if name not in names:
            yield violation("tool-choice", at, f"{name!r} is not among the functions")
    if allowed and mode not in ("ANY", "VALIDATED"):
        yield violation("tool-choice", at, f"allowed names with mode {mode or 'AUTO'}")


def _parameters(config: Mapping[str, Any]) -> Iterator[Violation]:
    for key, low, high in _RANGES:
        value = config.get(key)
        if isinstance(value, int | float) and not low <= value <= high:
            yield violation("range", ("generationConfig", key), f"{value} is not in {low}..{high}")
    if len(as_list(config.get("stopSequences"))) > _STOPS:
        where = ("generationConfig", "stopSequences")
        yield violation("range", where, f"more than {_STOPS} sequences")
