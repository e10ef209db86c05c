"""How much of planted overlap is found: figures of docs/benchmarks.md (tests/bench/overlap.py prints them)."""

from __future__ import annotations

import random

import pytest

from lowbit.data.overlap import shared_texts
from lowbit.data.records import Record
from tests.unit.planted_texts import EDITS, text

PLANTED = 500
UNRELATED = 10_000
PAIRS_A_SIDE = 100
"""100 texts on each side are 10,000 pairs."""


def found(calibration: list[str], evaluation: list[str]) -> list[tuple[int, int]]:
    """Pairs of line numbers, from 0."""
    shared = shared_texts(
        {"talk": [Record(number, text=each) for number, each in enumerate(calibration)]},
        {"fidelity": [Record(number, text=each) for number, each in enumerate(evaluation)]},
    )
    return [(each.line, each.suite_line) for each in shared]


def test_every_copy_is_found_with_its_line() -> None:
    chance = random.Random("copies")
    texts = [text(chance) for _ in range(PLANTED)]
    order = list(range(PLANTED))
    chance.shuffle(order)
    assert found([texts[number] for number in order], texts) == list(enumerate(order))


@pytest.mark.parametrize("kind", EDITS)
def test_of_near_duplicates_by_each_kind_of_edit_99_percent_are_found(kind: str) -> None:
    chance = random.Random(kind)
    texts = [text(chance) for _ in range(PLANTED)]
    edited = [EDITS[kind](chance, each) for each in texts]
    pairs = found(edited, texts)
    assert all(one == other for one, other in pairs)
    assert len(pairs) >= 0.99 * PLANTED


def test_of_10000_unrelated_pairs_none_is_called_alike() -> None:
    chance = random.Random("unrelated")
    sides = [[text(chance) for _ in range(PAIRS_A_SIDE)] for _ in range(2)]
    assert len(sides[0]) * len(sides[1]) == UNRELATED
    assert found(*sides) == []
