"""How much of planted overlap between calibration and evaluation is found. Prints one line for each kind of edit.

PYTHONPATH=operator .venv/bin/python -m tests.bench.overlap
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from lowbit.data.overlap import shared_texts
from lowbit.data.records import Record
from tests.unit.planted_texts import EDITS, text

PLANTED, SEEDS, A_SIDE = 1000, 5, 1000


def found(calibration: Sequence[str], evaluation: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of line numbers, from 0."""
    sides = [[Record(number, text=each) for number, each in enumerate(texts)] for texts in (calibration, evaluation)]
    return [(each.line, each.suite_line) for each in shared_texts({"talk": sides[0]}, {"fidelity": sides[1]})]


def main() -> None:
    """Find copies and near-duplicates among SEEDS times PLANTED texts, and nothing among A_SIDE squared pairs."""
    for name, edit in {"copies": lambda _, whole: whole, **EDITS}.items():
        right = 0
        for seed in range(SEEDS):
            chance = random.Random(f"{name}/{seed}")
            texts = [text(chance) for _ in range(PLANTED)]
            right += sum(one == other for one, other in found([edit(chance, each) for each in texts], texts))
        print(f"{name}: {right} of {SEEDS * PLANTED} found ({100 * right / (SEEDS * PLANTED):.2f} %)")
    chance = random.Random("unrelated")
    sides = [[text(chance) for _ in range(A_SIDE)] for _ in range(2)]
    began = time.monotonic()
    false = len(found(*sides))
    print(f"unrelated: {false} of {A_SIDE**2} pairs called alike, in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
