"""Whether two evaluations have read the same samples: by the samples, whatever suite, dataset or model is called.

A sketch is the smallest hashes of a sample set (Broder 1997, bottom-k): of two sketches follows how much their sets
have in common, and none of their texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

SIZE = 128
EDGE = 32
"""Tokens of a text's beginning and end that are hashed apart, so that a text which is cut elsewhere, or whose template
writes the date, is known again."""
SAME = 0.25
"""Share of the smaller sketch that is in the other: a third of the marks of equal texts stays if one end changes."""
FEWEST = 4
"""With fewer marks in reach nothing can be said: one set is far larger than the other."""


def sketch(texts: Iterable[Sequence[int]]) -> list[str]:
    """The smallest marks of a set of texts (token ids), sorted."""
    return sorted({mark for text in texts for mark in _marks(text)})[:SIZE]


def same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sketches are of samples of which a good part is the same. A set and a larger one with it are."""
    reach = min((full[-1] for full in (one, other) if len(full) == SIZE), default="g")
    first, second = ({mark for mark in each if mark <= reach} for each in (one, other))
    smaller = min(len(first), len(second))
    # Of two sketches that are not full everything is known.
    if not smaller or (smaller < FEWEST and SIZE in (len(one), len(other))):
        return False
    return len(first & second) >= SAME * smaller


def _marks(text: Sequence[int]) -> Iterator[str]:
    for part in (text[:EDGE], text[-EDGE:], text):
        yield hashlib.sha256(" ".join(map(str, part)).encode()).hexdigest()[:16]
