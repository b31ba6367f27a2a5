"""The table of facts says what their classes say, and no class is imported by whoever asks for another."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import get_args

import pytest

from midstream.errors import CorruptLogError, UnknownEventError
from midstream.events import facts, payloads
from midstream.events.codec import encode
from midstream.events.envelope import as_event
from midstream.events.ids import RunId
from midstream.events.payloads import PAYLOADS, VERSIONS, Fact, Payload


def test_the_table_has_each_fact_of_the_union_under_its_tag_and_version() -> None:
    union: tuple[type[Fact], ...] = get_args(get_args(Payload)[0])
    assert [(tag, cls.version) for tag, cls in PAYLOADS.items()] == list(VERSIONS.items())
    assert {cls.model_fields["type"].default: cls for cls in union} == dict(PAYLOADS)


def test_every_fact_is_found_among_the_payloads_by_its_name() -> None:
    assert {place.partition(":")[2] for place in facts.FACTS.values()} < set(payloads.__all__)
    for name in payloads.__all__:
        assert getattr(payloads, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'NobodyKnows'"):
        _ = payloads.NobodyKnows  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def test_a_tag_that_nobody_knows_has_no_class() -> None:
    assert "run.created" in PAYLOADS
    assert "run.nonsense" not in PAYLOADS
    assert PAYLOADS.get("run.nonsense") is None


def test_who_only_reads_a_log_imports_no_fact() -> None:
    code = "import json, sys, midstream.events.sqlite, midstream.projections.run_state\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    loaded: list[str] = json.loads(done.stdout)
    families = {place.partition(":")[0] for place in facts.FACTS.values()}
    assert {f"midstream.events.{name}" for name in (*families, "fact", "content")} & set(
        loaded
    ) == set()


def test_each_event_is_judged_by_its_own_version_and_data_whatever_came_before() -> None:
    event = as_event(encode(payloads.NoteAdded(id="n", data={"a": 1}), at=0), RunId("r"), 1, None)
    for _ in range(2):
        assert event.payload == payloads.NoteAdded(id="n", data={"a": 1})
        with pytest.raises(UnknownEventError, match=r"'note\.added' version 2"):
            _ = event._replace(version=2).payload
        with pytest.raises(UnknownEventError, match=r"'note\.nonsense'"):
            _ = event._replace(type="note.nonsense").payload
        with pytest.raises(CorruptLogError, match=r"'note\.added' does not fit"):
            _ = event._replace(data={"id": []}).payload
