"""The datasets of a QuantizedModel: read, checked against each other and against the gates, and put into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lowbit.api.calibration import Calibration, CalibrationDataset, calibration_key
from lowbit.api.evaluation import Suite, datasets_of, suite_of
from lowbit.api.quantizedmodel import QuantizedModelSpec
from lowbit.api.suites.base import dataset_key
from lowbit.api.suites.dataset import EvaluationDataset, SuiteFile, TaskDescription, TaskFile
from lowbit.data.calibration import check_enough
from lowbit.data.kinds import Use
from lowbit.data.overlap import refuse_shared, shared_texts
from lowbit.data.reading import Asked, ReadDataset, read_files, remove, stored
from lowbit.data.records import units
from lowbit.gate.counts import check_class_counts, needed
from lowbit.naming.store_keys import dataset_report_key
from lowbit.worker.data.datasets import Mounts, file_name, import_dataset, in_words
from lowbit.worker.data.locate import locate, locate_one
from lowbit.worker.data.task_config import write_description
from lowbit.worker.data.task_rows import read_rows, write_rows
from lowbit.worker.data.units import UNITS, Units
from lowbit.worker.model.file_list import hash_file
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
        key.removeprefix("evaluation/"): read_suite_file(suite, key.removeprefix("evaluation/"), file, mounts)
        for suite in spec.evaluation.suites
        for key, file in datasets_of(suite).items()
    }
    # Examples that prompts show are not scored: a quantizer may have read them.
    scored = {name: evaluation[name] for suite in spec.evaluation.suites for name in scored_files(suite, evaluation)}
    all_read: dict[str, ReadDataset] = {}
    removed: dict[str, int] = {}
    for candidate, asked in spec.calibrations().items():
        kept, fewer = read_calibration(candidate, asked, scored, mounts)
        all_read |= {calibration_key(name, candidate): each for name, each in kept.items()}
        removed |= {calibration_key(name, candidate).removeprefix("calibration/"): n for name, n in fewer.items()}
    broken = {key.removeprefix("calibration/"): each.broken for key, each in all_read.items() if each.broken}
    check_units(spec, evaluation, mounts.scratch)
    all_read |= {f"evaluation/{name}": each for name, each in evaluation.items()}
    return PreparedDatasets(
        digests={key: keep(store, key, each, mounts.scratch, say) for key, each in all_read.items()},
        chats=[
            in_words(key)
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


def read_suite_file(suite: Suite, name: str, file: SuiteFile, mounts: Mounts) -> ReadDataset:
    """Locate and read what a suite reads."""
    if isinstance(file, TaskFile):
        return read_task_file(name, file, mounts)
    return read("evaluation", name, file, mounts, all_columns=suite_of(suite)[0].reads_fields)


def read_task_file(name: str, asked: TaskFile, mounts: Mounts) -> ReadDataset:
    """Locate and read a task's rows, or its description, which has none. Raises RefusalError."""
    key = f"evaluation/{name}"
    file = locate_one(asked, key, mounts)
    target = mounts.scratch / "tasks" / f"{file_name(key)}.jsonl"
    if isinstance(asked, TaskDescription):
        return ReadDataset([], [], write_description(file.path, target, f"the description of task {name}"))
    what = in_words(key)
    path = write_rows(file, target, what)
    return ReadDataset(read_rows(path, what), [], path)


def scored_files(suite: Suite, read: Iterable[str]) -> list[str]:
    """Those of the files that were read whose lines are scored, as messages name them: suite, or suite/task/dataset."""
    kind, settings = suite_of(suite)
    names = (dataset_key(suite.name, name).removeprefix("evaluation/") for name in kind.units(settings))
    return [name for name in names if name in read]


def read(
    use: Use, name: str, dataset: CalibrationDataset | EvaluationDataset, mounts: Mounts, *, all_columns: bool = False
) -> ReadDataset:
    """Locate and read a dataset."""
    key = f"{use}/{name}"
    asked = Asked(dataset.format, dataset.column, use, all_columns)
    return read_files(locate(dataset, key, mounts), asked, in_words(key), mounts.scratch / "tables" / file_name(key))


def keep(store: Store, key: str, read: ReadDataset, scratch: Path, say: Say) -> str:
    """Put a dataset, and what its files were taken for, into the store. Returns its digest."""
    for file in read.files:
        say(f"{in_words(key)}: {file.said()}")
    digest = import_dataset(store, stored(read, scratch / "stored" / f"{file_name(key)}.jsonl"))
    write_index(store, dataset_report_key(digest), digest, {"files": [file.row() for file in read.files[:MOST_FILES]]})
    return digest


def check_units(spec: QuantizedModelSpec, found: dict[str, ReadDataset], scratch: Path) -> None:
    """Refuse a dataset with fewer units than the gate of its suite needs, of a class too. found: by suite."""
    for suite in spec.evaluation.suites:
        kind, settings = suite_of(suite)
        names = scored_files(suite, found)
        if kind.name not in UNITS:
            for name in names:
                check_enough_units(spec, suite, name, units(found[name].records), "text")
            continue
        if not names:
            continue
        path = stored(found[names[0]], scratch / "stored" / f"{file_name(dataset_key(suite.name, 'dataset'))}.jsonl")
        frozen = kind.resolve(settings, {"dataset": f"sha256:{hash_file(path)}"})
        asked = UNITS[kind.name](frozen, suite.name, path)
        # Where a suite asks for too few of the questions that there are, check_counts says so.
        if not asked.left or getattr(settings, kind.count_field) >= units_needed(spec, suite):
            check_enough_units(spec, suite, suite.name, asked.count, "question")
        check_classes(spec, suite, asked)


def units_needed(spec: QuantizedModelSpec, suite: Suite) -> int:
    """Units without which a suite's gate passes nothing."""
    return needed(suite, len(spec.candidates), spec.evaluation.attempts)


def check_enough_units(spec: QuantizedModelSpec, suite: Suite, name: str, count: int, unit: str) -> None:
    """Raises RefusalError if a dataset has fewer different texts or questions than the gate needs.

    name: the suite, or the suite and the file of its task.
    """
    candidates, least = len(spec.candidates), units_needed(spec, suite)
    if count < least:
        raise RefusalError(
            "TooFewTexts",
            f"the evaluation data of suite {name} has {count} different {unit}s, and its gate needs {least} "
            f"(with confidence {suite.gate.confidence} and {candidates} candidates)",
            f"add {unit}s: the same one twice counts once, and so do those of one group",
        )


def check_classes(spec: QuantizedModelSpec, suite: Suite, units: Units) -> None:
    """Raises RefusalError if a class has fewer questions than a threshold that judges each class needs."""
    candidates, attempts = len(spec.candidates), spec.evaluation.attempts
    if problems := check_class_counts(suite, units.classes, candidates, attempts, left=units.left):
        raise RefusalError(
            problems[0].reason,
            "; ".join(f"{each.field}: {each.message}" for each in problems),
            "; ".join(dict.fromkeys(each.action for each in problems)),
        )
