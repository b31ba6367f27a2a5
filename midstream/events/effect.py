"""What tools do to the world."""

from typing import Literal

Effect = Literal["read", "idempotent", "unsafe"]
"""What a tool does to the world: nothing, the same when repeated with its key, or something that must not be repeated."""
