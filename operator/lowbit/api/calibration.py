"""Calibration: the texts that a quantizer sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lowbit.api.base import Digest, ObjectName, Wire
from lowbit.api.references import ConfigMapLocation, HuggingFaceDatasetLocation, PVCLocation, S3Location

DatasetFormat = Literal["Auto", "Text", "Chat", "ShareGPT", "SFT", "RL"]


class CalibrationDataset(Wire):
    """Data files and its share of the samples. Exactly one of huggingFace, pvc, s3 and configMap.

    JSONL, JSON, CSV or plain text (a text a line), each perhaps compressed by gzip; Parquet or Arrow.
    """

    name: ObjectName
    """Name of the dataset in messages and reports."""
    weight: int = Field(default=1, ge=0, le=1_000_000)
    """Share of the samples, relative to the sum of all weights."""
    format: DatasetFormat = "Auto"
    """Text: a field `text` (or a JSON string) per line. Chat: `messages` (with `tools`), and the next two as chats.
    ShareGPT: `conversations`. SFT: `instruction`, `input`, `output`, as two texts, prompt and response. RL: `prompt`.
    Auto: told by each line's fields, and by the file's name where these do not tell."""
    column: str | None = Field(default=None, min_length=1, max_length=200)
    """The field or column that holds the text, the messages or the prompt; not for SFT, which has several."""
    hugging_face: HuggingFaceDatasetLocation | None = None
    """A dataset on the Hugging Face hub."""
    pvc: PVCLocation | None = None
    """A file on a volume, or a folder of them."""
    s3: S3Location | None = None
    """An object in an S3-compatible bucket, or a prefix below which they lie."""
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
    broken: int = 0
    """Lines that were left out, because they are no records."""


class ResolvedCalibration(Wire):
    """Calibration with its datasets frozen."""

    samples: int
    max_tokens: int
    seed: int
    datasets: list[ResolvedDataset]
