"""The datasets of a QuantizedModel: read, checked against each other and against the gates, and put into the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import Calibration, CalibrationDataset, calibration_key
from lowbit.api.evaluation import Suite, datasets_of, suite_of
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites.base import dataset_key
from lowbit.api.suites.dataset import EvaluationDataset, SuiteFile, TaskDescription, TaskRows
from lowbit.gate.counts import needed
from lowbit.worker.data.calibration import check_enough
from lowbit.worker.data.datasets import (
    Mounts,
    Record,
    distinct,
    import_dataset,
    is_parquet,
    locate,
    read_dataset,
    read_lines,
)
from lowbit.worker.data.overlap import refuse_shared, shared_texts
from lowbit.worker.data.parquet import as_lines
from lowbit.worker.data.task_config import write_description
from lowbit.worker.data.task_rows import read_rows
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store


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


@dataclass(frozen=True)
class Read:
    """A dataset that was read."""

    path: Path
    records: list[Record]


def prepare_datasets(spec: QuantizedModelSpec, store: Store, mounts: Mounts) -> PreparedDatasets:
    """Read, check and store every dataset. Raises RefusalError."""
    evaluation = {
        key.removeprefix("evaluation/"): read("evaluation", key.removeprefix("evaluation/"), dataset, mounts)
        for suite in spec.evaluation.suites
        for key, dataset in datasets_of(suite).items()
    }
    # Examples that prompts show are not scored: a quantizer may have read them.
    scored = {name: evaluation[name] for suite in spec.evaluation.suites for name in units_of(suite)}
    all_read: dict[str, Read] = {}
    removed: dict[str, int] = {}
    for candidate, asked in spec.calibrations().items():
        kept, fewer = read_calibration(candidate, asked, scored, mounts)
        all_read |= {calibration_key(name, candidate): each for name, each in kept.items()}
        removed |= {calibration_key(name, candidate).removeprefix("calibration/"): n for name, n in fewer.items()}
    check_texts(spec, {name: each.records for name, each in evaluation.items()})
    all_read |= {f"evaluation/{name}": each for name, each in evaluation.items()}
    return PreparedDatasets(
        digests={key: import_dataset(store, each.path) for key, each in all_read.items()},
        chats=[
            key.replace("/", " dataset ", 1)
            for key, each in all_read.items()
            if any(record.messages is not None for record in each.records)
        ],
        removed=removed,
    )


def read_calibration(
    candidate: int | None, asked: Calibration, evaluation: dict[str, Read], mounts: Mounts
) -> tuple[dict[str, Read], dict[str, int]]:
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
        lines = {one.line for one in shared if one.dataset == f"{whose}{name}"}
        if lines:
            path = mounts.scratch / f"calibration-{whose.replace('/', '-')}{name}.jsonl"
            datasets[name], removed[name] = without_lines(each, lines, path), len(lines)
    check_enough(asked, {name: each.records for name, each in datasets.items()}, f"spec.{field}")
    return datasets, removed


def read(kind: str, name: str, dataset: CalibrationDataset | SuiteFile, mounts: Mounts) -> Read:
    """Locate and read a dataset, or a task's file. The rows of a Parquet file become lines in the scratch folder, and a
    task's YAML one line."""
    what = f"{kind} dataset {name}"
    path, lines = locate(dataset, what, mounts), f"{kind}-{name.replace('/', '-')}.jsonl"
    if isinstance(dataset, TaskDescription):
        return Read(write_description(path, mounts.scratch / "tasks" / lines, f"the description of task {name}"), [])
    rows = isinstance(dataset, TaskRows)
    if is_parquet(path):
        path = as_lines(path, mounts.scratch / "parquet" / lines, what, every=rows)
    if isinstance(dataset, CalibrationDataset | EvaluationDataset):
        return Read(path, read_dataset(path, dataset.format, what))
    return Read(path, [row.record for row in read_rows(path, what)])


def without_lines(whole: Read, numbers: set[int], path: Path) -> Read:
    """A dataset without some of its lines, written to path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = enumerate(read_lines(whole.path, path.stem), start=1)
    kept = (line for number, line in lines if number not in numbers)
    with path.open("w", encoding="utf-8") as file:
        file.write(next(kept, ""))
        file.writelines(f"\n{line}" for line in kept)
    return Read(path, [record for record in whole.records if record.line not in numbers])


def check_texts(spec: QuantizedModelSpec, records: dict[str, list[Record]]) -> None:
    """Refuse a dataset with fewer different lines than the gate of its suite needs. records: by suite and file."""
    for suite in spec.evaluation.suites:
        least = needed(suite, len(spec.candidates))
        for key in units_of(suite):
            count = len(distinct(records[key]))
            if count < least:
                raise RefusalError(
                    "TooFewTexts",
                    f"the evaluation data of suite {key} has {count} different texts, and its gate needs {least} (with "
                    f"confidence {suite.gate.confidence} and {len(spec.candidates)} candidates)",
                    "add texts: the same one twice counts once",
                )


def units_of(suite: Suite) -> list[str]:
    """Names of the files whose lines are scored, as messages have them: suite, or suite/task/dataset."""
    kind, settings = suite_of(suite)
    return [dataset_key(suite.name, name).removeprefix("evaluation/") for name in kind.units(settings)]
