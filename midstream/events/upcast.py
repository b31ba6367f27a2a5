"""Old shapes of payloads into the present one: pure functions on plain data, in a chain.

An upcaster takes the data of one version to the next. It may rename the type. It must accept whatever the old version
could have written: reading an old log never fails for its age.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from midstream.events.payloads import VERSIONS

Data = Mapping[str, Any]
Upcaster = Callable[[Data], tuple[str, Data]]


class Upcasters:
    """A chain of upcasters, by type and the version they take from.

    Args:
        current: The newest version of each type.
    """

    def __init__(self, current: Mapping[str, int] = VERSIONS) -> None:
        self._current = current
        self._steps: dict[tuple[str, int], Upcaster] = {}

    def add(self, type_: str, version: int, step: Upcaster) -> None:
        """Register the step that takes `type_` from `version` to the next version.

        Raises:
            ValueError: There is one already, or the version is not an old one.
        """
        if (type_, version) in self._steps:
            raise ValueError(f"{type_!r} version {version} has an upcaster already")
        self._steps[type_, version] = step

    @property
    def old(self) -> Container[tuple[str, int]]:
        """The types and versions that have a step: all others come back as they are."""
        return self._steps.keys()

    def __call__(self, type_: str, version: int, data: Data) -> tuple[str, int, Data]:
        """Return type, version and data in the newest shape that the chain leads to.

        What is newer than this release, or unknown to it, comes back as it is.
        """
        while (step := self._steps.get((type_, version))) is not None:
            new_type, data = step(data)
            version = version + 1 if new_type == type_ else 1
            type_ = new_type
        return type_, version, data


upcast = Upcasters()
"""The chain of this release. Every payload is at version 1, so it is empty so far."""
