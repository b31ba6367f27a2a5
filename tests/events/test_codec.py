"""Encoding and decoding: what is read is what was written."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midstream.errors import CorruptLogError, NotRecordableError
from midstream.events.codec import (
    INLINE,
    decode,
    encode,
    encode_each,
    encode_plain,
    encode_prepared,
    prepare,
    references,
)
from midstream.events.envelope import Draft, Event, chain, genesis
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    PAYLOADS,
    Fact,
    NodeCompleted,
    NoteAdded,
    RunCreated,
    TimerSet,
)
from midstream.events.redaction import Redaction
from midstream.events.upcast import Upcasters
from midstream.events.values import plain
from tests.events.strategies import JSON, models, payloads

RUN = RunId("r1")


def stored(draft: Draft, blobs: dict[str, bytes] | None = None) -> Event:
    row = (RUN, 1, 1, draft.at, draft.type, draft.version, draft.actor, draft.cause, draft.address)
    return decode((*row, None, draft.body, b""), blobs)


@pytest.mark.parametrize("tag", sorted(PAYLOADS))
def test_each_type_of_payload_comes_back_equal(tag: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(models(PAYLOADS[tag]))
    def comes_back_equal(payload: Fact) -> None:
        draft = encode(payload, at=1)
        event = stored(draft, dict(draft.blobs))
        assert event.payload == payload
        assert event.data == draft.data

    comes_back_equal()


@settings(max_examples=40, deadline=None)
@given(payloads())
def test_encoding_a_decoded_payload_gives_the_same_bytes(payload: Fact) -> None:
    draft = encode(payload, at=1)
    again = encode(stored(draft, dict(draft.blobs)).payload, at=1)
    assert (again.body, again.blobs) == (draft.body, draft.blobs)


@settings(max_examples=60, deadline=None)
@given(JSON.filter(lambda value: value is not None))
@example("x" * (INLINE + 1))
@example({"$blob": "no blob"})
@example([{"text": "x" * (INLINE + 1)}] * 2)
def test_plain_data_is_encoded_as_the_fact_that_it_stands_for(output: Any) -> None:
    plain = encode_plain("node.completed", {"output": output}, at=1)
    fact = encode(NodeCompleted(output=output), at=1)
    assert plain._replace(body=b"") == fact._replace(body=b"")
    assert orjson.loads(plain.body) == orjson.loads(fact.body)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), JSON), max_size=4), st.booleans())
@example([{"output": "x" * (INLINE + 1)}, {"output": {"$blob": "no blob"}}, {}], False)
@example([{"output": "sk-proj-0123456789abcdefghijABCDEFGHIJ"}], True)
def test_many_facts_are_encoded_as_each_of_them_is(
    facts: list[dict[str, Any]], redacts: bool
) -> None:
    redact = Redaction() if redacts else None
    given = [(Address(f"n#1[{place}]"), data) for place, data in enumerate(facts)]
    assert encode_each("node.completed", given, at=1, redact=redact) == [
        encode_plain("node.completed", data, at=1, address=address, redact=redact)
        for address, data in given
    ]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), JSON), st.dictionaries(st.text(), JSON))
@example({"nodes": "x" * (INLINE + 1)}, {})
@example({"nodes": {"$blob": "no blob"}}, {"i": "x" * (INLINE + 1)})
def test_a_prepared_field_is_stored_as_it_would_be_without_preparing(
    definition: dict[str, Any], inputs: dict[str, Any]
) -> None:
    def created(definition: dict[str, Any]) -> RunCreated:
        return RunCreated(graph="g", definition=definition, graph_digest="d", inputs=inputs)

    fields: dict[str, Any] = {"graph": "g", "definition": None, "graph_digest": "d"}
    fields |= {"inputs": plain(inputs)} if inputs else {}
    draft = encode_prepared("run.created", fields, {"definition": prepare(definition)}, at=1)
    event = stored(draft, dict(draft.blobs))
    assert event.payload == created(definition)
    assert event.data == draft.data
    assert orjson.loads(draft.body) == orjson.loads(encode(created(definition), at=1).body)


@settings(max_examples=40, deadline=None)
@given(JSON)
def test_the_references_of_a_body_are_the_blobs_that_were_put_aside(data: Any) -> None:
    draft = encode(NoteAdded(id="n", data=data), at=1)
    assert set(references(draft.body)) == {digest for digest, _ in draft.blobs}
    assert all(sha256(body).hexdigest() == digest for digest, body in draft.blobs)


@settings(max_examples=40, deadline=None)
@given(payloads())
def test_a_stored_body_has_a_bounded_size_per_field(payload: Fact) -> None:
    assert len(encode(payload, at=1).body) <= (INLINE + 200) * len(type(payload).model_fields)


def test_a_body_without_long_texts_is_stored_in_place() -> None:
    draft = encode(NodeCompleted(output="x" * (INLINE - 20)), at=1)
    assert draft.blobs == ()
    assert orjson.loads(draft.body) == draft.data


def test_equal_texts_are_put_aside_once() -> None:
    draft = encode(NodeCompleted(output=["x" * 5000, "x" * 5000]), at=1)
    assert len(draft.blobs) == 1


def test_a_missing_blob_names_the_event() -> None:
    draft = encode(NodeCompleted(output="x" * 5000), at=1)
    with pytest.raises(CorruptLogError, match="missing") as found:
        stored(draft, {})
    assert (found.value.run_id, found.value.seq) == (RUN, 1)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**64, -(2**63) - 1, 10**30])
def test_numbers_that_json_readers_would_change_are_refused(number: float) -> None:
    for payload in (NodeCompleted(output=[number]), NoteAdded(id="n", data={"x": number})):
        with pytest.raises(NotRecordableError):
            encode(payload, at=1)


def test_a_float_field_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NotRecordableError):
        encode(TimerSet(until=float("nan")), at=1)


@pytest.mark.parametrize(
    "number", [2**64 - 1, -(2**63), 1e16, 1e-7, 5e-324, 1.7976931348623157e308]
)
def test_numbers_at_the_edge_come_back_unchanged(number: float) -> None:
    data = stored(encode(NodeCompleted(output=number), at=1)).data
    assert data["output"] == number
    assert type(data["output"]) is type(number)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(NotRecordableError):
        encode(NodeCompleted(output={"\ud800": 1}), at=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(JSON, max_size=8), st.integers(min_value=0, max_value=8))
def test_chaining_in_two_parts_is_chaining_at_once(data: list[Any], cut: int) -> None:
    drafts = [encode(NoteAdded(id="n", data=item), at=1) for item in data]

    def chained(digest: bytes, seq: int, part: list[Draft]) -> bytes:
        for number, draft in enumerate(part, seq):
            digest = chain(digest, number, draft, None)
        return digest

    first = chained(genesis(RUN), 1, drafts[:cut])
    assert chained(first, len(drafts[:cut]) + 1, drafts[cut:]) == chained(genesis(RUN), 1, drafts)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), JSON), st.integers(1, 3))
def test_every_old_shape_reaches_the_newest(data: dict[str, Any], version: int) -> None:
    upcasters = Upcasters({"b": 2})
    upcasters.add("a", 1, lambda old: ("a", {**old, "two": 2}))
    upcasters.add("a", 2, lambda old: ("a", {**old, "three": 3}))
    upcasters.add("a", 3, lambda old: ("b", {"old": old}))
    upcasters.add("b", 1, lambda old: ("b", {**old, "new": True}))
    type_, newest, made = upcasters("a", version, data)
    assert (type_, newest, made["new"]) == ("b", 2, True)
    assert data.items() <= {**made["old"], **data}.items()


@settings(max_examples=40, deadline=None)
@given(st.text(), st.integers(1), st.dictionaries(st.text(), JSON))
def test_what_this_release_does_not_know_is_left_as_it_is(
    type_: str, version: int, data: dict[str, Any]
) -> None:
    assert Upcasters({})(type_, version, data) == (type_, version, data)


def test_a_step_is_registered_once() -> None:
    upcasters = Upcasters({})
    upcasters.add("a", 1, lambda old: ("a", old))
    with pytest.raises(ValueError, match="already"):
        upcasters.add("a", 1, lambda old: ("a", old))
