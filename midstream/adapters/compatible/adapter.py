"""A server that speaks Chat Completions as an `Adapter`: OpenAI's, with a profile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from midstream.adapters.answer import malformed, mapping
from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.compatible.body import requested
from midstream.adapters.compatible.parse import parse
from midstream.adapters.compatible.profile import Profile
from midstream.adapters.compatible.render import render, render_all
from midstream.adapters.compatible.thinking import Splitter, pieces
from midstream.adapters.failures import Call, made
from midstream.adapters.openai.adapter import OpenAIAdapter
from midstream.adapters.openai.translate import translate
from midstream.adapters.view import Segment, View
from midstream.errors import AdapterError, ConfigError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_NO_KEY = "none"
"""What is sent as the key to a server that wants none; the SDK does not send without."""


class CompatibleAdapter(OpenAIAdapter):
    """A server that speaks Chat Completions.

    Args:
        profile: How it differs from OpenAI.
        api_key: The key; None takes it from the environment, by the name that the profile says.
        base_url: The server; None takes `MIDSTREAM_<PROVIDER>_BASE_URL` from the environment, or the profile's.
        client: A client of the SDK to send with, which stays the caller's to close; it is never let to send again by itself.
        headers: Sent with each request, over the profile's.

    Without a key, where one is needed, everything but sending works; sending raises `AuthenticationError`.

    Raises:
        ConfigError: Nobody says where the server is.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncOpenAI | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.profile = profile
        address = base_url or os.environ.get(profile.address) or profile.base_url
        if not address and client is None:
            raise ConfigError(
                f"nobody says where {profile.provider!r} is; set {profile.address}, or give base_url="
            )
        key = api_key or (os.environ.get(profile.key) if profile.key else _NO_KEY) or ""
        super().__init__(
            api_key=key,
            base_url=address,
            client=client,
            provider=profile.provider,
            headers={**profile.headers, **(headers or {})},
        )
        if client is None and not key:
            self._client = None

    def capabilities(self, model: str) -> Capabilities:
        """See `Adapter.capabilities`."""
        return self.profile.family(model).capabilities

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        return render(view, segment, self.profile)

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """See `BulkAdapter.render_all`."""
        return render_all(view, segments, self.profile)

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        return requested(view, settings, self.profile)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """See `StreamingAdapter.stream`."""
        usage, tags = self.profile.usage_in_streams, self.profile.tags
        splitter = None if tags is None else Splitter(tags)
        async with aclosing(self._streamed(request, usage=usage)) as items:
            async for item in items:
                if splitter is None:
                    yield item
                    continue
                told = pieces(item, splitter) if isinstance(item, Delta) else splitter.end()
                for piece in told:
                    yield piece
                if isinstance(item, ModelResponse):
                    yield item

    @property
    def _key(self) -> str:
        return self.profile.key

    def _parsed(self, data: object, request: ModelRequest) -> ModelResponse:
        found: Any = mapping(data).get("error")
        if found:  # a gateway's failure that came with 200
            code = mapping(found).get("code") or mapping(found).get("type") or found
            raise malformed(f"it holds an error, {code!r}", self.provider, request.model)
        return parse(data, self.profile, request.model, request.names)

    def _ours(self, error: BaseException, call: Call) -> AdapterError | None:
        codes = [str(getattr(error, name, None) or "") for name in ("code", "type")]
        status: int = getattr(getattr(error, "response", None), "status_code", 0)
        kind = next(
            (self.profile.codes[code] for code in codes if code in self.profile.codes), None
        )
        if kind is None and status in self.profile.statuses:
            kind = self.profile.statuses[status]
        if kind is None:
            return translate(error, call)
        return made(kind, error, call, next(filter(None, codes), ""))
