"""What a suite reads: a dataset of texts or chats, or the files of a task."""

from __future__ import annotations

from lowbit.api.base import Wire
from lowbit.api.calibration import DatasetFormat
from lowbit.api.references import ConfigMapLocation, PVCLocation, S3Location


class EvaluationDataset(Wire):
    """One JSONL or Parquet file of held-out texts or chats. Exactly one of pvc, s3 and configMap."""

    format: DatasetFormat = "Auto"
    """Text: a field `text` (or a JSON string) per line. Chat: `messages` (with `tools`), `conversations`, or
    `instruction`, `input` and `output`. Auto: decided by the first line. JSONL may be compressed by gzip."""
    pvc: PVCLocation | None = None
    """A file on a volume."""
    s3: S3Location | None = None
    """An object in an S3-compatible bucket."""
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
    """One JSONL or Parquet file with the rows of a task: objects with the fields that its templates name. Exactly one
    of pvc, s3 and configMap."""


class TaskDescription(TaskFile):
    """The YAML that describes a task to lm-evaluation-harness. Exactly one of pvc, s3 and configMap."""


SuiteFile = EvaluationDataset | TaskFile
"""What prepare puts into the store for a suite."""
