"""Local copies of a dataset's files, from a ConfigMap, a claim, a bucket or the hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from lowbit.api.calibration import CalibrationDataset
from lowbit.api.problem import some
from lowbit.api.references import S3Location
from lowbit.api.suites.dataset import SuiteFile, TaskFile
from lowbit.data.files import is_data
from lowbit.data.reading import DataFile
from lowbit.worker.data.datasets import Mounts, file_name, in_words
from lowbit.worker.data.hub_files import chosen_files
from lowbit.worker.model.file_list import check_path, silent
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import Origin, RemoteFile
from lowbit.worker.sources.beneath import Beneath, OutsideError

MOST_BYTES = 16 * 2**30
"""A dataset is read whole, and a calibration set is a few hundred texts."""


def locate(dataset: CalibrationDataset | SuiteFile, key: str, mounts: Mounts) -> list[DataFile]:
    """Local copies of the dataset's files: what is read, checked and stored is one content. Raises RefusalError.

    Each dataset has copies of its own, because a file may change before another dataset names it, too, and buckets of
    two endpoints may have one name. What is fetched from the hub at a commit never changes, and is shared.
    """
    what, folder = in_words(key), mounts.scratch / "datasets" / file_name(key)
    if dataset.config_map is not None:
        name, member = dataset.config_map.name, dataset.config_map.key
        action = f"add the key {member} to the ConfigMap {name}"
        return _copied(mounts.config_maps / name, member, folder, what, action)
    if dataset.pvc is not None:
        claim, path = dataset.pvc.claim_name, dataset.pvc.path or "."
        action = f"give the path of a data file, or of a folder of them, on the claim {claim}; links stay on it"
        return _copied(mounts.volumes / claim, path, folder, what, action)
    if dataset.s3 is not None:
        return _download(dataset.s3, what, mounts.secrets, folder)
    if not isinstance(dataset, TaskFile) and dataset.hugging_face is not None:
        from lowbit.worker.sources.hub import HubOrigin

        place = dataset.hugging_face
        origin = HubOrigin(place, mounts.secrets, "dataset")
        target = mounts.scratch / "datasets" / "hub" / place.repo / place.revision
        return _fetched(origin, chosen_files(origin, place, target, what), target, what)
    raise ValueError("a dataset is exactly one of huggingFace, pvc, s3 and configMap")


def locate_one(file: TaskFile, key: str, mounts: Mounts) -> DataFile:
    """A local copy of a task's file. Raises RefusalError, also for a folder."""
    found = locate(file, key, mounts)
    if len(found) > 1:
        names = some([each.name for each in found])
        raise RefusalError(
            "BadDataset", f"{in_words(key)} is a folder of {len(found)} data files ({names})", "name one file"
        )
    return found[0]


def _copied(root: Path, path: str, folder: Path, what: str, action: str) -> list[DataFile]:
    """Copies of a file, or of the data files of a folder, below root, whose links stay there."""
    beneath = Beneath(root)
    try:
        if not beneath.is_folder(path):
            return [_copy(beneath, path, folder, PurePosixPath(path).name)]
        found = [RemoteFile(f"{path}/{each.path}", each.size or 0) for each in beneath.files(path)]
        names = _data(found, what, action)
        check_size(names, what)
        return [_copy(beneath, file.path, folder, file.path.removeprefix(f"{path}/")) for file in names]
    except OutsideError as error:
        raise RefusalError("PathOutside", f"{what}: {error} leads out of {root.name}", action) from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise RefusalError("DatasetMissing", f"{what} is not there, or not a file", action) from error


def _copy(beneath: Beneath, path: str, folder: Path, name: str) -> DataFile:
    target = folder / check_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beneath.copy(path, target, silent)
    return DataFile(target, name)


def _data(files: Iterable[RemoteFile], what: str, action: str) -> list[RemoteFile]:
    """The data files of a folder."""
    found = [file for file in files if is_data(file.path)]
    if not found:
        raise RefusalError(
            "DatasetMissing",
            f"{what} is a folder without data files (.jsonl, .json, .parquet, .arrow, .csv, .tsv, .txt; also .gz)",
            action,
        )
    return found


def check_size(files: Sequence[RemoteFile], what: str) -> None:
    """Refuse more than MOST_BYTES."""
    total = sum(file.size for file in files)
    if total > MOST_BYTES:
        raise RefusalError(
            "DatasetTooLarge",
            f"{what} has {len(files)} files of {total / 2**30:.1f} GiB, and at most {MOST_BYTES // 2**30} GiB are read",
            "name one file or a smaller folder in path (on the hub also a config or a split)",
        )


def _fetched(origin: Origin, files: Sequence[RemoteFile], folder: Path, what: str) -> list[DataFile]:
    """The files of an origin, each fetched once."""
    check_size(files, what)
    found = []
    for file in files:
        target = folder / check_path(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.identity is None or not target.is_file():
            origin.fetch(file, target, silent)
        found.append(DataFile(target, file.path))
    return found


def _download(location: S3Location, what: str, secrets: Path, folder: Path) -> list[DataFile]:
    import botocore.exceptions

    from lowbit.worker import s3client
    from lowbit.worker.sources.s3 import S3Origin, client_of, download

    client, key = client_of(location, secrets), location.path or ""
    # A key that ends with / is an empty object, by which consoles show a folder.
    if key and not key.endswith("/"):
        with s3client.calling(location.bucket):
            try:
                head = client.head_object(Bucket=location.bucket, Key=key)
            except botocore.exceptions.ClientError as error:
                if not s3client.is_missing(error):
                    raise
                head = None
        if head is not None:
            file = RemoteFile(key, head["ContentLength"], head["ETag"])
            check_size([file], what)
            path = folder / check_path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            download(client, location.bucket, key, file, path, silent)
            return [DataFile(path, PurePosixPath(key).name)]
    action = "give the object's key, or a prefix below which data files lie"
    origin = S3Origin(location, client)
    try:
        found = origin.files()
    except RefusalError as error:
        if error.refusal.reason != "SourceMissing":
            raise
        missing = f"{what}: there is no object {key} in bucket {location.bucket}"
        raise RefusalError("DatasetMissing", missing, action) from error
    return _fetched(origin, _data(found, what, action), folder / key, what)
