"""Code that documents name: functions, tools, agents and types that can be imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel

from midstream import Agent, Context, From, tool


class Sights(BaseModel):
    names: list[str]


@tool(effect="read")
async def search(query: str, limit: int = 3) -> list[str]:
    """Search for something."""
    return [f"{query} {number}" for number in range(limit)]


async def double(number: int = 1) -> int:
    return 2 * number


def add(one: int, other: int = 0) -> int:
    return one + other


def listed(*values: Any) -> list[Any]:
    return list(values)


async def gathered(results: list[Any]) -> list[Any]:
    return results


def described(facts: Annotated[list[str], From("find")]) -> str:
    return ", ".join(facts)


async def looped(ctx: Context) -> int:
    ctx.local["n"] = ctx.local.get("n", 0) + 1
    if ctx.local["n"] < 3:
        ctx.goto("looped")
    return int(ctx.local["n"])


def handle(error: dict[str, Any]) -> str:
    return str(error["kind"])


def is_big(number: int) -> bool:
    return number > 3


def items() -> Iterator[int]:
    yield from (1, 2, 3)


def key_of(item: int) -> str:
    return f"k{item}"


def fail(number: int) -> int:
    raise ValueError(number)


GUIDE = Agent("guide", system="You guide", tools=[search])


def aim(city: str) -> str:
    """Say what a plan is to reach."""
    return f"See {city}"
