"""Servers that speak Chat Completions and are not OpenAI: each is a profile of the one adapter."""

from functools import partial

from midstream.adapters.compatible.adapter import CompatibleAdapter
from midstream.adapters.compatible.profile import Profile, models
from midstream.adapters.compatible.profiles import (
    COMPATIBLE,
    DEEPSEEK,
    GROQ,
    LLAMACPP,
    MISTRAL,
    OLLAMA,
    OPENROUTER,
    PROFILES,
    VLLM,
    XAI,
)
from midstream.adapters.compatible.thinking import Tags

mistral = partial(CompatibleAdapter, MISTRAL)
deepseek = partial(CompatibleAdapter, DEEPSEEK)
groq = partial(CompatibleAdapter, GROQ)
openrouter = partial(CompatibleAdapter, OPENROUTER)
xai = partial(CompatibleAdapter, XAI)
ollama = partial(CompatibleAdapter, OLLAMA)
vllm = partial(CompatibleAdapter, VLLM)
llamacpp = partial(CompatibleAdapter, LLAMACPP)
compatible = partial(CompatibleAdapter, COMPATIBLE)

__all__ = [
    "PROFILES",
    "CompatibleAdapter",
    "Profile",
    "Tags",
    "compatible",
    "deepseek",
    "groq",
    "llamacpp",
    "mistral",
    "models",
    "ollama",
    "openrouter",
    "vllm",
    "xai",
]
