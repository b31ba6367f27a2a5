"""What the stand-in for the providers answers in the demo: computed from the request, and from nothing else.

It knows no numbers. It reads them from the tool results, and later from its own earlier answers, as they stand in the
history it is sent; so a history that lost or mixed something up ends in sentences that say so.
"""

from __future__ import annotations

import json
import re
from typing import Any

from midstream.testing.script import Answer, Call
from midstream.testing.seen import Seen

_FIRST = ("weekly_sales", "units_in_stock")
_LATENCY = 0.2
_PRODUCT = re.compile(r"how the (.+?) is doing")


def answer(seen: Seen) -> Answer:
    """Answer one request."""
    asked = seen.last_user_text
    if asked.startswith("Analyse"):
        return _say(_analysis(_found(seen)))
    if asked.startswith("Write"):
        return _say(_sentences(_found(seen), _said(seen)))
    return _gather(seen, _found(seen))


def _gather(seen: Seen, found: dict[str, float]) -> Answer:
    product = _PRODUCT.search(seen.last_user_text)
    arguments = {"product": product[1] if product else "?"}
    answered = {result.name for result in seen.results}
    missing = [name for name in _FIRST if name not in answered]
    if not missing and "unit_price" not in answered:
        missing = ["unit_price"]
    if missing:
        calls = tuple(Call(name, arguments) for name in missing)
        return Answer("Let me look that up.", calls, chunk_delay=_LATENCY)
    known = {name: f"{number:g}" for name, number in found.items()}
    numbers = (f"{name} {known.get(name, 'unknown')}" for name in (*_FIRST, "unit_price"))
    return _say(f"Looked up: {', '.join(numbers)}.")


def _analysis(found: dict[str, float]) -> str:
    try:
        weeks = found["units_in_stock"] / found["weekly_sales"]
        worth = found["weekly_sales"] * found["unit_price"]
    except KeyError as missing:
        return f"I cannot tell: the history I was sent holds no result of {missing}."
    return f"The stock lasts {weeks:.1f} weeks; a week's sales are worth {worth:.2f} euros."


def _sentences(found: dict[str, float], said: str) -> str:
    analysis = re.search(r"lasts ([\d.]+) weeks; .* worth ([\d.]+) euros", said)
    names = (*_FIRST, "unit_price")
    if analysis is None or not all(name in found for name in names):
        lost = [name for name in names if name not in found] or ["my analysis"]
        return f"I cannot write that: the history I was sent lacks {', '.join(lost)}."
    sold, stock, price = (f"{found[name]:g}" for name in names)
    return (
        f"{sold} units are sold a week at {price} euros each, which is worth {analysis[2]} euros. "
        f"With {stock} units in stock, there is enough for {analysis[1]} weeks."
    )


def _found(seen: Seen) -> dict[str, float]:
    """Return the number in each tool's newest result."""
    found: dict[str, float] = {}
    for result in seen.results:
        try:
            data: Any = json.loads(result.text)
            found[result.name] = float(next(iter(data.values())))
        except (ValueError, AttributeError, StopIteration, TypeError):
            continue  # an error or a wrong shape: as good as not told
    return found


def _said(seen: Seen) -> str:
    return "\n".join(turn.text for turn in seen.turns if turn.role == "assistant")


def _say(text: str) -> Answer:
    return Answer(text, chunk_delay=_LATENCY)
