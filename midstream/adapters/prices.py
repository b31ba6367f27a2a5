"""What a call cost, by the price list of `genai-prices`, which is loaded when the first price is asked for.

A model's prices are looked up once and multiplied here, as the price list does it, to the last digit: what it works out
anew for each call takes a hundred microseconds. How it counts is checked against its own answer for each kind of call; where
the two differ, it is asked each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from midstream.adapters.telling import vendor
from midstream.events.payloads import Cost, Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_SELLERS = {"gemini": "google", "xai": "x-ai"}
"""What the price list calls a vendor, where that is not our name."""

_MANY = 1_000_000
"""Tokens that a listed price is for."""

_MOST = 1000
"""Models whose prices are kept at most."""


def cost(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    """Return what the tokens cost, or None where no price is known.

    Args:
        provider: As in the model's name.
        model: Without the provider; best the name under which it was served, since prices may differ between snapshots.
        usage: The tokens.
        at: When it was asked, in seconds since 1970; prices change.
    """
    import genai_prices

    when = datetime.fromtimestamp(at, UTC)
    prices = _prices(provider, model, when)
    total = None if prices is None else prices.total(usage, when)
    if total is None:
        return None
    return Cost(amount=format(total, "f"), source=f"genai-prices {genai_prices.__version__}")


_KINDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
"""The tokens that we know of, as a price list calls what they cost."""


class _Term(NamedTuple):
    """A price for tokens of one kind, and what it becomes beyond so many tokens read, the most first."""

    kind: int  # its place in `_KINDS`, and the one after it for what we know nothing of
    price: Decimal
    beyond: tuple[tuple[int, Decimal], ...]


@dataclass(slots=True)
class _Prices:
    """The prices of one model at one time.

    Attributes:
        seller: As the price list calls it.
        model: Its name.
        terms: In the order of the list.
        reads: What is read from a cache has a price of its own.
        writes: So has what is written to one.
        agreed: For each kind of call, whether the price list says the same.
    """

    seller: str
    model: str
    terms: tuple[_Term, ...]
    reads: bool
    writes: bool
    agreed: dict[tuple[int, ...], bool] = field(default_factory=dict[tuple[int, ...], bool])

    def total(self, usage: Usage, when: datetime) -> Decimal | None:
        """Return what the tokens cost, or None where some of them have no price."""
        total, kind = self._reckoned(usage)
        agreed = self.agreed.get(kind)
        if agreed:
            return total
        told = _told(self.seller, self.model, usage, when)
        if agreed is None and told is not None:
            self.agreed[kind] = str(told) == str(total)  # with as many zeros at the end, too
        return told

    def _reckoned(self, usage: Usage) -> tuple[Decimal, tuple[int, ...]]:
        """Return the total, and what kind of call it is for: which tokens it has, and by which prices."""
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        rest = usage.input_tokens - read * self.reads - written * self.writes
        counts = (rest, usage.output_tokens, read, written, 0)
        total, starts = Decimal(0), list[int]()
        for place, price, beyond in self.terms:
            for start, dearer in beyond:
                if usage.input_tokens > start:
                    price = dearer
                    starts.append(start)
                    break
            total += price * counts[place] / _MANY
        has = ((rest > 0) - (rest < 0), counts[1] > 0, read > 0, written > 0)
        return total, (*has, *starts)


def _told(seller: str, model: str, usage: Usage, when: datetime) -> Decimal | None:
    """Return what the price list says that tokens cost."""
    import genai_prices

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens or None,
                cache_write_tokens=usage.cache_write_tokens or None,
            ),
            model,
            provider_id=seller,
            genai_request_timestamp=when,
        )
    except (LookupError, ValueError):  # no such model or provider, or tokens without a price
        return None
    return found.total_price


@dataclass(slots=True)
class _Known:
    """What was looked up in a price list.

    Attributes:
        snapshot: The list; another one may take its place while a process runs.
        models: By provider and model; None for those that are not in it.
        prices: By the same, and the identity of what the list has for that time.
    """

    snapshot: DataSnapshot | None = None
    models: dict[tuple[str, str], ModelInfo | None] = field(
        default_factory=dict[tuple[str, str], "ModelInfo | None"]
    )
    prices: dict[tuple[str, str, int], _Prices] = field(
        default_factory=dict[tuple[str, str, int], _Prices]
    )


_known = _Known()


def _prices(provider: str, model: str, when: datetime) -> _Prices | None:
    """Return the prices of a model at a time, or None where there are none."""
    global _known
    from genai_prices.data_snapshot import get_snapshot

    known, snapshot = _known, get_snapshot()
    if known.snapshot is not snapshot or len(known.models) >= _MOST:
        known = _known = _Known(snapshot)
    seller = _SELLERS.get(provider) or vendor(provider)
    if (seller, model) not in known.models:
        known.models[seller, model] = _looked_up(snapshot, seller, model)
    found = known.models[seller, model]
    if found is None:
        return None
    listed = found.get_prices(when)
    prices = known.prices.get((seller, model, id(listed)))
    if prices is None:
        prices = known.prices[seller, model, id(listed)] = _read(seller, model, listed)
    return prices


def _looked_up(snapshot: DataSnapshot, seller: str, model: str) -> ModelInfo | None:
    try:
        return snapshot.find_provider_model(model, None, seller, None)[1]
    except LookupError:
        return None


def _read(seller: str, model: str, listed: ModelPrice) -> _Prices:
    values: dict[str, Decimal | TieredPrices | None] = vars(listed)
    terms: list[_Term] = []
    for name, value in values.items():
        if value is None or name.startswith("_"):
            continue
        kind = _KINDS.index(name) if name in _KINDS else len(_KINDS)
        if isinstance(value, Decimal):
            terms.append(_Term(kind, value, ()))
        else:
            beyond = tuple((tier.start, tier.price) for tier in reversed(value.tiers))
            terms.append(_Term(kind, value.base, beyond))
    kinds = {term.kind for term in terms}
    return _Prices(seller, model, tuple(terms), reads=2 in kinds, writes=3 in kinds)
