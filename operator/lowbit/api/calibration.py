"""Calibration: the texts that a quantizer sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import Digest, ObjectName, Wire
from lowbit.api.references import ConfigMapLocation, PVCLocation, S3Location

DatasetFormat = Literal["Auto", "Text", "Chat"]


class CalibrationDataset(Wire):
    """One JSONL or Parquet file and its share of the samples. Exactly one of pvc, s3 and configMap."""

    name: ObjectName
    """Name of the dataset in messages and reports."""
    weight: int = Field(default=1, ge=0, le=1_000_000)
    """Share of the samples, relative to the sum of all weights."""
    format: DatasetFormat = "Auto"
    """Text: a field `text` (or a JSON string) per line. Chat: `messages` (with `tools`), `conversations`, or
    `instruction`, `input` and `output`. Auto: decided by the first line. JSONL may be compressed by gzip."""
    pvc: PVCLocation | None = None
    """A file on a volume."""
    s3: S3Location | None = None
    """An object in an S3-compatible bucket."""
    config_map: ConfigMapLocation | None = None
    """A key of a ConfigMap."""


class Calibration(Wire):
    """What a quantizer reads: samples drawn by weight from the datasets, the same ones for the same seed."""

    samples: int = Field(default=512, ge=1, le=100_000)
    """How many samples are drawn."""
    max_tokens: int = Field(default=2048, ge=16, le=131_072)
    """Longest sample in tokens; longer ones are cut."""
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    """Seed of the drawing."""
    datasets: list[CalibrationDataset] = Field(min_length=1, max_length=32)
    """Where the samples come from."""
    overlap: Literal["Refuse", "Remove"] = "Refuse"
    """What to do about calibration texts that are also, or nearly, evaluation texts. Refuse: say which, and stop.
    Remove: leave them out of the calibration; how many there were is in the ModelRevision and in the report."""


def calibration_key(dataset: str, candidate: int | None) -> str:
    """Key of a dataset in PrepareResult.datasets: of the model's calibration (None), or of a candidate's own.

    Two candidates may give one name to different texts.
    """
    return f"calibration/{dataset}" if candidate is None else f"calibration/{candidate}/{dataset}"


class ResolvedDataset(Wire):
    """A dataset under its digest, as prepare put it into the store."""

    name: str
    digest: Digest
    weight: int = 1
    format: DatasetFormat = "Auto"
    removed: int = 0
    """Lines that were left out, because they are evaluated on."""


class ResolvedCalibration(Wire):
    """Calibration with its datasets frozen."""

    samples: int
    max_tokens: int
    seed: int
    datasets: list[ResolvedDataset]
