"""Spans of time in few letters."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return a span as people say it: `0.8s`, `12s`, `3m 20s`, `5h 12m`, `3d 4h`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    for size, unit, part, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // part}{small}"
    return f"{whole}s"
