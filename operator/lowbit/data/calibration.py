"""The calibration set: texts drawn by weight from the datasets; the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from lowbit.api.calibration import Calibration, CalibrationDataset, ResolvedCalibration, ResolvedDataset
from lowbit.api.refusal import RefusalError
from lowbit.data.records import Record, usable


def shares(samples: int, weights: Sequence[int]) -> list[int]:
    """How many samples each dataset gives: by weight, rounded so that the sum is samples (largest remainder).

    Raises RefusalError if the weights sum to zero.
    """
    total = sum(weights)
    if total <= 0:
        raise RefusalError(
            "NoWeight",
            "the weights of the calibration datasets sum to zero",
            "give at least one dataset a weight above 0",
        )
    exact = [samples * weight / total for weight in weights]
    counts = [int(share) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: (counts[i] - exact[i], i))
    for index in order[: samples - sum(counts)]:
        counts[index] += 1
    return counts


def check_enough(
    calibration: Calibration | ResolvedCalibration,
    records: Mapping[str, Sequence[Record]],
    field: str = "spec.calibration",
) -> None:
    """Refuse a dataset with fewer usable texts than its share of the samples. records: by dataset name. field: where
    the manifest has this calibration.
    """
    datasets: Sequence[CalibrationDataset | ResolvedDataset] = calibration.datasets
    counts = shares(calibration.samples, [dataset.weight for dataset in datasets])
    found = {dataset.name: len(usable(list(records[dataset.name]))) for dataset in datasets}
    short = [(dataset, count) for dataset, count in zip(datasets, counts, strict=True) if found[dataset.name] < count]
    if not short:
        return
    total = sum(dataset.weight for dataset in datasets)
    most = min(found[dataset.name] * total // dataset.weight for dataset in datasets if dataset.weight)
    dataset, count = short[0]
    raise RefusalError(
        "TooFewTexts",
        f"calibration dataset {dataset.name} has {found[dataset.name]} different texts of more than 20 characters, "
        f"and its share of {calibration.samples} samples is {count}",
        f"add texts to {dataset.name}, lower its weight, or set {field}.samples to at most {max(most, 1)}",
    )


def draw(calibration: ResolvedCalibration, records: dict[str, list[Record]]) -> list[tuple[str, Record]]:
    """(dataset name, record) of every sample, in shuffled order. The seed determines choice and order."""
    check_enough(calibration, records)
    counts = shares(calibration.samples, [dataset.weight for dataset in calibration.datasets])
    drawn: list[tuple[str, Record]] = []
    for dataset, count in zip(calibration.datasets, counts, strict=True):
        # Seeded with text, not with an object's hash: the same in every process.
        chooser = random.Random(f"{calibration.seed}/{dataset.name}/{dataset.digest}")  # noqa: S311
        drawn += [(dataset.name, record) for record in chooser.sample(usable(records[dataset.name]), count)]
    random.Random(f"{calibration.seed}/order").shuffle(drawn)  # noqa: S311
    return drawn
