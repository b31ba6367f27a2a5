"""Images as the providers take them: PNG, JPEG, GIF or WebP, by their bytes or by an address on the web.

Both vendors look at the first bytes and refuse what is not one of the four, or not what it was said to be.
Source: platform.openai.com/docs/guides/images-vision, platform.claude.com/docs/en/build-with-claude/vision.
"""

from __future__ import annotations

from dataclasses import dataclass

from midstream.events.content import Image

TYPES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))
TOKENS = 1600
"""About what an image costs, of any size, once the provider has scaled it down."""

_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be sent.

    Attributes:
        media_type: What its bytes are; empty for an address.
        data: The bytes in base64, or None.
        url: The address, or None.
    """

    media_type: str
    data: str | None = None
    url: str | None = None


def picture(image: Image) -> Picture | str:
    """Return the image as it can be sent, or the reason why it cannot."""
    if image.data is not None:
        found = next((kind for head, kind in _MAGIC.items() if image.data.startswith(head)), None)
        if found is None:
            return f"its bytes are not those of a PNG, JPEG, GIF or WebP (declared as {image.media_type})"
        return Picture(found, data=image.data)
    if image.url is None:
        return "it has neither bytes nor an address"
    if not image.url.startswith(("https://", "http://")):
        return "its address is not on the web"
    return Picture("", url=image.url)
