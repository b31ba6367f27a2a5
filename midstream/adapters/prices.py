"""What a call cost, by the price list of `genai-prices`, which is loaded when the first price is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from midstream.adapters.telling import vendor
from midstream.events.payloads import Cost, Usage

_SELLERS = {"gemini": "google", "xai": "x-ai"}
"""What the price list calls a vendor, where that is not our name."""


def cost(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    """Return what the tokens cost, or None where no price is known.

    Args:
        provider: As in the model's name.
        model: Without the provider; best the name under which it was served, since prices may differ between snapshots.
        usage: The tokens.
        at: When it was asked, in seconds since 1970; prices change.
    """
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
            provider_id=_SELLERS.get(provider, vendor(provider)),
            genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        )
    except (
        LookupError,
        ValueError,
    ):  # no such model or provider, or tokens that it has no price for
        return None
    return Cost(
        amount=format(found.total_price, "f"), source=f"genai-prices {genai_prices.__version__}"
    )
