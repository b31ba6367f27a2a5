"""OpenAI's Responses as an `Adapter`; client, key and failures are those of Chat Completions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.capabilities import Family, family_of, responses_family
from midstream.adapters.native import WHOLE
from midstream.adapters.openai.adapter import OpenAIAdapter
from midstream.adapters.posting import posted
from midstream.adapters.responses.body import requested
from midstream.adapters.responses.parse import Assembly, parse
from midstream.adapters.responses.render import render, render_all
from midstream.adapters.view import Segment, View

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_PATH = "/responses"


class ResponsesAdapter(OpenAIAdapter):
    """OpenAI's Responses, stateless: the log is the only memory, and each request says all.

    Args:
        api_key: The key; None takes `OPENAI_API_KEY` from the environment.
        base_url: The server; None takes `OPENAI_BASE_URL`, or OpenAI's own.
        client: A client of the SDK to send with, which stays the caller's to close; it is never let to send again by itself.
        provider: The provider's name that it answers for. What one dialect said is not the other's, so two adapters must not
            share a name.
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
        client: AsyncOpenAI | None = None,
        provider: str = "openai-responses",
        headers: Mapping[str, str] | None = None,
        families: Sequence[Family] = (),
        connect: float | None = None,
    ) -> None:
        super().__init__(
            api_key=api_key,
            base_url=base_url,
            client=client,
            provider=provider,
            headers=headers,
            families=families,
            connect=connect,
        )

    def capabilities(self, model: str) -> Capabilities:
        """See `Adapter.capabilities`."""
        return self._family(model).capabilities

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        return render(view, segment, self.provider, self._family(view.model))

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """See `BulkAdapter.render_all`."""
        return render_all(view, segments, self.provider, self._family(view.model))

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        return requested(view, settings, self.provider, self._family(view.model))

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

    def _family(self, model: str) -> Family:
        return family_of(model, self._families, responses_family)

    def _parsed(self, data: object, request: ModelRequest) -> ModelResponse:
        return parse(data, provider=self.provider, model=request.model, names=request.names)
