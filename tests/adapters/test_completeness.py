"""The losses that are reported are exactly the parts that are missing: a body is searched for every piece of what was said."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream.adapters import Adapter, Segment
from midstream.adapters.compatible import PROFILES, CompatibleAdapter
from midstream.adapters.dialect import dialect
from midstream.adapters.view import View
from midstream.events.content import (
    Audio,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    user,
)
from tests.adapters import conversations as talk
from tests.adapters.corpus import COUNTED
from tests.adapters.facets import Facet, differences, facets
from tests.adapters.found import leaves
from tests.adapters.marked import Marker
from tests.adapters.test_contract import MODELS
from tests.adapters.test_corpus import DIALECTS, SAMPLED, Every, accepted

LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VENDORS = [(adapter, model) for adapter, _, model in MODELS if model != "scripted"]
SERVERS = [
    CompatibleAdapter(profile, api_key="k", base_url="http://localhost:1")
    for profile in PROFILES.values()
]
TOLD: list[tuple[Adapter, str]] = [
    *VENDORS,
    *((adapter, "a-model") for adapter in SERVERS),
    *((adapter, "deepseek-reasoner") for adapter in SERVERS if adapter.provider == "deepseek"),
]


@pytest.mark.parametrize(
    ("adapter", "model"), TOLD, ids=[f"{adapter.provider}-{model}" for adapter, model in TOLD]
)
@LIGHT
@given(data=st.data())
def test_the_losses_that_are_reported_are_exactly_the_parts_that_are_missing(
    adapter: Adapter, model: str, data: st.DataObject
) -> None:
    """Law: at every turn, of all that this turn says; see "What is missing" in docs/conversion.md."""
    marker = Marker(f"{adapter.provider}:{model}", adapter.provider)
    view = adapter.begin(model)
    for drawn in data.draw(talk.conversations()):
        segment: Segment = marker.segment(drawn)
        view = adapter.render(view, segment)
        told = leaves(adapter.request(view, {}).body)
        assert differences(list(facets(segment)), told, view.changes) == []


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(1800)
def test_of_a_recorded_conversation_the_losses_are_exactly_what_is_missing(
    name: str, every: Every
) -> None:
    """The same law; what a conversation says twice cannot be told apart, and is only asked for."""
    wrong: list[str] = []
    for row in accepted(name, every):
        read = dialect(name).read(row["request_json"])
        held = [_of_one_dialect(facet) for one in read.segments for facet in facets(one)]
        said = [text for _, text in leaves(row["request_json"])]
        twice = {(facet.seq, facet.place) for facet in held if _is_said_twice(facet, said)}
        for target in DIALECTS:
            if target == name:
                continue
            go = dialect(target)
            view = go.render_all(View(go.model), read.segments)
            told = leaves(go.requested(view, read.settings).body)
            COUNTED[f"{name}: conversations elsewhere whose report is what is missing"] += 1
            unsure = [change for change in view.changes if (change.seq, change.part) in twice]
            wrong += differences(held, told, view.changes, unsure)
    assert wrong == []


def _of_one_dialect(facet: Facet) -> Facet:
    """Return a facet that no other dialect holds as one that is nowhere to be found."""
    return replace(facet, contents=()) if facet.what == "hint" else facet


def _is_said_twice(facet: Facet, said: list[str]) -> bool:
    return sum(any(one in text for one in facet.contents) for text in said) > 1


def test_a_report_names_the_part_among_all_that_its_event_says() -> None:
    """Wherever the part is moved before it is told, and within the result of a tool."""
    adapter, model = next((one, name) for one, name in VENDORS if one.provider == "openai")
    call = ToolCall(id="call_1", name="f")
    asked = Segment(1, (user("hi"), Message(role="assistant", parts=(call,), origin="x:y")))
    view = adapter.render(adapter.begin(model), asked)
    shown = ToolResult(id="call_1", name="f", parts=(Text(text="a"), Audio()))
    spoken = Message(role="user", parts=(Text(text="b"), Reasoning(text="c")))
    view = adapter.render(view, Segment(2, (spoken, Message(role="tool", parts=(shown,)))))
    lost = [(change.kind, change.seq, change.part) for change in view.changes]
    assert lost == [("part_dropped", 2, 1), ("reordered", 2, None), ("audio_dropped", 2, 2)]
    assert view.changes[-1].detail.endswith("(part 1 of a result)")


def test_h118_the_phase_of_a_text_is_reported_where_its_dialect_alone_has_it() -> None:
    said = Text(text="Wait.", phase="commentary")
    message = Message(role="assistant", parts=(said,), origin="openai-responses:gpt-5")
    for adapter, model in VENDORS:
        told = adapter.render(adapter.begin(model), Segment(1, (user("hi"),)))
        told = adapter.render(told, Segment(2, (message,)))
        kinds = [(change.kind, change.part) for change in told.changes]
        assert kinds == ([] if adapter.provider == "openai-responses" else [("hint_dropped", 0)])
