"""What a judge finds: a rule, a place, and a sentence; and the sources of the rules.

`schema` stands for the vendor's own request type; the others are what a vendor refuses although its types allow
it. What recorded traffic shows to be accepted is no rule here, whatever folklore says: turns need not alternate,
the first one need not be the user's, tools need not be declared when the history has calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

WireDialect: TypeAlias = Literal["openai-chat", "openai-responses", "anthropic", "gemini"]
"""A wire format: OpenAI Chat Completions, OpenAI Responses, Anthropic Messages, or Gemini generateContent."""

RULES: Mapping[str, str] = {
    "schema": "the request does not fit the official SDK's type",
    "surrogate": "Anthropic: 'The request body is not valid JSON: no low surrogate in string'",
    "messages-empty": "Anthropic: 'messages: at least one message is required'; OpenAI: \"Invalid 'messages': empty array.\"",
    "content-empty": "Anthropic: 'all messages must have non-empty content except for the optional final assistant message';"
    " OpenAI: \"Invalid value for 'content': expected a string, got null.\"",
    "text-empty": "Anthropic: 'messages: text content blocks must be non-empty'",
    "text-blank": "Anthropic: 'messages: text content blocks must contain non-whitespace text'",
    "block-role": "Anthropic: '`tool_use` blocks can only be in `assistant` messages', '`tool_result` blocks can only be in"
    " `user` messages'; OpenAI: \"Image URLs are only allowed for messages with role 'user'\"",
    "call-unanswered": "Anthropic: '`tool_use` ids were found without `tool_result` blocks immediately after'; OpenAI: \"An"
    " assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.\"",
    "result-orphan": "Anthropic: 'unexpected `tool_use_id` found in `tool_result` blocks'; OpenAI: \"messages with role"
    " 'tool' must be a response to a preceeding message with 'tool_calls'.\"",
    "result-duplicate": "Anthropic: 'each tool_use must have a single result'",
    "result-late": "platform.claude.com/docs, handle-tool-calls: tool_result blocks come first in the content array",
    "call-id-duplicate": "Anthropic: 'messages: `tool_use` ids must be unique' (within one turn)",
    "call-id": "Anthropic: \"String should match pattern '^[a-zA-Z0-9_-]+$'\"; OpenAI: 'string too long. Expected a string"
    " with maximum length 40'",
    "calls-empty": "OpenAI: \"Invalid 'messages[n].tool_calls': empty array.\"",
    "arguments": "OpenAI: arguments are a JSON string; Anthropic: '`tool_use.input`: Input should be a valid dictionary'",
    "tool-name": "Anthropic: '^[a-zA-Z0-9_-]{1,128}$' when declared, 200 characters in the history; OpenAI:"
    " '^[a-zA-Z0-9_-]+$', 64 characters",
    "tool-name-duplicate": "Anthropic: 'tools: Tool names must be unique.'",
    "tools-empty": "OpenAI: \"Invalid 'tools': empty array. Expected an array with minimum length 1\", at most 128",
    "tool-schema-root": "Anthropic: 'input_schema.type: Field required', 'input_schema does not support oneOf, allOf, or anyOf"
    " at the top level'; OpenAI: 'schema must be a JSON Schema of \\'type: \"object\"\\''",
    "tool-choice": "Anthropic: 'tool_choice may only be specified while providing tools'; OpenAI: \"'tool_choice' is only"
    " allowed when 'tools' are specified.\"",
    "parallel-without-tools": "OpenAI: \"'parallel_tool_calls' is only allowed when 'tools' are specified.\"",
    "stream-options": "OpenAI: \"The 'stream_options' parameter is only allowed when 'stream' is enabled.\"",
    "range": "OpenAI: \"Invalid 'temperature': decimal above maximum value.\"; Anthropic: 'temperature: range: 0..1'",
    "version": "Anthropic API version 2026-10-21: no temperature, top_p, top_k, no document in assistant messages, no"
    " citations on user text",
    "role": "Gemini: 'Please use a valid role: user, model.'",
    "call-placement": "Gemini: 'Please ensure that function call turn comes immediately after a user turn or after a function"
    " response turn.'",
    "signature": "Gemini 3: 'Function call is missing a thought_signature in functionCall parts.'",
    "item-id": "Responses: \"Invalid 'input[n].id': Expected an ID that begins with 'fc'.\", 'Duplicate item found with id', 64"
    " characters",
    "reasoning-follower": "Responses: \"Item 'rs_…' of type 'reasoning' was provided without its required following item.\"",
    "prefill": "Anthropic: 'final assistant content cannot end with trailing whitespace', 'This model does not support"
    " assistant message prefill. The conversation must end with a user message.'",
}
"""Each rule of the judge and its source: the vendor's words where it is quoted."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why the vendor would refuse a request.

    Attributes:
        rule: A key of `RULES`.
        path: Where, as a JSON pointer: `/messages/2/content/0`.
        message: What was found, and what was wanted.
    """

    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or '/'}: {self.message} ({self.rule})"


def violation(rule: str, path: Iterable[str | int], message: str) -> Violation:
    """Make a violation of a rule that is in the table."""
    if rule not in RULES:
        raise KeyError(rule)
    return Violation(rule, "".join(f"/{part}" for part in path), message)
