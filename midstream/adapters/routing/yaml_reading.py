"""YAML without its traps: no Python objects, and no key twice."""

from __future__ import annotations

from typing import Any

import yaml


class OneKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key which stands twice in a mapping; YAML forbids it, and PyYAML keeps the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """See `yaml.SafeLoader.construct_mapping`."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key: Any = self.construct_object(key_node, deep=True)  # pyright: ignore[reportUnknownMemberType]
            if isinstance(key, str) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            if isinstance(key, str):
                seen.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep)  # pyright: ignore[reportUnknownMemberType]
        return found
