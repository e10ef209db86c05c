"""Where a Job finds the datasets of a manifest, and how the store keeps them. What is in them: lowbit.data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowbit.api.paths import CONFIG_MAPS_PATH, SCRATCH_PATH, SECRETS_PATH, VOLUMES_PATH
from lowbit.data.files import read_lines
from lowbit.data.reading import bad_line, read_dataset
from lowbit.data.records import Record, distinct, units, usable
from lowbit.worker.model.file_list import hash_file
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store import Store

__all__ = [
    "Mounts", "Record", "bad_line", "distinct", "import_dataset", "no_chat_template", "read_dataset",
    "read_lines", "units", "usable",
]  # fmt: skip


@dataclass(frozen=True)
class Mounts:
    """Folders of the Job's mounts."""

    volumes: Path = Path(VOLUMES_PATH)
    config_maps: Path = Path(CONFIG_MAPS_PATH)
    secrets: Path = Path(SECRETS_PATH)
    scratch: Path = Path(SCRATCH_PATH)


def in_words(key: str) -> str:
    """A dataset's key in PrepareResult.datasets, for messages: calibration dataset talk."""
    return key.replace("/", " dataset ", 1)


def file_name(key: str) -> str:
    """A dataset's key as the name of a file or folder; no name in a manifest has a _."""
    return key.replace("/", "_")


def no_chat_template(what: str) -> RefusalError:
    """The refusal of a dataset of chats, for a model without a chat template."""
    return RefusalError(
        "NoChatTemplate",
        f"{what} holds chats, and the model has no chat template",
        "give texts (a field `text` per line) instead of chats, or a source with chat_template.jinja",
    )


def import_dataset(store: Store, path: Path) -> str:
    """Put a dataset into the store; returns its digest."""
    digest = "sha256:" + hash_file(path)
    store.write_dataset(path, digest)
    return digest
