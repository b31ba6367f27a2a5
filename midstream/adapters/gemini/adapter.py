"""Google's Gemini as an `Adapter`: the one place of its I/O.

Bodies go out and come in as JSON through the SDK's own transport, not through its types: they would drop the parts and fields
that they do not know, which a conversation has to give back. See docs/decisions/0020.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from midstream.adapters.answer import malformed, mapping
from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.capabilities import Family, family_of, gemini_family
from midstream.adapters.failures import Call, foreign
from midstream.adapters.gemini.body import requested
from midstream.adapters.gemini.parse import Assembly, parse
from midstream.adapters.gemini.render import render, render_all
from midstream.adapters.gemini.translate import translate
from midstream.adapters.view import Segment, View
from midstream.errors import AuthenticationError, ConfigError

if TYPE_CHECKING:
    from google.genai import Client

_KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")


class GeminiAdapter:
    """Google's Gemini.

    Args:
        api_key: The key; None takes `GEMINI_API_KEY` or else `GOOGLE_API_KEY` from the environment.
        base_url: The server; None takes what the SDK takes, Google's own.
        client: A client of the SDK to send with, such as one of Vertex AI, which stays the caller's to close; it is never let
            to send again by itself.
        provider: The provider's name that it answers for, where it is not Gemini.
        headers: Sent with each request.
        families: What models take, where that is not what is known here; the first whose pattern fits the name decides.

    Without a key everything but sending works; sending raises `AuthenticationError`.

    Raises:
        ConfigError: The SDK is not installed.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: Client | None = None,
        provider: str = "gemini",
        headers: Mapping[str, str] | None = None,
        families: Sequence[Family] = (),
    ) -> None:
        try:
            from google import genai
        except ModuleNotFoundError as error:
            raise ConfigError(
                "the SDK of Gemini is not installed; pip install 'midstream[gemini]'"
            ) from error
        self._sdk = genai
        self._provider = provider
        self._families = tuple(families)
        self._owned = client is None
        self._client = client
        key = api_key or next(filter(None, map(os.environ.get, _KEYS)), None)
        if client is None and key:
            options = genai.types.HttpOptions(
                base_url=base_url, headers=dict(headers) if headers else None
            )
            self._client = genai.Client(api_key=key, vertexai=False, http_options=options)

    @property
    def provider(self) -> str:
        """See `Adapter.provider`."""
        return self._provider

    def capabilities(self, model: str) -> Capabilities:
        """See `Adapter.capabilities`."""
        return self._family(model).capabilities

    def begin(self, model: str) -> View:
        """See `Adapter.begin`."""
        return View(model)

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        return render(view, segment, self._provider, self._family(view.model))

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """See `BulkAdapter.render_all`."""
        return render_all(view, segments, self._provider, self._family(view.model))

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        return requested(view, settings, self._provider, self._family(view.model))

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """See `Adapter.complete`."""
        with self._translated(request):
            path = self._path(request, "generateContent")
            answer = await self._transport(request).async_request(
                "post", path, dict(request.body), self._once()
            )
            data: object = json.loads(answer.body)
        return self._parsed(data, request)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """See `StreamingAdapter.stream`."""
        assembly = Assembly(request.names)
        with self._translated(request):
            path = self._path(request, "streamGenerateContent") + "?alt=sse"
            events = await self._transport(request).async_request_streamed(
                "post", path, dict(request.body), self._once()
            )
            try:
                async for event in events:
                    for delta in assembly.add(json.loads(event.body)):
                        yield delta
            finally:
                await events.aclose()
        yield self._parsed(assembly.whole(), request)

    async def close(self) -> None:
        """See `Adapter.close`."""
        if self._owned and self._client is not None:
            await self._client.aio.aclose()
            self._client.close()

    def _family(self, model: str) -> Family:
        return family_of(model, self._families, gemini_family)

    def _parsed(self, data: object, request: ModelRequest) -> ModelResponse:
        found = mapping(mapping(data).get("error"))
        if found:  # a gateway's failure that came with 200
            said = f"it holds an error, {found.get('status')!r}"
            raise malformed(said, self._provider, request.model)
        return parse(data, provider=self._provider, model=request.model, names=request.names)

    def _path(self, request: ModelRequest, method: str) -> str:
        """Return the address below the server's: a model of Vertex AI is in a collection of its publisher."""
        model = quote(request.model, safe="/@.-_")
        if "/" not in model:
            vertex = self._client is not None and self._client.vertexai
            model = f"publishers/google/models/{model}" if vertex else f"models/{model}"
        return f"{model}:{method}"

    def _once(self) -> Any:
        """Return options under which the SDK sends a single time; with none it repeats some by itself."""
        types = self._sdk.types
        return types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=1))

    def _transport(self, request: ModelRequest) -> Any:
        if self._client is None:
            raise AuthenticationError(
                f"there is no key for {self._provider!r}; set {_KEYS[0]}, or give api_key=",
                provider=self._provider,
                model=request.model,
            )
        return self._client._api_client  # pyright: ignore[reportPrivateUsage]  # see the module

    @contextmanager
    def _translated(self, request: ModelRequest) -> Generator[None]:
        sdk = self._sdk.errors
        failures: tuple[type[BaseException], ...] = (
            sdk.APIError,
            sdk.UnknownApiResponseError,
            TimeoutError,
            ConnectionError,
            *foreign(),
        )
        try:
            yield
        except failures as error:
            window = self.capabilities(request.model).context_window
            call = Call(self._provider, request.model, request.size, time.time(), window)
            ours = translate(error, call)
            if ours is None:
                raise
            raise ours from error
