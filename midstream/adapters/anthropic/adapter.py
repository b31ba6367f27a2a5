"""Anthropic's Messages as an `Adapter`: the one place of its I/O."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from midstream.adapters.answer import malformed, mapping
from midstream.adapters.anthropic.body import requested
from midstream.adapters.anthropic.parse import Assembly, parse
from midstream.adapters.anthropic.render import render, render_all
from midstream.adapters.anthropic.translate import translate
from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.capabilities import Family, anthropic_family, family_of
from midstream.adapters.failures import Call, foreign
from midstream.adapters.headers import http_client
from midstream.adapters.native import WHOLE
from midstream.adapters.posting import posted
from midstream.adapters.view import Segment, View
from midstream.errors import AuthenticationError

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_PATH = "/v1/messages"
_KEY = "ANTHROPIC_API_KEY"


class AnthropicAdapter:
    """Anthropic's Messages.

    Args:
        api_key: The key; None takes what the SDK takes from its environment, `ANTHROPIC_API_KEY` first.
        base_url: The server; None takes `ANTHROPIC_BASE_URL`, or Anthropic's own.
        client: A client of the SDK to send with, which stays the caller's to close; it is never let to send again by itself.
        provider: The provider's name that it answers for, where it is not Anthropic.
        headers: Sent with each request.
        families: What models take, where that is not what is known here; the first whose pattern fits the name decides.
        connect: Seconds for the connection; None for the SDK's own.

    Without a key everything but sending works; sending raises `AuthenticationError`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncAnthropic | None = None,
        provider: str = "anthropic",
        headers: Mapping[str, str] | None = None,
        families: Sequence[Family] = (),
        connect: float | None = None,
    ) -> None:
        import anthropic

        self._sdk = anthropic
        self._provider = provider
        self._families = tuple(families)
        self._owned = client is None
        self._client: AsyncAnthropic = (
            anthropic.AsyncAnthropic(
                api_key=api_key,
                base_url=base_url,
                default_headers=headers,
                max_retries=0,
                http_client=http_client(anthropic, connect),
            )
            if client is None
            else client.with_options(max_retries=0)
        )

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
            told = posted(request, exact=self._exact, **WHOLE)
            data: object = await self._ready(request).post(_PATH, cast_to=object, **told)
        return self._parsed(data, request)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """See `StreamingAdapter.stream`."""
        assembly = Assembly(request.names)
        with self._translated(request):
            events = await self._ready(request).post(
                _PATH,
                cast_to=object,
                **posted(request, exact=self._exact, stream=True),
                stream=True,
                stream_cls=self._sdk.AsyncStream[object],
            )
            async with events:
                async for event in events:
                    for delta in assembly.add(event):
                        yield delta
        yield self._parsed(assembly.whole(), request)

    async def close(self) -> None:
        """See `Adapter.close`."""
        if self._owned:
            await self._client.close()

    def _family(self, model: str) -> Family:
        return family_of(model, self._families, anthropic_family)

    def _parsed(self, data: object, request: ModelRequest) -> ModelResponse:
        found = mapping(mapping(data).get("error"))
        if found:  # a gateway's failure that came with 200
            said = f"it holds an error, {found.get('type')!r}"
            raise malformed(said, self._provider, request.model)
        return parse(data, provider=self._provider, model=request.model, names=request.names)

    @property
    def _exact(self) -> bool:
        """The client sends a body as it is given; one of another class may look into it."""
        return type(self._client) is self._sdk.AsyncAnthropic

    def _ready(self, request: ModelRequest) -> AsyncAnthropic:
        client = self._client
        credentials = (client.api_key, client.auth_token, getattr(client, "credentials", None))
        if (
            all(item is None for item in credentials)
            and "Authorization" not in client.default_headers
        ):
            raise AuthenticationError(
                f"there is no key for {self._provider!r}; set {_KEY}, or give api_key=",
                provider=self._provider,
                model=request.model,
            )
        return client

    @contextmanager
    def _translated(self, request: ModelRequest) -> Generator[None]:
        failures: tuple[type[BaseException], ...] = (self._sdk.AnthropicError, *foreign())
        try:
            yield
        except failures as error:
            window = self.capabilities(request.model).context_window
            call = Call(self._provider, request.model, request.size, time.time(), window)
            ours = translate(error, call)
            if ours is None:
                raise
            raise ours from error
