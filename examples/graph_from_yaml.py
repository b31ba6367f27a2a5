"""A graph in YAML, with its functions here: read, drawn, run, and answered; no key is needed."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from midstream import Engine, Graph, Message, tool

HERE = Path(__file__).parent


@tool(effect="read")
async def search(query: str, limit: int) -> list[str]:
    """Search the web."""
    return [f"{query}, number {place + 1}" for place in range(limit)]


def letter(city: str, plans: list[str]) -> str:
    return f"{city}: {' / '.join(plans)}"


def answer(messages: Sequence[Message]) -> str:
    return messages[-1].text.replace("Plan a day around", "A morning at")


async def main() -> None:
    sys.path.insert(0, str(HERE))  # the document names functions of this module
    trip = Graph.from_yaml(HERE / "trip.yaml")
    print(trip.to_mermaid())
    again = Graph.from_json(trip.to_json())
    print("written and read again, it is the same graph:", again.digest == trip.digest)
    async with Engine.memory(models={"any": answer}) as engine:
        run = await engine.start(trip, city="Rome", model="any")
        while not (questions := await run.questions()):  # noqa: ASYNC110  # asked in a moment
            await asyncio.sleep(0.01)
        print(questions[0].text)
        await run.answer(questions[0].id, approved=True, by="alice")
        print(await run)


if __name__ == "__main__":
    asyncio.run(main())
