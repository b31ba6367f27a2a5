"""The servers that are known: what their documentation, and what they were seen to refuse, says."""

from __future__ import annotations

import re
from collections.abc import Mapping

from midstream.adapters.compatible.profile import Profile, models
from midstream.adapters.compatible.thinking import Tags
from midstream.adapters.telling import Fit
from midstream.errors import ContextWindowError, OverloadedError, QuotaError, UnavailableError

_SOME = "low medium high"

MISTRAL = Profile(
    "mistral",
    "https://api.mistral.ai/v1",
    "MISTRAL_API_KEY",
    families=(
        models("magistral", window=131_072, images=False, traits="thinks"),
        models("(codestral|devstral|open-mistral|ministral)", images=False, structured="native"),
        models(),
    ),
    ids=Fit(re.compile("[a-zA-Z0-9]{9}"), 9),
    instructions="leading",
    after_tool=True,
    names_results=True,
    call_content="empty",
    required="any",
    seed="random_seed",
    stops=None,
    usage_in_streams=False,
)
"""Source: docs.mistral.ai/api; 400 `Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9.`, 400 (3230) `Unexpected
role 'user' after role 'tool'`, 422 for fields it does not know."""

DEEPSEEK = Profile(
    "deepseek",
    "https://api.deepseek.com",
    "DEEPSEEK_API_KEY",
    families=(
        models(
            "deepseek-(reasoner|v[4-9])",
            window=131_072,
            images=False,
            efforts="high max",
            without="temperature top_p seed parallel_tool_calls tool_choice",
            structured="text",
            traits="thinks",
        ),
        models(window=131_072, images=False, without="seed parallel_tool_calls", structured="tool"),
    ),
    call_content="empty",
    flat=True,
    thoughts="needed",
    strict=False,
    stops=16,
    failed=frozenset(("error", "insufficient_system_resource")),
)
"""Source: api-docs.deepseek.com, thinking mode; 400 `The reasoning_content in the thinking mode must be passed back to the API.`
and `Thinking mode does not support this tool_choice`; ``unknown variant `file`, expected `text` ``."""

GROQ = Profile(
    "groq",
    "https://api.groq.com/openai/v1",
    "GROQ_API_KEY",
    families=(
        models("gpt-oss", window=131_072, images=False, efforts=_SOME),
        models("qwen", images=False, efforts="none", structured="tool"),
        models("(meta-)?llama-4", window=131_072),
        models(images=False, structured="tool"),
    ),
    tags=Tags(),
    limit="max_completion_tokens",
    codes={"request_too_large": ContextWindowError},
    statuses={498: OverloadedError},
)
"""Source: console.groq.com/docs/openai (fields that get a 400), /docs/reasoning and /docs/errors (498: flex capacity)."""

OPENROUTER = Profile(
    "openrouter",
    "https://openrouter.ai/api/v1",
    "OPENROUTER_API_KEY",
    families=(
        models(documents=True, efforts="none minimal low medium high xhigh", structured="native"),
    ),
    effort="reasoning",
    statuses={402: QuotaError, 502: UnavailableError},
)
"""Source: openrouter.ai/docs, parameters, reasoning-tokens (`reasoning_details` go back as they came) and errors."""

XAI = Profile(
    "xai",
    "https://api.x.ai/v1",
    "XAI_API_KEY",
    families=(
        models(r"grok-3-mini", window=131_072, images=False, efforts="low high", without="stop"),
        models("grok-3", window=131_072, images=False),
        models(r"grok-4[.-]3", window=1_000_000, efforts="none low medium high", without="stop"),
        models(r"grok-4[.-][4-9]", efforts=_SOME, without="stop"),
        models("grok-(4|code|build)", window=256_000, without="stop"),
        models(),
    ),
    limit="max_completion_tokens",
    reasoning_outside=True,
)
"""Source: docs.x.ai, reasoning (no `stop` for models that reason; effort by model) and chat completions (tokens of reasoning are
beside those of the answer)."""

OLLAMA = Profile(
    "ollama",
    "http://localhost:11434/v1",
    families=(models(efforts="none low medium high", without="tool_choice parallel_tool_calls"),),
    tags=Tags(),
    strict=False,
    stops=None,
)
"""Source: docs.ollama.com/api/openai-compatibility, supported request fields."""

VLLM = Profile(
    "vllm",
    families=(
        models(r"(?i)(meta-)?llama-?3", efforts=_SOME, traits="one_call"),
        models(efforts=_SOME),
    ),
    tags=Tags(),
    strict=False,
    stops=None,
)
"""Source: docs.vllm.ai, OpenAI-compatible server, and tool calling (`Parallel tool calls are not supported for Llama 3`); what a model's template refuses (alternation, a second instruction) is a
profile of one's own."""

LLAMACPP = Profile(
    "llamacpp",
    "http://localhost:8080/v1",
    families=(models(),),
    instructions="first",
    tags=Tags(),
    strict=False,
    named=False,
    stops=None,
    codes={"exceed_context_size_error": ContextWindowError},
)
"""Source: github.com/ggml-org/llama.cpp, tools/server/README.md; 500 `System message must be at the beginning.` of templates."""

COMPATIBLE = Profile("compatible", tags=Tags())
"""A server that nobody has described; its address is `MIDSTREAM_COMPATIBLE_BASE_URL`, or given."""

PROFILES: Mapping[str, Profile] = {
    profile.provider: profile
    for profile in (
        MISTRAL,
        DEEPSEEK,
        GROQ,
        OPENROUTER,
        XAI,
        OLLAMA,
        VLLM,
        LLAMACPP,
        COMPATIBLE,
    )
}
