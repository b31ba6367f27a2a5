"""Failures that Responses tells inside of an answer, to ours; those that the SDK raises are in the table of Chat Completions.

Source: `openai.types.responses.ResponseError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.answer import text
from midstream.adapters.failures import Kind
from midstream.adapters.openai.translate import CODES
from midstream.errors import (
    AdapterError,
    BadRequestError,
    ContextWindowError,
    PermanentError,
    UnavailableError,
)

FAILED: Mapping[str, Kind] = {
    **CODES,
    "context_window_exceeded": ContextWindowError,
    "model_not_found": BadRequestError,
    "invalid_prompt": BadRequestError,
    "data_residency_mismatch": PermanentError,
    "bio_policy": PermanentError,
    "misalignment_policy_violation": PermanentError,
    "vector_store_timeout": UnavailableError,
    "invalid_image": BadRequestError,
    "invalid_image_format": BadRequestError,
    "invalid_base64_image": BadRequestError,
    "invalid_image_url": BadRequestError,
    "image_too_large": BadRequestError,
    "image_too_small": BadRequestError,
    "image_parse_error": BadRequestError,
    "image_content_policy_violation": PermanentError,
    "invalid_image_mode": BadRequestError,
    "image_file_too_large": BadRequestError,
    "unsupported_image_media_type": BadRequestError,
    "empty_image_file": BadRequestError,
    "failed_to_download_image": BadRequestError,
    "image_file_not_found": BadRequestError,
}
"""By the code of the error in an answer of status `failed`; of a code that is not here another try may help."""


def failed(error: Mapping[str, Any], provider: str, model: str) -> AdapterError:
    """Return our error for an answer that says that it failed."""
    codes = [text(error.get("code")), text(error.get("type"))]
    code = next((code for code in codes if code in FAILED), "")
    said = " ".join(text(error.get("message")).split())[:500] or "it does not say why"
    named = code or next(filter(None, codes), "no code")
    return FAILED.get(code, UnavailableError)(
        f"{provider} failed for {model!r} ({named}): {said}", provider=provider, model=model
    )
