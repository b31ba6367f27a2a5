"""Gemini as a `Dialect`: its pure functions, without an SDK."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from midstream.adapters.base import ModelRequest, ModelResponse, Settings
from midstream.adapters.capabilities import gemini_family
from midstream.adapters.dialect import Dialect
from midstream.adapters.gemini.body import requested
from midstream.adapters.gemini.parse import Assembly, parse
from midstream.adapters.gemini.read import read
from midstream.adapters.gemini.render import render, render_all
from midstream.adapters.imported import Imported
from midstream.adapters.view import Segment, View


class Gemini:
    """See `Dialect`."""

    provider = "gemini"
    model = "gemini-2.5-flash"
    streams = False

    def read(self, body: Mapping[str, Any]) -> Imported:
        """See `Dialect.read`."""
        return read(body, provider=self.provider)

    def render(self, view: View, segment: Segment) -> View:
        """See `Dialect.render`."""
        return render(view, segment, self.provider, gemini_family(view.model))

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """See `Dialect.render_all`."""
        return render_all(view, segments, self.provider, gemini_family(view.model))

    def requested(self, view: View, settings: Settings) -> ModelRequest:
        """See `Dialect.requested`."""
        return requested(view, settings, self.provider, gemini_family(view.model))

    def conversation(self, view: View) -> dict[str, Any]:
        """See `Dialect.conversation`."""
        return {**view.head, "contents": view.tape.list()}

    def assembly(self) -> Assembly:
        """See `Dialect.assembly`."""
        return Assembly({})

    def parse(self, data: Any, model: str) -> ModelResponse:
        """See `Dialect.parse`."""
        return parse(data, provider=self.provider, model=model, names={})


FORMAT: Dialect = Gemini()
