"""A pytest plugin that makes recorded runs a regression suite: one test for each, which replays it.

It is registered as `midstream` (entry point `pytest11`), and opens no store before a test asks for it::

    from midstream.testing.replaying import midstream_replay
    from trips import trip

    @midstream_replay("runs.db", graph=trip, since="30d")
    def test_recorded_runs_are_decided_alike(replayed):
        replayed.check()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from midstream.engine.debugging.replay import ReplayReport

MARK = "midstream_replay"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(db, *, graph, …): replays recorded runs; see midstream.testing.replaying",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each run that a marked test is about."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    from midstream.testing.replaying import Wanted, chosen_runs

    wanted = Wanted(*mark.args, **mark.kwargs)
    runs = chosen_runs(wanted)
    metafunc.parametrize("replayed", [(wanted, run) for run in runs], ids=runs, indirect=True)


@pytest.fixture
def replayed(request: pytest.FixtureRequest) -> ReplayReport:
    """What replaying the run of this test came to; true if it is identical."""
    from midstream.testing.replaying import replayed_run

    parameter: Any = getattr(request, "param", None)
    if parameter is None:
        pytest.fail("`replayed` is for tests that are decorated with `midstream_replay`")
    return replayed_run(*parameter)
