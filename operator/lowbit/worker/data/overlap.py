"""Texts that are in both calibration and evaluation data, or nearly: they would measure memory, not quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rensa import RMinHash, RMinHashLSH

from lowbit.worker.data.datasets import Record
from lowbit.worker.refuse import RefusalError

ALIKE = 0.7
"""Two texts are near-duplicates if they share so much of their runs of WORDS words (Jaccard similarity)."""
WORDS = 3
PERMUTATIONS, BANDS = 128, 32
"""Bands of four: two texts of similarity 0.7 are missed once in six thousand times. What is found is checked."""
SEED = 7


@dataclass(frozen=True)
class Shared:
    """A calibration text that is also, or nearly, an evaluation text."""

    dataset: str
    line: int
    suite: str
    """Name of the evaluation data."""
    suite_line: int


def shared_texts(
    calibration: Mapping[str, Sequence[Record]], evaluation: Mapping[str, Sequence[Record]]
) -> Iterator[Shared]:
    """Every calibration text that is near to an evaluation text, with the first of them. By dataset and suite."""
    known = [(name, record.line, runs(record)) for name, records in evaluation.items() for record in records]
    index = RMinHashLSH(ALIKE, PERMUTATIONS, BANDS)
    for number, (_, _, own) in enumerate(known):
        index.insert(number, sketch(own))
    for dataset, records in calibration.items():
        for record in records:
            own = runs(record)
            near = (known[number] for number in sorted(index.query(sketch(own))))
            found = next(((name, line) for name, line, other in near if similarity(own, other) >= ALIKE), None)
            if found is not None:
                yield Shared(dataset, record.line, *found)


def refuse_shared(shared: Sequence[Shared], field: str = "calibration") -> None:
    """Raise RefusalError if there are any. field: where the manifest has this calibration."""
    if shared:
        first = shared[0]
        raise RefusalError(
            "DataOverlap",
            f"line {first.suite_line} of the evaluation data of suite {first.suite} is also, or nearly, line "
            f"{first.line} of the calibration dataset {first.dataset} ({len(shared)} such lines in all)",
            f"evaluate on texts that the quantizer has not seen: write {field}.overlap: Remove to leave these lines "
            "out of the calibration, or take them out of one of the two files",
        )


def runs(record: Record) -> frozenset[str]:
    """Runs of WORDS words of a text; the whole text if it is shorter."""
    words = record.plain.casefold().split()
    return frozenset(" ".join(words[start : start + WORDS]) for start in range(max(1, len(words) - WORDS + 1)))


def sketch(own: frozenset[str]) -> RMinHash:
    """The MinHash of a text's runs."""
    made = RMinHash(PERMUTATIONS, SEED)
    made.update(sorted(own))
    return made


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity."""
    return len(one & other) / len(one | other)
