"""The calibration set as the quantizer reads it: texts, those of chats by the chat template, and their token ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowbit.api.calibration import ResolvedCalibration
from lowbit.data.calibration import draw
from lowbit.data.reading import read_dataset
from lowbit.data.records import Record
from lowbit.naming.store_keys import dataset_report_key
from lowbit.worker.data.tokens import Rendered, Tokenizer, ids_of, rendered
from lowbit.worker.store import Store
from lowbit.worker.store.indexes import read_index

Sample = list[int]
"""Token ids."""
Reports = Mapping[str, Sequence[Mapping[str, Any]]]
"""By dataset name: what each of its files was taken for."""


@dataclass(frozen=True)
class KeptText:
    """A text that a quantizer reads, and where it is from."""

    rendered: Rendered
    source: str
    """Name of the dataset."""
    file: str
    """Path in the dataset."""


@dataclass(frozen=True)
class Calibrated:
    """What a quantizer reads."""

    texts: Sequence[KeptText]
    samples: list[Sample]
    reports: Reports

    @property
    def kept(self) -> bytes:
        """The set as JSON lines of text, source and file, in the order in which it is read."""
        rows = ({"text": each.rendered.text, "source": each.source, "file": each.file} for each in self.texts)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

    def report(self, key: str) -> dict[str, Any]:
        """The set, and what each dataset gave, for the quantizer's report. key: where the store keeps the set."""
        drawn = Counter(each.source for each in self.texts)
        return {
            "set": key,
            "sha256": hashlib.sha256(self.kept).hexdigest(),
            "texts": len(self.texts),
            "datasets": [
                {"name": name, "drawn": drawn[name], "files": list(files)} for name, files in self.reports.items()
            ],
        }


def calibrated_texts(
    calibration: ResolvedCalibration, store: Store, tokenizer: Tokenizer, max_tokens: int
) -> Calibrated:
    """The drawn texts of the stored datasets, and their token ids, cut at max_tokens. Raises RefusalError."""
    records = {
        dataset.name: read_dataset(store.dataset(dataset.digest), dataset.format, f"calibration dataset {dataset.name}")
        for dataset in calibration.datasets
    }
    reports = {dataset.name: files_of(store, dataset.digest) for dataset in calibration.datasets}
    texts = kept_texts(draw(calibration, records), tokenizer, reports)
    return Calibrated(texts, tokenize(texts, tokenizer, max_tokens), reports)


def files_of(store: Store, digest: str) -> list[Mapping[str, Any]]:
    """What the files of a dataset were taken for; none if an older Lowbit prepared it."""
    files = read_index(store, dataset_report_key(digest), digest).get("files")
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def kept_texts(drawn: Sequence[tuple[str, Record]], tokenizer: Tokenizer, reports: Reports) -> list[KeptText]:
    """The texts of the drawn records."""
    return [
        KeptText(
            rendered(f"calibration dataset {name}", record, tokenizer), name, file_of(record, reports.get(name, ()))
        )
        for name, record in drawn
    ]


def file_of(record: Record, files: Sequence[Mapping[str, Any]]) -> str:
    """The file of a record: the dataset's only one, or the one that the line names. Empty if nobody knows it."""
    return str(files[0].get("file", "") if len(files) == 1 else record.fields.get("file", "") if files else "")


def tokenize(texts: Sequence[KeptText], tokenizer: Tokenizer, max_tokens: int) -> list[Sample]:
    """Token ids of each text, cut at max_tokens."""
    return [ids_of(each.rendered, tokenizer)[:max_tokens] for each in texts]
