"""Documents as text: YAML and JSON to data and back, and the line on which something stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from midstream.adapters.wire import is_object
from midstream.errors import GraphError

_SHOWN = 8

Source = str | bytes | Path
"""The text of a document, or the file that holds it."""


class Document:
    """A document: its data, and where in its text each thing stands.

    Attributes:
        data: What it holds.
        name: What errors call it: the file, or `the document`.
    """

    def __init__(self, data: Mapping[str, Any], name: str, tree: Any = None) -> None:
        self.data = data
        self.name = name
        self._tree = tree

    def place(self, path: Sequence[str | int]) -> str:
        """Return the place of something, as in `trip.yaml, line 7: nodes.plan.promt`; steps that are not there are left out."""
        line, node, kept = 0, self._tree, list[str]()
        here: Any = self.data
        for step in path:
            inside = _inside(here, step)
            if inside is None:
                continue
            (here,) = inside
            kept.append(str(step))
            node, line = _below(node, step, line)
        shown = f", line {line}" if line else ""
        return f"{self.name}{shown}" + (f": {'.'.join(kept)}" if kept else "")


def _inside(value: Any, step: str | int) -> tuple[Any] | None:
    if isinstance(step, int):
        return (value[step],) if isinstance(value, list) and step < len(value) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    return (value[step],) if is_object(value) and step in value else None


def _below(node: Any, step: str | int, line: int) -> tuple[Any, int]:
    """Return the part of a YAML tree at a step, and its line."""
    found: Any = None
    if node is None:
        return None, line
    if isinstance(step, int):
        found = node.value[step]
        return found, found.start_mark.line + 1
    for key, value in node.value:
        if key.value == step:
            return value, key.start_mark.line + 1
    return found, line  # a key that came with an anchor


def _text(source: Source) -> tuple[bytes, str]:
    if isinstance(source, Path):
        try:
            return source.read_bytes(), str(source)
        except OSError as error:
            raise GraphError(_unreadable(source, error)) from error
    return source.encode() if isinstance(source, str) else source, "the document"


def _unreadable(path: Path, error: OSError) -> str:
    """Return why a file cannot be read, and what might be meant."""
    told = f"cannot read {str(path)!r}: {error.strerror}"
    if not isinstance(error, FileNotFoundError):
        return f"{told}; give the path of a YAML or JSON file that this user may read"
    folder = path.parent
    if not folder.is_dir():
        return f"{told}; there is no folder {str(folder)!r} in {str(Path.cwd())!r}"
    there = sorted(one.name for one in folder.iterdir() if one.suffix in (".yaml", ".yml", ".json"))
    near = get_close_matches(path.name, there, 1)
    if near:
        return f"{told}; did you mean {str(folder / near[0])!r}?"
    listed = ", ".join(there[:_SHOWN]) or "none"
    return f"{told}; YAML and JSON files in {str(folder.absolute())!r}: {listed}"


def read_json(source: Source) -> Document:
    """Return what a JSON text holds.

    Raises:
        GraphError: It is no JSON object.
    """
    text, name = _text(source)
    try:
        data: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise GraphError(f"{name}, line {error.lineno}: no JSON: {error.msg}") from error
    return _checked(data, name, None)


def read_yaml(source: Source) -> Document:
    """Return what a YAML text holds; words such as `on` and `no` are texts, as in YAML 1.2.

    Raises:
        GraphError: It is no mapping.
    """
    import yaml  # only where it is needed

    from midstream.engine.graphs.documents.yaml_words import WordLoader

    text, name = _text(source)
    try:
        tree: Any = yaml.compose(text, WordLoader)  # pyright: ignore[reportUnknownMemberType]
        data: Any = yaml.load(text, WordLoader)  # a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or error
        raise GraphError(f"{name}{line}: no YAML: {problem}") from error
    return _checked(data, name, tree)


def _checked(data: Any, name: str, tree: Any) -> Document:
    if is_object(data):
        return Document(data, name, tree)
    hint = f"; to read a file, pass Path({data!r})" if isinstance(data, str) else ""
    raise GraphError(f"{name} holds no mapping with name and nodes, but {data!r:.80}{hint}")


def to_json(data: Mapping[str, Any]) -> str:
    """Return data as JSON, indented."""
    return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n"


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return data as YAML; longer texts as blocks."""
    import yaml

    from midstream.engine.graphs.documents.yaml_words import BlockDumper

    made: str = yaml.dump(data, Dumper=BlockDumper, sort_keys=False, allow_unicode=True, width=100)
    return made
