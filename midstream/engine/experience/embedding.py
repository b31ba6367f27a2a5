"""Texts as vectors: trigrams of letters, hashed, which needs nothing; or any local model behind the same protocol."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import Protocol
from zlib import crc32

Vector = Sequence[float]

_WORD = re.compile(r"\w+")


class Embedder(Protocol):
    """Makes vectors of texts: equal for equal texts, in every process, and without leaving the machine."""

    @property
    def name(self) -> str:
        """Of the embedder and its version: vectors of different names are never compared."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return a vector for each text, all of the same length."""
        ...


class Trigrams:
    """Counts of hashed trigrams of letters, each word with its ends marked; quick, and good for words that are alike.

    Args:
        size: Length of the vectors; a power of two.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size

    @property
    def name(self) -> str:
        """See `Embedder.name`."""
        return f"trigrams-{self._size}/1"

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """See `Embedder.embed`."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> Vector:
        counts = array("f", bytes(4 * self._size))
        for word in _WORD.findall(text.lower()):
            for place, sign in _trigrams(word, self._size):
                counts[place] += sign
        length = math.sqrt(sum(map(mul, counts, counts)))
        return array("f", [value / length for value in counts]) if length else counts


@lru_cache(maxsize=20_000)
def _trigrams(word: str, size: int) -> tuple[tuple[int, float], ...]:
    """Return the places of a word's trigrams; the sign keeps those that fall on the same place from adding up."""
    marked = f" {word} ".encode()
    hashed = [crc32(marked[place : place + 3]) for place in range(len(marked) - 2)]
    return tuple((one & (size - 1), 1.0 if one & (1 << 20) else -1.0) for one in hashed)


def cosine(first: Vector, second: Vector) -> float:
    """Return how alike two vectors of length 1 are, from -1 to 1."""
    product: float = sum(map(mul, first, second))
    return product
