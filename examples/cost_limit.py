"""Start on GPT-4o, and let a policy move the rest of the run to Claude once it has spent what it may.

The reasoning nodes ask GPT-4o. In the middle of the graph the run reaches its limit, a policy proposes Claude, and what is left
is written by Claude, which is told what GPT-4o has said. Nothing is asked twice.

Both vendors' SDKs talk to a stand-in on this machine that refuses what the vendors refuse, so no key is needed.

    python examples/cost_limit.py
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from midstream import Context, Engine, Graph
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.engine.policies.builtin import CostLimit
from midstream.engine.policies.policy import Terms
from midstream.testing import Answer, ProviderServer, Seen

GPT, CLAUDE = "openai:gpt-4o", "anthropic:claude-sonnet-4-5"

essay = Graph("essay")


@essay.node
async def gather(topic: str, ctx: Context) -> str:
    return (await ctx.llm(f"Collect what is known of {topic}.", system="You reason.")).text


@essay.node
async def weigh(gather: str, ctx: Context) -> str:
    return (await ctx.llm("Weigh the arguments.")).text


@essay.node
async def write(weigh: str, ctx: Context) -> str:
    return (await ctx.llm("Write the essay.")).text


@essay.node(output=True)
async def title(write: str, ctx: Context) -> str:
    return (await ctx.llm("And its title?")).text


def answer(seen: Seen) -> Answer:
    """Say who is asked, and how many turns of the conversation were told."""
    who = "GPT-4o" if seen.model == "gpt-4o" else "Claude"
    return Answer(f"{who}, after {len(seen.turns)} turns", input_tokens=40_000, output_tokens=2_000)


async def main() -> None:
    with ProviderServer(answer) as server:
        adapters = {
            "openai": OpenAIAdapter(base_url=server.openai_url, api_key="any"),
            "anthropic": AnthropicAdapter(base_url=server.anthropic_url, api_key="any"),
        }
        limit = CostLimit(CLAUDE, Decimal("0.20"), terms=Terms("thrift", max_losses=0))
        async with Engine.memory(adapters=adapters, model=GPT, policies=[limit]) as engine:
            run = await engine.start(essay, topic="otters")
            print(await run)
            for line in await run.timeline():
                if line.type in ("model.requested", "budget.exceeded", "model.switched"):
                    print(f"{line.seq:>3} {line.type:<16} {line.text}")
            usage = await run.usage()
            for model, tally in usage.by_model.items():
                print(f"{model}: {tally.calls} calls, ${tally.cost}")
        print(f"{len(server.requests)} requests, {len(server.refused)} refused")


if __name__ == "__main__":
    asyncio.run(main())
