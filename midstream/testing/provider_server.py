"""A stand-in for the providers, on loopback, that refuses what they refuse.

The real SDKs talk to it over HTTP, whole and streamed. It answers from a script, and an answer that is computed only
from the request shows whether the history in the request was right.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

from midstream.testing.json_reading import as_text
from midstream.testing.loopback import HOST, Exchange, LoopbackServer
from midstream.testing.playing import play
from midstream.testing.script import Answer, Fault
from midstream.testing.seen import Seen
from midstream.testing.violations import Violation
from midstream.testing.wire import Ids, Refusal, Wire
from midstream.testing.wire_anthropic import AnthropicWire
from midstream.testing.wire_gemini import GeminiWire
from midstream.testing.wire_judge import judge
from midstream.testing.wire_openai import OpenAIWire
from midstream.testing.wire_responses import ResponsesWire

Script: TypeAlias = Callable[[Seen], Answer | Fault] | Sequence[Answer | Fault]
"""A function of what was seen, or answers in the order of the requests."""

_OPENAI, _ANTHROPIC, _GEMINI = OpenAIWire(), AnthropicWire(), GeminiWire()
_ROUTES: Mapping[str, Wire] = {
    "/openai/v1/chat/completions": _OPENAI,
    "/openai/v1/responses": ResponsesWire(),
    "/anthropic/v1/messages": _ANTHROPIC,
}
_GENERATE = re.compile(r"/gemini/v1(?:beta|alpha)?/models/(.+):(generate|streamGenerate)Content")
_HEADS: Sequence[tuple[str, Wire]] = (("/anthropic", _ANTHROPIC), ("/gemini", _GEMINI))


class ProviderServer:
    """Speaks OpenAI Chat Completions and Responses, Anthropic Messages and Gemini on a random port of 127.0.0.1.

    Every request is judged, and refused with status 400 in the vendor's own shape when it breaks a rule; 401 without a
    key (any key is a good one), 404 for another path. Neither a refused request nor one without a key uses up a step
    of the script.

    ```python
    with ProviderServer([Fault.rate_limit(0.1), Answer("hello")]) as server:
        client = AsyncOpenAI(base_url=server.openai_url, api_key="any", max_retries=0)
    ```
    """

    def __init__(self, answer: Script) -> None:
        """Take the script; nothing listens before `start`.

        Args:
            answer: A function of what was seen, called in the thread of the connection, so for several requests at
                once; or the answers in the order of the requests. When the function raises, or the answers are used
                up, the client gets status 500 with the reason, and the exception is kept in `script_errors`.
        """
        self._script = answer
        self._lock = threading.Lock()
        self._ids = Ids()
        self._step = 0
        self._requests: list[Seen] = []
        self._refused: list[tuple[Seen, tuple[Violation, ...]]] = []
        self._script_errors: list[Exception] = []
        self._server: LoopbackServer | None = None

    @property
    def url(self) -> str:
        """Where it listens.

        Raises:
            RuntimeError: It is not running.
        """
        if self._server is None:
            raise RuntimeError(
                "the server is not running; use `with ProviderServer(...)` or call start()"
            )
        return f"http://{HOST}:{self._server.server_port}"

    @property
    def openai_url(self) -> str:
        """The `base_url` for the openai SDK."""
        return f"{self.url}/openai/v1"

    @property
    def anthropic_url(self) -> str:
        """The `base_url` for the anthropic SDK."""
        return f"{self.url}/anthropic"

    @property
    def gemini_url(self) -> str:
        """The `base_url` for the google-genai SDK."""
        return f"{self.url}/gemini"

    @property
    def requests(self) -> list[Seen]:
        """Every request with a JSON body, in order of arrival, the refused ones included; a copy."""
        with self._lock:
            return list(self._requests)

    @property
    def refused(self) -> list[tuple[Seen, tuple[Violation, ...]]]:
        """The requests that broke rules, and which ones; a copy."""
        with self._lock:
            return list(self._refused)

    @property
    def script_errors(self) -> list[Exception]:
        """What the answer function raised, and the requests that came after the last answer; a copy."""
        with self._lock:
            return list(self._script_errors)

    def start(self) -> Self:
        """Listen; a running server is left as it is."""
        if self._server is None:
            self._server = LoopbackServer(self._respond)
        return self

    def close(self) -> None:
        """End all connections; when it returns no thread and no socket is left. Closing twice is allowed."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _respond(self, exchange: Exchange) -> None:
        raw = exchange.read_body()
        path = exchange.path.partition("?")[0]
        asked = _GENERATE.fullmatch(path)
        wire = _GEMINI if asked else _ROUTES.get(path)
        spoken = wire or next((w for head, w in _HEADS if path.startswith(head)), _OPENAI)
        request_id = spoken.request_id(self._ids)
        headers = {spoken.request_id_header: request_id}
        if wire is None or exchange.command != "POST":
            _refuse(exchange, spoken.unknown_path(exchange.command, path, request_id), headers)
            return
        body = _json_object(raw)
        if body is None:
            message = "We could not parse the JSON body of your request: expected an object."
            _refuse(exchange, wire.refusal("bad_request", message, request_id), headers)
            return
        seen = _seen(wire, body, exchange.lower_headers)
        if asked:  # the address says what the others say in the body
            stream = asked[2] == "streamGenerate"
            seen = replace(seen, model=unquote(asked[1]), stream=stream)
        refusal = self._admit(wire, seen, request_id)
        if refusal is not None:
            _refuse(exchange, refusal, headers)
            return
        with self._lock:
            self._requests.append(seen)
        self._perform(exchange, wire, seen, request_id)

    def _admit(self, wire: Wire, seen: Seen, request_id: str) -> Refusal | None:
        if wire.key_missing(seen.headers):
            violations: tuple[Violation, ...] = ()
            refusal = wire.missing_key(request_id)
        elif (missing := wire.headers_missing(seen.headers)) is not None:
            violations = ()
            refusal = wire.refusal("bad_request", missing, request_id)
        else:
            version = seen.headers.get("anthropic-version")
            violations = judge(wire.dialect, seen.body, api_version=version, model=seen.model)
            if not violations:
                return None
            refusal = wire.violated(violations, request_id)
        with self._lock:
            self._requests.append(seen)
            if violations:
                self._refused.append((seen, violations))
        return refusal

    def _perform(self, exchange: Exchange, wire: Wire, seen: Seen, request_id: str) -> None:
        headers = {wire.request_id_header: request_id}
        try:
            said = self._next(seen)
            body = {**seen.body, "model": seen.model, "stream": seen.stream}
            scene = play(said, wire, body, self._ids)
        except Exception as error:  # noqa: BLE001  # the script is the user's code
            with self._lock:
                self._script_errors.append(error)
            message = f"the script of the server failed: {type(error).__name__}: {error}"
            _refuse(exchange, wire.refusal("server_error", message, request_id), headers)
            return
        scene(exchange, request_id, headers)

    def _next(self, seen: Seen) -> Answer | Fault:
        if callable(self._script):
            return self._script(seen)
        with self._lock:
            step, self._step = self._step, self._step + 1
        if step >= len(self._script):
            raise LookupError(
                f"request {step + 1} came, and the script has {len(self._script)} answers"
            )
        return self._script[step]


def _json_object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType]  # JSON


def _seen(wire: Wire, body: Mapping[str, Any], headers: Mapping[str, str]) -> Seen:
    reading = wire.read(body)
    return Seen(
        dialect=wire.dialect,
        model=as_text(body.get("model")),
        stream=body.get("stream") is True,
        system=reading.system,
        turns=reading.turns,
        tool_names=reading.tool_names,
        body=body,
        headers=headers,
    )


def _refuse(exchange: Exchange, refusal: Refusal, headers: Mapping[str, str]) -> None:
    exchange.reply_json(refusal.status, refusal.body, {**headers, **refusal.headers})
