"""What is recorded of a run that begins."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midstream import Graph
from midstream.engine.driving.beginning import created
from midstream.engine.requests.context_policy import ContextPolicy
from midstream.events.codec import encode, encode_prepared
from midstream.events.payloads import RunCreated
from tests.events.strategies import JSON

NAMES = st.text(max_size=5)


@settings(max_examples=60, deadline=None)
@example({"i": 1.0}, {"": ""}, {"activations": 5, "seconds": 0.5}, True, "alice", "p")
@given(
    st.fixed_dictionaries({"i": JSON}),
    st.dictionaries(NAMES, NAMES, max_size=3),
    st.dictionaries(st.sampled_from(["activations", "depth"]), st.integers(1, 9)),
    st.booleans(),
    NAMES,
    st.sampled_from([None, "p"]),
)
def test_the_first_fact_of_a_run_is_written_as_the_fact_itself_would_be(
    inputs: dict[str, Any],
    tags: dict[str, str],
    limits: dict[str, float],
    trims: bool,
    subject: str,
    parent: str | None,
) -> None:
    graph = Graph("g", version="2")

    @graph.node
    def a(i: Any) -> Any:
        return i

    policy = ContextPolicy("trim", window=9) if trims else None
    more: Any = {"subject": subject, "parent": parent, "parent_step": subject}
    fields = created(graph, inputs, policy, "m", tags, limits=limits, **more)
    draft = encode_prepared("run.created", fields, {"definition": graph.prepared}, at=1)
    fact = RunCreated.model_validate(draft.data)
    written = encode(fact, at=1)
    assert written.data == draft.data
    assert list(orjson.loads(written.body).items()) == list(orjson.loads(draft.body).items())
    assert dict(fact.tags) == tags
    assert dict(fact.inputs) == dict(orjson.loads(orjson.dumps(inputs)))
