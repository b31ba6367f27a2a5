"""Making room: cutting a conversation down to what its model can read, as a policy says, and recording what was cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from midstream.adapters.base import Adapter
from midstream.adapters.estimate import tokens
from midstream.adapters.sealing import CHARACTERS_PER_TOKEN
from midstream.adapters.view import Segment, View
from midstream.engine.models.views import Views
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.claims import digest_of
from midstream.engine.requests.asking import Question
from midstream.engine.requests.context_policy import INSTRUCTION, ContextPolicy, context_policy
from midstream.errors import ContextWindowError
from midstream.events import payloads
from midstream.events.content import Message, ToolResult, user
from midstream.events.ids import Address
from midstream.projections.conversation import answered, asked, main_line, parents_of, results
from midstream.projections.run_state import Call
from midstream.projections.told import between, first_told, key, notice, told, told_before
from midstream.projections.transcript import transcript

_REFUSED = 0.7
"""To what part of its estimate a conversation is cut that the provider refused: the estimate was too low."""
_ANSWER = 4_096
"""Tokens kept for an answer where no limit of it is set, or an eighth of the window."""

Ask = Callable[[Desk, Question, Address, str], Awaitable[Call]]
"""Asks a model to summarise, at an address and in a lane."""


@dataclass(frozen=True, slots=True)
class Place:
    """The call that room is made for.

    Attributes:
        address: Of the call.
        lane: Its parallel branch.
        parents: What it continues.
        model: Who is asked, as `provider:model`.
        before: The seq that it is asked at.
        tokens: Of the conversation, by estimate.
        window: What it must fit into, without the answer.
        refused: The provider said that it does not.
    """

    address: Address
    lane: str
    parents: tuple[str, ...]
    model: str
    before: int
    tokens: int
    window: int
    refused: bool


class Room:
    """Makes room in the conversations of a run.

    Args:
        views: Renders them.
        providers: Who answers.
        ask: Asks for a summary.
    """

    def __init__(self, views: Views, providers: Providers, ask: Ask) -> None:
        self._views = views
        self._providers = providers
        self._ask = ask

    def helps(self, desk: Desk, question: Question, call: Call) -> bool:
        """Tell whether a conversation that the provider refused as too long can be cut down; that is done once."""
        policy = policy_of(desk, question)
        if policy is None or policy.how == "fail" or call.request.get("purpose"):
            return False
        cuts = desk.state.cuts.get(call.address, ())
        return not any(cut.refused and cut.model == call.request["model"] for cut in cuts)

    async def make(
        self,
        desk: Desk,
        question: Question,
        address: Address,
        lane: str,
        parents: tuple[str, ...],
        adapter: Adapter,
        view: View,
        *,
        refused: bool,
    ) -> bool:
        """Cut the conversation where it is too long; say whether anything was cut.

        Args:
            desk: Of the activation that asks.
            question: What is asked.
            address: Of the call.
            lane: Its parallel branch.
            parents: What it continues.
            adapter: Who is asked.
            view: What would be told.
            refused: The provider refused it as too long, in the attempt before.

        Raises:
            ContextWindowError: It is too long, and the policy is to fail, or there is nothing to cut.
        """
        policy = policy_of(desk, question)
        if policy is None:
            return False
        model, size = f"{adapter.provider}:{view.model}", tokens(view)
        cuts = [cut for cut in desk.state.cuts.get(address, ()) if cut.model == model]
        refused = refused and not any(cut.refused for cut in cuts)
        window = _window(policy, question, adapter, view.model)
        if refused:
            window = min(window or size, int(size * _REFUSED))
        if window is None or size <= window:
            return False
        place = Place(address, lane, parents, model, desk.state.seq + 1, size, window, refused)
        if policy.how == "fail" or (cuts and not refused):
            raise _too_long(place, policy, "nothing more can be cut" if cuts else "")
        if policy.how == "trim":
            self._trim(desk, policy, place)
        else:
            await self._summarise(desk, question, policy, place)
        return True

    def _trim(self, desk: Desk, policy: ContextPolicy, place: Place) -> None:
        """Leave the oldest outputs of tools out, as many as it takes."""
        left, results = place.tokens, list[str]()
        goal = int(place.window * policy.fill)
        for name, gain in _outputs(desk, policy, place):
            if left <= goal:
                break
            results.append(name)
            left -= gain
        if left > place.window:
            raise _too_long(
                place, policy, f"without all {len(results)} older outputs of tools it has {left}"
            )
        desk.recorder.add(
            payloads.ContextTrimmed(
                model=place.model,
                lasting=policy.lasting,
                results=tuple(results),
                tokens=place.tokens,
                left=left,
                window=place.window,
                refused=place.refused,
            ),
            place.address,
        )

    async def _summarise(
        self, desk: Desk, question: Question, policy: ContextPolicy, place: Place
    ) -> None:
        """Have the beginning summarised, and tell the summary in its place."""
        line = [*main_line(desk.state, place.parents[0]), place.address] if place.parents else []
        if not line:
            raise _too_long(place, policy, "there is nothing before it that could be summarised")
        since, left = _beginning(desk, policy, place, line)
        beside = _sides(desk, place, policy, left) if since == len(line) - 1 else ()
        left -= _tokens(beside)
        text = transcript((*_told_until(desk, place, line, since), *beside))
        plain = Question(
            (),
            model=policy.model or question.model,
            thread=None,
            deadline=question.deadline,
            retry=question.retry,
        )
        by = await self._summary(desk, plain, policy, place, text)
        said = len(Message.model_validate((by.outcome or {})["message"]).text)
        desk.recorder.add(
            payloads.ContextSummarised(
                model=place.model,
                lasting=policy.lasting,
                by=by.address,
                since=line[since],
                sides=bool(beside),
                tokens=place.tokens,
                left=left + said // CHARACTERS_PER_TOKEN,
                window=place.window,
                refused=place.refused,
            ),
            place.address,
        )

    async def _summary(
        self, desk: Desk, question: Question, policy: ContextPolicy, place: Place, text: str
    ) -> Call:
        """Return the call whose answer is the summary; a text that is too long for one call is summarised piece by piece."""
        adapter, name = self._providers.adapter(policy.model or place.model)
        known = None if policy.window else adapter.capabilities(name).context_window
        most = (known or place.window) * CHARACTERS_PER_TOKEN // 2
        most = max(most, 2_000)
        pieces = [text[start : start + most] for start in range(0, len(text), most)] or [""]
        so_far, found = "", None
        for piece in pieces:
            prompt = f"{INSTRUCTION}\n\n{so_far}<conversation>\n{piece}\n</conversation>"
            one = Question(
                (user(prompt),),
                model=question.model,
                thread=None,
                deadline=question.deadline,
                retry=question.retry,
            )
            address = Address(f"{place.address}/summary:{digest_of(prompt)}#1")
            found = await self._ask(desk, one, address, place.lane)
            message = Message.model_validate((found.outcome or {})["message"])
            so_far = (
                f"<summary_of_what_was_before>\n{message.text}\n</summary_of_what_was_before>\n\n"
            )
        assert found is not None
        return found


def policy_of(desk: Desk, question: Question) -> ContextPolicy | None:
    """Return what is done where the conversation is too long: as the call says, or else the run."""
    return question.context or context_policy(desk.state.context)


def _window(policy: ContextPolicy, question: Question, adapter: Adapter, model: str) -> int | None:
    """Return the tokens that the conversation must fit into, without those for the answer; None where nobody knows."""
    can = adapter.capabilities(model)
    window = policy.window or can.context_window
    if window is None:
        return None
    wanted = question.settings.get("max_tokens")
    answer = wanted if isinstance(wanted, int) else min(_ANSWER, window // 8)
    return max(1, window - min(answer, can.max_output or answer))


def _too_long(place: Place, policy: ContextPolicy, detail: str) -> ContextWindowError:
    provider, _, model = place.model.partition(":")
    why = f" ({detail})" if detail else ""
    remedy = (
        "choose a model with a larger window, or context='trim' or 'summarise'"
        if policy.how == "fail"
        else "choose a model with a larger window, or say less at once"
    )
    return ContextWindowError(
        f"the conversation at {place.address} has about {place.tokens} tokens and {place.model} takes {place.window} "
        f"beside its answer{why}; nothing was asked: {remedy}",
        provider=provider,
        model=model,
        tokens=place.tokens,
        window=place.window,
    )


def _outputs(desk: Desk, policy: ContextPolicy, place: Place) -> Iterator[tuple[str, int]]:
    """Return the outputs of tools that can be left out, the oldest first, with what each of them makes free."""
    segments = list(
        told_before(desk.state, place.address, place.parents, place.model, place.before)
    )
    groups = [
        [
            (key(segment, part), _gain(part))
            for message in segment.messages
            for part in message.parts
            if isinstance(part, ToolResult)
        ]
        for segment in segments
    ]
    groups = [group for group in groups if group]
    older = groups[: -policy.keep] if policy.keep else groups
    for group in (*older, *groups[len(older) :]):
        for name, gain in group:
            if gain > 0:
                yield name, gain


def _gain(result: ToolResult) -> int:
    return (_size(result) - _size(notice(result))) // CHARACTERS_PER_TOKEN


def _size(content: Message | ToolResult) -> int:
    return len(content.__pydantic_serializer__.to_json(content, exclude_defaults=True))


def _beginning(
    desk: Desk, policy: ContextPolicy, place: Place, line: Sequence[str]
) -> tuple[int, int]:
    """Return the place in the line of the first call that is told as it was, and the tokens that are left without the summary.

    As little as possible is summarised: the rest takes half of what the policy fills, so that the summary has the other half,
    and the newest exchanges stay unless they alone are too long.
    """
    first = first_told(desk.state, line, place.model)
    weights = [_weight(desk, name) if at >= first else 0 for at, name in enumerate(line[:-1])]
    left = place.tokens - sum(weights)
    goal = place.window * policy.fill / 2
    latest = len(line) - 1 - policy.keep
    since = len(line) - 1
    while since > first + 1:
        more = left + weights[since - 1]
        if more > (place.window * 0.75 if since - 1 >= latest else goal):
            break
        since, left = since - 1, more
    return since, left


def _weight(desk: Desk, address: str) -> int:
    """Return the tokens of what a call said, was answered, and was told of its tools; by estimate."""
    call = desk.state.calls[address]
    model, parents = str(call.request.get("model", "")), parents_of(call)
    beside = (
        between(desk.state, parents, call.first_seq, model, with_results=False)
        if len(parents) > 1
        else ()
    )
    said = (asked(call), answered(call), results(desk.state, call, desk.state.seq + 1))
    return _tokens((*beside, *said))


def _tokens(segments: Iterable[Segment]) -> int:
    size = sum(_size(message) for segment in segments for message in segment.messages)
    return size // CHARACTERS_PER_TOKEN


def _sides(desk: Desk, place: Place, policy: ContextPolicy, left: int) -> tuple[Segment, ...]:
    """Return what the other branches said that the call continues, where it has to be summarised as well."""
    if left <= place.window * policy.fill or len(place.parents) < 2:
        return ()
    found = between(desk.state, place.parents, place.before, place.model, with_results=False)
    return tuple(segment for segment in found if not segment.empty)


def _told_until(desk: Desk, place: Place, line: Sequence[str], since: int) -> Iterator[Segment]:
    """Return what the model was told before a call of the line, with the results of the tools right before it."""
    state = desk.state
    following = line[since]
    before = state.calls[following].first_seq if following in state.calls else place.before
    yield from told(state, line[since - 1], place.model)
    yield results(state, state.calls[line[since - 1]], before)
