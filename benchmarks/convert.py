"""How many recorded conversations are converted in a second, and what a piece of a streamed answer costs.

Ratio-style: beside our figure stands the time in which the same lines are read and written as JSON, which no converter can
undercut, in the same run and in turns. Gates: 2,000 conversations of 10 messages a second on one core, 30 µs a piece.
Run: `python benchmarks/convert.py`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import orjson

from midstream.adapters.batch import converted_lines
from midstream.adapters.dialect import Assembling, dialect

ROUNDS = 9
LINES = 200
PIECES = 20_000


def conversation(messages: int) -> dict[str, object]:
    """A tool loop: question, call, result, answer."""
    said: list[object] = [{"role": "system", "content": "You are a helpful assistant."}]
    for turn in range(messages // 4 + 1):
        function = {"name": "weather", "arguments": json.dumps({"city": f"c{turn}", "days": 3})}
        call = {"id": f"call_{turn}", "type": "function", "function": function}
        said += [
            {"role": "user", "content": f"What will the weather be in city {turn}? " * 4},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "sunny, 21 degrees " * 10},
            {"role": "assistant", "content": "It will be sunny. " * 5},
        ]
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "weather", "description": "The weather.", "parameters": schema}
    tools = [{"type": "function", "function": tool}]
    return {"model": "gpt-4o", "messages": said[:messages], "tools": tools, "temperature": 0.2}


def seconds(work: Callable[[], object]) -> float:
    """CPU time, since the machine may be shared."""
    before = time.process_time()
    work()
    return time.process_time() - before


def batch(source: str, request: object, target: str) -> None:
    row = {"id": 1, "source": source, "request": request, "targets": [target]}
    line = orjson.dumps(row)
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: sum(1 for _ in converted_lines([line] * LINES))))
        floor.append(seconds(lambda: [orjson.dumps(orjson.loads(line)) for _ in range(LINES)]))
    each, json_only = statistics.median(ours) / LINES, statistics.median(floor) / LINES
    rate, mark = 1 / each, "ok" if each <= 1 / 2000 else "MISSED"
    print(
        f"{source:>16} → {target:<16} {rate:7,.0f} /s  gate 2,000 {mark:6}  {each / json_only:5.0f} times JSON alone"
    )


def streaming(name: str, event: dict[str, object], before: list[dict[str, object]]) -> None:
    figures: list[float] = []
    for _ in range(ROUNDS):
        assembly = dialect(name).assembly()
        for first in before:
            assembly.add(first)
        figures.append(seconds(partial(_fed, assembly, event)))
    each = statistics.median(figures) / PIECES * 1e6
    mark = "ok" if each <= 30 else "MISSED"
    print(f"{name:>16}: {each:6.2f} µs a piece, after {PIECES:,} of them  gate 30 {mark}")


def _fed(assembly: Assembling, event: dict[str, object]) -> None:
    for _ in range(PIECES):
        assembly.add(event)


def main() -> None:
    chat = conversation(10)
    request: dict[str, object] = {"openai-chat": chat}
    for target in ("anthropic", "openai-responses"):
        row = {"id": 1, "source": "openai-chat", "request": chat, "targets": [target]}
        request[target] = orjson.loads(next(converted_lines([orjson.dumps(row)])))["request"]
    for source in request:
        for target in request:
            batch(source, request[source], target)
    streaming("openai-chat", {"choices": [{"index": 0, "delta": {"content": " word"}}]}, [])
    delta = {"type": "text_delta", "text": " word"}
    start: list[dict[str, object]] = [
        {"type": "message_start", "message": {"id": "m", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    streaming("anthropic", {"type": "content_block_delta", "index": 0, "delta": delta}, start)
    streaming("openai-responses", {"type": "response.output_text.delta", "delta": " word"}, [])


if __name__ == "__main__":
    main()
