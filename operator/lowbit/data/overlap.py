"""Texts that are in both calibration and evaluation data, or nearly: they would measure memory, not quality."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rensa import RMinHash, RMinHashLSH

from lowbit.api.refusal import RefusalError
from lowbit.data.chats import words_of
from lowbit.data.records import LEAST_CHARACTERS, Record

ALIKE = 0.6
"""Two texts are near-duplicates if they share so much of their runs of WORDS words (Jaccard similarity). With another
word in every 15 it is 0.65; of two texts of 12 words that differ in one of them, as by a template, it is 0.54."""
INSIDE, LEAST_RUNS = 0.8, 20
"""Or if so much of the shorter one, which has at least so many runs, is in the other one."""
WORDS = 3
PERMUTATIONS, BANDS = 129, 43
"""Bands of three: two texts of similarity 0.6 are missed once in thirty thousand times. What is found is checked."""
SEED = 7
LEAST_WORDS = 8
"""Shorter answers of an assistant are labels, or nothing but polite."""
TAG = re.compile(r"</?[A-Za-z][^<>]{0,300}>")
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1780-\u17ff]|[^\W_]+")
"""A word, or a character of a script without spaces between words."""


@dataclass(frozen=True)
class Shared:
    """A calibration text that is also, or nearly, an evaluation text."""

    dataset: str
    line: int
    suite: str
    """Name of the evaluation data."""
    suite_line: int
    file: str = ""
    """File of the calibration text."""


def shared_texts(
    calibration: Mapping[str, Sequence[Record]], evaluation: Mapping[str, Sequence[Record]]
) -> Iterator[Shared]:
    """Every calibration text that is near to an evaluation text, with the first of them. By dataset and suite.

    A text is also compared with what is said in a chat, and a chat's parts with a text.
    """
    known = [*wholes(evaluation), *parts(evaluation)]
    first_part = sum(map(len, evaluation.values()))
    index = RMinHashLSH(ALIKE, PERMUTATIONS, BANDS)
    for number, each in enumerate(known):
        index.insert(number, sketch(each.own))
    own_parts: dict[tuple[str, int], list[Known]] = {}
    for part in parts(calibration):
        own_parts.setdefault((part.name, part.number), []).append(part)
    for whole in wholes(calibration):
        found = nearest(whole.own, index, known, len(known))
        for part in own_parts.get((whole.name, whole.number), ()) if found is None else ():
            found = found or nearest(part.own, index, known, first_part)
        if found is not None:
            yield Shared(whole.name, whole.record.line, found.name, found.record.line, whole.record.file)


@dataclass(frozen=True)
class Known:
    """A text of a dataset, or a part of it."""

    name: str
    number: int
    """Of the record in its dataset, from 0."""
    record: Record
    own: frozenset[str]


def nearest(own: frozenset[str], index: RMinHashLSH, known: Sequence[Known], end: int) -> Known | None:
    """The first of the known texts before number end that is alike."""
    near = (known[number] for number in sorted(index.query(sketch(own))) if number < end)
    return next((each for each in near if alike(own, each.own)), None)


def wholes(datasets: Mapping[str, Sequence[Record]]) -> Iterator[Known]:
    """Every record."""
    for name, records in datasets.items():
        for number, record in enumerate(records):
            yield Known(name, number, record, runs(record))


def parts(datasets: Mapping[str, Sequence[Record]]) -> Iterator[Known]:
    """What is asked and answered in chats, but for what several records say: that is a label, or a template."""
    found = [
        (name, number, record, said)
        for name, records in datasets.items()
        for number, record in enumerate(records)
        for said in dict.fromkeys(_said(record))
    ]
    counted = Counter(said for _, _, _, said in found)
    for name, number, record, said in found:
        if counted[said] == 1:
            yield Known(name, number, record, runs_of(said.split()))


def _said(record: Record) -> Iterator[str]:
    """The normal words of each question, and of each answer that is no label."""
    for message in record.messages or ():
        words = words_in(words_of(message))
        least = {"user": 1, "assistant": LEAST_WORDS}.get(message["role"])
        if least is not None and len(words) >= least and len(words_of(message)) > LEAST_CHARACTERS:
            yield " ".join(words)


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


def words_in(text: str) -> list[str]:
    """The words of a text as they are compared: without case, marks, markup and characters that nobody sees."""
    bare = TAG.sub(" ", html.unescape(text)).replace("\u200b", " ")
    folded = unicodedata.normalize("NFKC", bare).casefold()
    if not folded.isascii():
        folded = "".join(each for each in folded if unicodedata.category(each) != "Cf")
    return WORD.findall(folded)


def runs(record: Record) -> frozenset[str]:
    """Runs of WORDS words of a record; all words if they are fewer, and the text itself if it has none."""
    words = words_in(record.plain)
    return runs_of(words) if words else frozenset([record.plain])


def runs_of(words: Sequence[str]) -> frozenset[str]:
    """Runs of WORDS words; all words if they are fewer."""
    return frozenset(" ".join(words[start : start + WORDS]) for start in range(max(1, len(words) - WORDS + 1)))


def sketch(own: frozenset[str]) -> RMinHash:
    """The MinHash of a text's runs."""
    made = RMinHash(PERMUTATIONS, SEED)
    made.update(sorted(own))
    return made


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two texts are near-duplicates, or one of them is nearly a part of the other."""
    shorter = min(len(one), len(other))
    inside = shorter >= LEAST_RUNS and len(one & other) >= INSIDE * shorter
    return inside or similarity(one, other) >= ALIKE


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity."""
    return len(one & other) / len(one | other)
