"""The names of things: types for ids, and the grammar of addresses.

An address names a step of a run: `plan#2` is the second activation of node `plan`, `plan#2/tool:search:3fa9c2d1#1` the
first call of the tool `search` with these arguments inside it. An address does not depend on the order in which things
happened to finish, so a resumed run finds its record by it.

Addresses nest: `research#1.plan#2` is the second activation of node `plan` inside the graph that the activation
`research#1` runs, and `each#1[tea].price#1` one inside the graph that a map runs for an item. What is before the last such
dot is the *scope*. A dot of a node's own name never follows a number or a key, so there is one way to read an address.
"""

from __future__ import annotations

import os
import re
import time
from typing import NewType
from urllib.parse import quote

RunId = NewType("RunId", str)
"""The id of a run: chosen by the caller, or a UUIDv7 as text."""

NodeName = NewType("NodeName", str)
"""The name of a node in a graph: a Python identifier, dots and dashes allowed after the first letter."""

Address = NewType("Address", str)
"""The address of a step in a run."""

ModelName = NewType("ModelName", str)
"""`provider:model`, `group:NAME` or `pool:NAME`."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,127}")
_INSTANCE = re.compile(r"#\d+(?:\[[^\]]*\])?\.")
_SAFE = " :,;=@+!*'()"  # what needs no escape in a key; the grammar's own '#', '/', '[', ']' do
NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")


def new_run_id() -> RunId:
    """Make a UUIDv7 as text: sortable by the time it was made.

    Source: RFC 9562, section 5.7.
    """
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (millis & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | ((random >> 68) & 0xFFF) << 64
    value |= 0b10 << 62 | (random & 0x3FFFFFFFFFFFFFFF)
    text = f"{value:032x}"
    return RunId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def activation(node: str, number: int) -> Address:
    """Return the address of the `number`-th activation of a node, counted from 1."""
    return Address(f"{node}#{number}")


def item(parent: str, key: str) -> Address:
    """Return the address of the activation of a map's item: `fetch#1[key]`."""
    return Address(
        f"{parent}[{key if key.isalnum() and key.isascii() else quote(key, safe=_SAFE)}]"
    )


def nested(scope: str, node: str) -> str:
    """Return the name of a node of this run: its own, or that in an activation whose graph it is in."""
    return f"{scope}.{node}" if scope else node


def scope_of(name: str) -> tuple[str, str]:
    """Return where a node of this run is, and its name there: `research#1`, `plan` for `research#1.plan`."""
    at = name.rfind("#")
    if at < 0:
        return "", name
    dot = name.find(".", max(at, name.find("]", at)))
    return name[:dot], name[dot + 1 :]


def map_of(address: str) -> Address:
    """Return the activation of a map that an item's activation belongs to: `fetch#1` for `fetch#1[key]`."""
    return Address(address[: address.rfind("[")])


def activation_of(address: str) -> Address:
    """Return the activation that a step belongs to: `plan#2` for `plan#2/tool:search:3fa9c2d1#1`."""
    return Address(address.partition("/")[0])


def node_of(address: str) -> NodeName:
    """Return the node that a step belongs to: of one in a graph inside others the way to it, as in `research/plan`."""
    name = address.partition("/")[0].rpartition("#")[0]
    return NodeName(_INSTANCE.sub("/", name) if "#" in name else name)
