"""Images as the providers take them: PNG, JPEG, GIF or WebP, by their bytes, by an address on the web, or by a file's id.

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
        file_id: The id under which the provider keeps it, or None.
    """

    media_type: str
    data: str | None = None
    url: str | None = None
    file_id: str | None = None


def picture(image: Image, files: str = "") -> Picture | str:
    """Return the image as it can be sent, or the reason why it cannot.

    Args:
        image: The image.
        files: Whose file ids can be sent; empty where none can.
    """
    if image.file_id and files and image.provider == files:
        return Picture("", file_id=image.file_id)
    if image.data is not None:
        found = next((kind for head, kind in _MAGIC.items() if image.data.startswith(head)), None)
        if found is None:
            return f"its bytes are not those of a PNG, JPEG, GIF or WebP (declared as {image.media_type})"
        return Picture(found, data=image.data)
    if image.url is None:
        kept = f"; {image.provider or 'nobody known'} keeps it as a file" if image.file_id else ""
        return f"it has neither bytes nor an address{kept}"
    if not image.url.startswith(("https://", "http://")):
        return "its address is not on the web"
    return Picture("", url=image.url)
