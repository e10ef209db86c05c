"""What a suite reads: a dataset of texts or chats, or the files of a task."""

from __future__ import annotations

from pydantic import Field

from lowbit.api.base import Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.references import ConfigMapLocation, HuggingFaceDatasetLocation, PVCLocation, S3Location


class EvaluationDataset(Wire):
    """Data files of held-out texts or chats. Exactly one of huggingFace, pvc, s3 and configMap.

    JSONL, JSON, CSV or plain text (a text a line), each perhaps compressed by gzip; Parquet or Arrow.
    """

    format: DatasetFormat = "Auto"
    """Text: a field `text` (or a JSON string) per line. Chat: `messages` (with `tools`), and the next two as chats.
    ShareGPT: `conversations`. SFT: `instruction`, `input` and `output`, as a chat of prompt and response. RL: `prompt`.
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


class TaskFile(Wire):
    """A file of a task. Exactly one of pvc, s3 and configMap."""

    pvc: PVCLocation | None = None
    """A file on a volume."""
    s3: S3Location | None = None
    """An object in an S3-compatible bucket."""
    config_map: ConfigMapLocation | None = None
    """A key of a ConfigMap."""


class TaskRows(TaskFile):
    """One data file with the rows of a task: objects with the fields that its templates name. Exactly one of pvc, s3
    and configMap.

    JSONL, JSON or CSV, each perhaps compressed by gzip; Parquet or Arrow.
    """


class TaskDescription(TaskFile):
    """The YAML that describes a task to lm-evaluation-harness. Exactly one of pvc, s3 and configMap."""


SuiteFile = EvaluationDataset | TaskFile
"""What prepare puts into the store for a suite."""
