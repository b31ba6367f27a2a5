"""Reading what was given on the command line: inputs, tags, results, and the code of a graph."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from midstream.errors import ConfigError, GraphError

if TYPE_CHECKING:
    from midstream.engine.graphs.graph import Graph


def inputs_of(pairs: Sequence[str], file: str) -> dict[str, Any]:
    """Return the inputs of a run: those of a file, then those given one by one.

    Args:
        pairs: As in `city=Tokyo` and `days=3`; a value that is JSON is taken as JSON, any other as text.
        file: A file with a JSON object, `-` for stdin, empty for none.

    Raises:
        ConfigError: Something is not of that form.
    """
    inputs = _object(file) if file else {}
    for pair in pairs:
        name, value = _split(pair, "-i", "city=Tokyo")
        inputs[name] = _json_or_text(value)
    return inputs


def tags_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return tags, as in `team=blue`.

    Raises:
        ConfigError: One has no `=`.
    """
    return dict(_split(pair, "--tag", "team=blue") for pair in pairs)


def json_of(text: str, option: str) -> Any:
    """Return a value that must be JSON.

    Raises:
        ConfigError: It is not.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            f"{option} {text!r:.80} is not JSON ({error}); write text as '\"text\"', with both kinds of quotes"
        ) from error


def graph_of(place: str) -> Graph:
    """Import a graph, or read it from a file.

    Args:
        place: `MODULE:GRAPH`, or a file in YAML or JSON; modules in the working directory are found.

    Raises:
        ConfigError: It is not of that form.
        GraphError: There is no such module or graph in it.
    """
    from midstream.engine.graphs.graph import Graph  # with the engine, which lists do not need

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if place.endswith((".yaml", ".yml")):
        return Graph.from_yaml(Path(place))
    if place.endswith(".json"):
        return Graph.from_json(Path(place))
    module_name, colon, name = place.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError(
            f"{place!r} names no graph; write MODULE:GRAPH, as in 'trips:trip' for `trip` in trips.py, or a file "
            "that ends in .yaml or .json"
        )
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise GraphError(
            f"cannot import {module_name!r}: {error}; run this in the directory of {module_name.partition('.')[0]}.py, "
            "or install it in the same environment as midstream"
        ) from error
    except Exception as error:  # the module is the user's code
        raise GraphError(
            f"importing {module_name!r} raised {type(error).__name__}: {error}; try `python -c 'import {module_name}'`"
        ) from error
    found = getattr(module, name, None)
    if not isinstance(found, Graph):
        graphs = [key for key, value in vars(module).items() if isinstance(value, Graph)]
        there = ", ".join(f"{module_name}:{key}" for key in graphs) or "none"
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise GraphError(f"{place!r} is {what}, not a graph; graphs in that module: {there}")
    return found


def _object(file: str) -> dict[str, Any]:
    where = "stdin" if file == "-" else repr(file)
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        found = orjson.loads(body)
    except OSError as error:
        raise ConfigError(f"cannot read {where}: {error.strerror}; check the path") from error
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f'{where} holds no JSON object; write inputs as {{"name": value}}')
    return found  # pyright: ignore[reportUnknownVariableType]  # JSON: its keys are text


def _split(pair: str, option: str, example: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    if not sign or not name:
        raise ConfigError(f"{option} {pair!r} has no name; write it as in '{example}'")
    return name, value


def _json_or_text(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
