"""For tests: a provider on loopback that answers from a script, and a judge of wire requests.

Nothing here needs a key or a network, and importing this package imports no vendor's SDK: the judge imports the one
that it needs when it is first asked.
"""

from midstream.testing.clock import FakeClock
from midstream.testing.provider_server import ProviderServer, Script
from midstream.testing.script import Answer, Call, Fault
from midstream.testing.seen import Seen, SeenCall, SeenResult, SeenTurn
from midstream.testing.violations import RULES, Violation, WireDialect
from midstream.testing.wire_judge import judge

__all__ = [
    "RULES",
    "Answer",
    "Call",
    "FakeClock",
    "Fault",
    "ProviderServer",
    "Script",
    "Seen",
    "SeenCall",
    "SeenResult",
    "SeenTurn",
    "Violation",
    "WireDialect",
    "judge",
]
