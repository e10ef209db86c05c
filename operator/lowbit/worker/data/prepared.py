"""The datasets of a QuantizedModel: read, checked against each other and against the gates, and put into the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import Calibration, CalibrationDataset, calibration_key
from lowbit.api.evaluation import datasets_of, suite_of
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites.base import dataset_key
from lowbit.api.suites.dataset import EvaluationDataset
from lowbit.data.calibration import check_enough
from lowbit.data.kinds import Use
from lowbit.data.overlap import refuse_shared, shared_texts
from lowbit.data.reading import Asked, ReadDataset, read_files, remove, stored
from lowbit.data.records import Record, units
from lowbit.gate.counts import needed
from lowbit.naming.store_keys import dataset_report_key
from lowbit.worker.data.datasets import Mounts, import_dataset
from lowbit.worker.data.locate import locate
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store
from lowbit.worker.store.indexes import write_index

Say = Callable[[str], None]
"""Gets a line for the Job's log."""
MOST_FILES = 1000
"""Files in the report of a dataset."""


def silent(_: str) -> None:
    """A Say that does nothing."""


@dataclass(frozen=True)
class PreparedDatasets:
    """What is in the store."""

    digests: dict[str, str]
    """By dataset key."""
    chats: list[str]
    """Datasets that hold chats, for messages."""
    removed: dict[str, int]
    """Lines that were left out of a calibration dataset, because they are evaluated on. By its key, without
    calibration/."""
    broken: dict[str, int]
    """Lines that were left out of a calibration dataset, because they are no records. By its key, without
    calibration/."""


def prepare_datasets(spec: QuantizedModelSpec, store: Store, mounts: Mounts, say: Say = silent) -> PreparedDatasets:
    """Read, check and store every dataset. Raises RefusalError."""
    evaluation = {
        key.removeprefix("evaluation/"): read(
            "evaluation", key.removeprefix("evaluation/"), dataset, mounts,
            all_columns=suite_of(suite)[0].reads_fields,
        )
        for suite in spec.evaluation.suites
        for key, dataset in datasets_of(suite).items()
    }  # fmt: skip
    all_read: dict[str, ReadDataset] = {}
    removed: dict[str, int] = {}
    for candidate, asked in spec.calibrations().items():
        kept, fewer = read_calibration(candidate, asked, evaluation, mounts)
        all_read |= {calibration_key(name, candidate): each for name, each in kept.items()}
        removed |= {calibration_key(name, candidate).removeprefix("calibration/"): n for name, n in fewer.items()}
    broken = {key.removeprefix("calibration/"): each.broken for key, each in all_read.items() if each.broken}
    check_texts(spec, {name: each.records for name, each in evaluation.items()})
    all_read |= {f"evaluation/{name}": each for name, each in evaluation.items()}
    return PreparedDatasets(
        digests={key: keep(store, key, each, mounts.scratch, say) for key, each in all_read.items()},
        chats=[
            key.replace("/", " dataset ", 1)
            for key, each in all_read.items()
            if any(record.messages is not None for record in each.records)
        ],
        removed=removed,
        broken=broken,
    )


def read_calibration(
    candidate: int | None, asked: Calibration, evaluation: dict[str, ReadDataset], mounts: Mounts
) -> tuple[dict[str, ReadDataset], dict[str, int]]:
    """The datasets of one calibration by name, without texts that are evaluated on, and how many lines that took.

    candidate: whose own calibration it is; None for the model's. Raises RefusalError.
    """
    whose = "" if candidate is None else f"{candidate}/"
    datasets = {d.name: read("calibration", f"{whose}{d.name}", d, mounts) for d in asked.datasets}
    shared = list(
        shared_texts(
            {f"{whose}{name}": each.records for name, each in datasets.items()},
            {name: each.records for name, each in evaluation.items()},
        )
    )
    field = "calibration" if candidate is None else f"candidates[{candidate}].calibration"
    if asked.overlap == "Refuse":
        refuse_shared(shared, field)
    removed: dict[str, int] = {}
    for name, each in datasets.items():
        lines = {(one.file, one.line) for one in shared if one.dataset == f"{whose}{name}"}
        if lines:
            remove(each, lines)
            removed[name] = len(lines)
    check_enough(asked, {name: each.records for name, each in datasets.items()}, f"spec.{field}")
    return datasets, removed


def read(
    use: Use, name: str, dataset: CalibrationDataset | EvaluationDataset, mounts: Mounts, *, all_columns: bool = False
) -> ReadDataset:
    """Locate and read a dataset."""
    what = f"{use} dataset {name}"
    asked = Asked(dataset.format, dataset.column, use, all_columns)
    folder = mounts.scratch / "tables" / f"{use}-{name.replace('/', '-')}"
    return read_files(locate(dataset, what, mounts), asked, what, folder)


def keep(store: Store, key: str, read: ReadDataset, scratch: Path, say: Say) -> str:
    """Put a dataset, and what its files were taken for, into the store. Returns its digest."""
    for file in read.files:
        say(f"{key.replace('/', ' dataset ', 1)}: {file.said()}")
    digest = import_dataset(store, stored(read, scratch / "stored" / f"{key.replace('/', '-')}.jsonl"))
    write_index(store, dataset_report_key(digest), digest, {"files": [file.row() for file in read.files[:MOST_FILES]]})
    return digest


def check_texts(spec: QuantizedModelSpec, records: dict[str, list[Record]]) -> None:
    """Refuse a dataset with fewer different lines than the gate of its suite needs. records: by suite."""
    for suite in spec.evaluation.suites:
        key = dataset_key(suite.name, "dataset").removeprefix("evaluation/")
        least = needed(suite, len(spec.candidates))
        count = units(records[key]) if key in records else least
        if count < least:
            raise RefusalError(
                "TooFewTexts",
                f"the evaluation data of suite {suite.name} has {count} different texts, and its gate needs {least} "
                f"(with confidence {suite.gate.confidence} and {len(spec.candidates)} candidates)",
                "add texts: the same one twice counts once, and so do texts of one group",
            )
