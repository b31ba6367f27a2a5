"""YAML as people mean it: `on`, `off`, `yes` and `no` are words, and texts of several lines are blocks."""

from __future__ import annotations

import re
from typing import Any

import yaml

from midstream.adapters.routing.yaml_reading import OneKeyLoader

_BREAKS = "\r\x85\u2028\u2029"
"""What a reader of YAML would take for the end of a line, and normalise."""

_BOOL = "tag:yaml.org,2002:bool"


class WordLoader(OneKeyLoader):
    """A safe loader that takes `true` and `false` alone for what they say, as YAML 1.2 does."""


class BlockDumper(yaml.SafeDumper):
    """A safe dumper that writes a text of several lines as a block, and quotes what other readers would misread."""


WordLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOL]
    for first, known in OneKeyLoader.yaml_implicit_resolvers.items()
}
WordLoader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    _BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    if any(char in text for char in _BREAKS):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


BlockDumper.add_representer(str, _text)
