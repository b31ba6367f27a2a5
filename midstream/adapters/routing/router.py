"""Groups, pools and endpoints in one object: made once, shared by whoever asks, used with a graph or without."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import JsonValue

from midstream.adapters.base import Adapter, Capabilities, Delta, ModelRequest, ModelResponse
from midstream.adapters.routing.answers import Accept, Answer, messages_of
from midstream.adapters.routing.asking import Asking, Conversation
from midstream.adapters.routing.choose import Ask, candidates, choose
from midstream.adapters.routing.config import RoutingConfig, TimeoutConfig
from midstream.adapters.routing.connecting import Connections
from midstream.adapters.routing.health import look_after
from midstream.adapters.routing.ledger import Ledger, Time
from midstream.adapters.routing.line import Line, urgency
from midstream.adapters.routing.loading import Loaded, load, parse
from midstream.adapters.routing.neutral import needs, tokens, told
from midstream.adapters.routing.oversight import Oversight
from midstream.adapters.routing.route import Endpoint, Manner
from midstream.adapters.routing.table import Table
from midstream.adapters.routing.walk import TOTAL, Price, Walk
from midstream.adapters.view import Segment, View
from midstream.errors import ConfigError
from midstream.events.codec import Redact
from midstream.events.content import Message, ToolSpec
from midstream.events.payloads import Usage
from midstream.events.store import EventStore

OUTPUT = 1024
"""Tokens that an answer is taken to have where no `max_tokens` is given."""


class _Clock:
    """The wall clock."""

    def now(self) -> float:
        import time

        return time.time()


class Router(Oversight):
    """Asks whoever a configuration names; an asynchronous context manager.

    Args:
        config: What it says: a configuration, what `load` returned, or plain data.
        store: Where breakers, limits and turns are kept, shared by all processes that open it; None keeps them here.
        adapters: Adapters by endpoint or provider, in place of those that are made from the environment.
        clock: Tells the time.
        price: What answers cost; None for nobody knows.
        watch: Seconds between two looks at whether the configuration's files have changed; None for none.
        env: Where keys are; None for the environment of the process.
    """

    def __init__(
        self,
        config: RoutingConfig | Loaded | Mapping[str, Any],
        *,
        store: EventStore | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        clock: Time | None = None,
        price: Price | None = None,
        watch: float | None = None,
        env: Mapping[str, str] | None = None,
        redact: Redact | None = None,
    ) -> None:
        self._env = os.environ if env is None else env
        self._connections = Connections(adapters, env)
        self.loaded: Loaded | None = config if isinstance(config, Loaded) else None
        """The configuration in force with its origins, where it was loaded."""
        self.path: Path | None = None
        """What `reload` reads again."""
        self.reload_error: ConfigError | None = None
        """Why the newest configuration was not taken, or None."""
        self._clock = clock or _Clock()
        self._ledger = Ledger(store, self._clock, redact=redact)
        super().__init__(Table(_config(config), self._connections.providers()), self._ledger)
        self._line = Line(self._clock, self._ledger.at)
        self._ledger.changed = self._line.look
        self._asking = Asking(self._connections, self._ledger)
        self._price: Price = price or _no_price
        self._watch = watch
        self._tasks: list[asyncio.Task[None]] = []
        self._stamp: object = None

    @classmethod
    def load(cls, path: str | Path | None = None, **options: Any) -> Router:
        """Return a router over a configuration; see `midstream.adapters.routing.loading`.

        Args:
            path: A file or a folder; None looks for it.
            **options: See `Router`.

        Raises:
            ConfigError: It cannot be read, or is wrong.
        """
        loaded = load(path, env=options.get("env"))
        made = cls(loaded, **options)
        made.path = Path(path) if path else None
        made._stamp = _stamp(loaded)
        return made

    async def __aenter__(self) -> Self:
        """Read what is known of the endpoints, and begin to look after them."""
        await self._ledger.open()
        self._begin_tasks()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is left, and close what was opened."""
        await self.close()

    async def close(self) -> None:
        """See `Router.__aexit__`."""
        await self._end_tasks()
        self._line.close()
        try:
            await self._ledger.close()
        finally:
            await self._connections.close()

    def _begin_tasks(self) -> None:
        for checking in self.table.checks():
            self._tasks.append(asyncio.create_task(look_after(self, checking)))
        if self._watch is not None and self.loaded is not None:
            self._tasks.append(asyncio.create_task(self._watching(self._watch)))

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def waiting(self) -> int:
        """How many requests wait for room."""
        return len(self._line)

    async def call(
        self,
        target: str,
        prompt: str | Message | Sequence[Message],
        *,
        system: str | None = None,
        tools: Sequence[ToolSpec] = (),
        key: str = "",
        priority: str | int = "normal",
        timeout: float | None = None,
        deadline: float = TOTAL,
        accept: Accept | None = None,
        show: Callable[[Delta], None] | None = None,
        **settings: JsonValue,
    ) -> Answer:
        """Ask, and walk on until somebody answers.

        Args:
            target: `group:NAME`, `group:NAME.ECHELON`, `pool:NAME`, `endpoint:NAME` or `provider:model`.
            prompt: What is said.
            system: The instruction.
            tools: What the model may call.
            key: What the choice sticks to, such as a run's id or a user's.
            priority: `interactive`, `normal`, `batch`, `trial`, or a number; the lowest is served first.
            timeout: Seconds for one call; wins over the configuration.
            deadline: Seconds for all of them, and for waiting.
            accept: See `Accept`.
            show: Is given the pieces of the answer as they come; one with `restart` says that the answer begins anew.
            **settings: `temperature`, `max_tokens` and so on; they win over the configuration.

        Raises:
            NoEndpointError: Nobody may be asked within the deadline.
            AdapterError: Whoever was asked last failed, and nobody is left, or nobody else is to be asked.
            ConfigError: There is no such target.
        """
        await self.ready(target)
        messages = messages_of(prompt)
        view = told(View(target), Segment(0, messages, system, tuple(tools) or None))
        conversation = Conversation(view, settings)
        walk = self.walk(
            target,
            conversation,
            key=key,
            priority=priority,
            timeout=timeout,
            deadline=deadline,
        )
        leg, response, changes = await self._asking.ask(walk, conversation, accept, show)
        endpoint = leg.candidate.endpoint
        return Answer(
            response.message.text,
            response,
            endpoint.name,
            endpoint.full_model,
            walk.ask.tried,
            changes,
            leg.attempt,
        )

    async def stream(
        self, target: str, prompt: str | Message | Sequence[Message], **options: Any
    ) -> AsyncIterator[Delta | Answer]:
        """Ask, and iterate over the pieces of the answer; the last item is the whole answer.

        Args:
            target: See `call`.
            prompt: See `call`.
            **options: See `call`.
        """
        queue: asyncio.Queue[Delta | None] = asyncio.Queue()
        task = asyncio.ensure_future(self.call(target, prompt, show=queue.put_nowait, **options))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (piece := await queue.get()) is not None:
                yield piece
            yield await task
        finally:
            task.cancel()
            await asyncio.wait([task])

    def walk(
        self,
        target: str,
        conversation: Conversation,
        *,
        key: str = "",
        preferred: str = "",
        priority: str | int = "normal",
        timeout: float | None = None,
        deadline: float = TOTAL,
    ) -> Walk:
        """Return the way of one request, for whoever sends its calls; see `call`.

        Args:
            target: See `call`.
            conversation: What is asked.
            key: See `call`.
            preferred: The endpoint that answered before.
            priority: See `call`.
            timeout: See `call`.
            deadline: See `call`.
        """
        view, settings = conversation.view, conversation.settings
        wanted = settings.get("max_tokens")
        read = tokens(view)
        ask = Ask(
            target,
            read + (wanted if isinstance(wanted, int) else OUTPUT),
            read,
            key,
            preferred,
            needs(view),
        )
        return self.walk_for(ask, settings, priority=priority, timeout=timeout, deadline=deadline)

    def walk_for(
        self,
        ask: Ask,
        settings: Mapping[str, JsonValue],
        *,
        priority: str | int = "normal",
        timeout: float | None = None,
        deadline: float = TOTAL,
    ) -> Walk:
        """Return the way of a request of which only its needs are known; see `walk`.

        Raises:
            ConfigError: There is no such target or priority.
        """
        own = Manner(TimeoutConfig(total=timeout), None, settings)
        return Walk(
            self.table.route(ask.target),
            ask,
            own,
            ledger=self._ledger,
            line=self._line,
            capable=self.capable,
            deadline=self._ledger.at() / 1_000_000 + deadline,
            priority=urgency(priority),
            price=self._price,
        )

    def capable(self, endpoint: Endpoint) -> Capabilities | str:
        """Return what the model of an endpoint can be told and asked, or why it cannot be asked."""
        try:
            return self.adapter(endpoint).capabilities(endpoint.model)
        except ConfigError as error:  # its key is not set: the others can be asked
            return str(error)

    async def ready(self, target: str) -> None:
        """Make the adapters of a target in a thread, where that has not been done: loading a vendor's SDK takes its time.

        Raises:
            ConfigError: There is no such target.
        """
        for endpoint in self._endpoints(target):
            if not self._connections.made(endpoint):
                with suppress(ConfigError):  # whoever chooses is told
                    await asyncio.to_thread(self.adapter, endpoint)  # not in the loop

    def adapter(self, endpoint: Endpoint) -> Adapter:
        """Return who speaks to an endpoint; made once, and shared."""
        return self._connections.adapter(endpoint)

    def likely(self, target: str) -> tuple[Adapter, str]:
        """Return who would be chosen now, and its model without the provider; nothing is reserved.

        Raises:
            ConfigError: There is no such target.
        """
        route = self.table.route(target)
        now = self._ledger.at() / 1_000_000
        found = candidates(self._ledger.state, route, Ask(target), "", now)[0].endpoint
        chosen = choose(self._ledger.state, route, Ask(target), now, self.capable).candidate
        endpoint = chosen.endpoint if chosen is not None else found
        return self.adapter(endpoint), endpoint.model

    async def answer(
        self, target: str, request: ModelRequest, show: Callable[[Delta], None] | None
    ) -> ModelResponse:
        """Answer a request of `GroupAdapter`."""
        await self.ready(target)
        conversation = Conversation(request.body["conversation"], request.body["settings"])
        walk = self.walk(target, conversation)
        _, response, _ = await self._asking.ask(walk, conversation, None, show)
        return response

    async def reload(self, config: RoutingConfig | Mapping[str, Any] | None = None) -> None:
        """Take a new configuration, whole or not at all; calls in flight end as they began.

        Args:
            config: What it says; None reads the files again.

        Raises:
            ConfigError: It is wrong; the old one stays in force.
        """
        try:
            loaded = load(self.path, env=self._env) if config is None else None
            table = Table(_config(loaded or config or {}), self._connections.providers())
        except ConfigError as error:
            self.reload_error = error
            raise
        self.reload_error = None
        await self._end_tasks_but_mine()
        self.table, self.loaded = table, loaded or self.loaded
        self._begin_tasks()
        self._line.look()

    async def _end_tasks_but_mine(self) -> None:
        """Stop looking after endpoints in the old way; a task that reloads goes on to its end."""
        mine = asyncio.current_task()
        own = [task for task in self._tasks if task is mine]
        self._tasks = [task for task in self._tasks if task is not mine]
        await self._end_tasks()
        del own

    async def _watching(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            stamp = _stamp(self.loaded)
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            with suppress(ConfigError):  # it is in `reload_error`
                await self.reload()
                return  # the new configuration has its own watch


def _no_price(provider: str, model: str, usage: Usage, at: float) -> None:
    return None


def _config(given: RoutingConfig | Loaded | Mapping[str, Any]) -> RoutingConfig:
    if isinstance(given, Loaded):
        return given.config
    return given if isinstance(given, RoutingConfig) else parse(given)


def _stamp(loaded: Loaded | None) -> object:
    """Return what changes when the files of a configuration do."""
    found: list[tuple[str, int, int]] = []
    for path in loaded.files if loaded is not None else ():
        for one in (path, path.parent):
            with suppress(OSError):
                status = one.stat()
                found.append((str(one), status.st_mtime_ns, status.st_size))
    return found
