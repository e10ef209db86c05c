"""Attempts on the same samples, counted in the store: it outlives models that are renamed or made again.

attempts/<digest of the original>/<input hash>.json: one manifest whose candidates were evaluated, with sketches of
what they read. All candidates of one manifest are one attempt: the gate divides its error over them already. An entry
is written once, when the first of them is measured, and keeps its number: a restart counts nothing twice, and a run
that never came to a measurement counts as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field, ValidationError

from lowbit.api.base import Digest, Tolerant
from lowbit.api.documents import EvaluateDocument
from lowbit.api.status import CountedAttempt
from lowbit.naming.store_keys import attempt_key, attempts_folder
from lowbit.worker.evaluate.sketch import same
from lowbit.worker.store import Store

TOLD = 5
"""Earlier evaluations that are named in a result."""
Sketches = Mapping[str, list[str]]
"""By the suite's name."""


class LedgerEntry(Tolerant):
    """One manifest that was tried."""

    of: str
    """Its input hash."""
    ordinal: int
    quantized_model: str
    evaluation: str
    """The first of its candidates' evaluations."""
    before: list[str] = Field(default_factory=list)
    """Evaluations of earlier attempts on the same samples."""
    sketches: list[list[str]]

    def counted(self) -> CountedAttempt:
        """What the gate is told."""
        return CountedAttempt(ordinal=self.ordinal, input_hash=self.of, before=self.before[-TOLD:])


@dataclass(frozen=True)
class Try:
    """What is counted: one manifest's evaluation of a candidate."""

    source: Digest
    input_hash: str
    quantized_model: str
    evaluation: str


def of_document(document: EvaluateDocument) -> Try | None:
    """What a candidate's evaluation counts as. None of an original, and of a start in turn."""
    if document.input_hash is None or document.turn is not None:
        return None
    return Try(document.source, document.input_hash, document.served_name, document.evaluation)


def expect(store: Store, tried: Try | None, sketches: Sketches) -> CountedAttempt | None:
    """Which attempt on these samples it will be, if it is measured. None if there is nothing to compare."""
    entry = _entry(store, tried, sketches) if tried is not None else None
    return entry.counted() if entry is not None else None


def count(store: Store, tried: Try | None, sketches: Sketches) -> CountedAttempt | None:
    """Which attempt on these samples it is; writes it down the first time. None if there is nothing to compare."""
    entry = _entry(store, tried, sketches) if tried is not None else None
    if tried is None or entry is None:
        return None
    key = attempt_key(tried.source, tried.input_hash)
    if _read(store, key) is None:
        store.write(key, json.dumps(entry.wire(), indent=1).encode())
    return entry.counted()


def _entry(store: Store, tried: Try, sketches: Sketches) -> LedgerEntry | None:
    """The entry that the store has of a manifest, or the one that it will have."""
    known = _read(store, attempt_key(tried.source, tried.input_hash))
    if known is not None and known.of == tried.input_hash:
        return known
    own = [each for each in sketches.values() if each]
    if not own:
        return None
    before = [
        entry
        for entry in entries(store, tried.source)
        if any(same(one, other) for one in own for other in entry.sketches)
    ]
    before.sort(key=lambda entry: (entry.ordinal, entry.evaluation))
    return LedgerEntry(
        of=tried.input_hash, ordinal=len(before) + 1, quantized_model=tried.quantized_model,
        evaluation=tried.evaluation, before=[each.evaluation for each in before], sketches=own,
    )  # fmt: skip


def entries(store: Store, source: Digest) -> Iterator[LedgerEntry]:
    """Every manifest that was tried on one original. One that cannot be read is none."""
    folder = attempts_folder(source)
    for name in store.names(folder):
        found = _read(store, f"{folder}/{name}")
        if found is not None:
            yield found


def _read(store: Store, key: str) -> LedgerEntry | None:
    try:
        return LedgerEntry.model_validate_json(store.read(key) or b"")
    except ValidationError:
        return None
