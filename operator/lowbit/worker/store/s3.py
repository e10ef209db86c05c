"""A model store in an S3-compatible bucket. Objects appear atomically; the file list is written last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import botocore.exceptions

from lowbit.naming.store_keys import Kind, file_list_key, folder_key
from lowbit.worker import s3client
from lowbit.worker.model.file_list import Advance, FileEntry, FileList, check_path, hash_file, silent
from lowbit.worker.refuse import RefusalError
from lowbit.worker.store.base import SPARE, Store, damaged, no_space

HASH_FIELD = "sha256"
"""Metadata of each object of a model: its SHA-256, so that an interrupted commit skips uploaded files."""


class S3Store(Store):
    """A prefix of a bucket. scratch: a local folder for files that have to be local."""

    mounted = False

    def __init__(self, client: Any, bucket: str, prefix: str, scratch: Path) -> None:
        self.client, self.bucket = client, bucket
        self.prefix = prefix.strip("/")
        self.scratch = scratch

    def read(self, key: str) -> bytes | None:
        with s3client.calling(self.bucket):
            try:
                return bytes(self.client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"].read())
            except botocore.exceptions.ClientError as error:
                if s3client.is_missing(error):
                    return None
                raise

    def has(self, key: str) -> bool:
        return self._head(key) is not None

    def local(self, key: str) -> Path | None:
        if not self.has(key):
            return None
        target = self.scratch / "keys" / check_path(key)
        self._download(key, target, silent)
        return target

    def write(self, key: str, data: bytes) -> None:
        self._call(self.client.put_object, Key=self._key(key), Body=data)

    def write_file(self, key: str, path: Path) -> None:
        self._upload(key, path, {}, silent)

    def names(self, folder: str) -> list[str]:
        prefix = self._key(folder) + "/"
        with s3client.calling(self.bucket):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            found = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return sorted(key.removeprefix(prefix) for key in found)

    def workspace(self, name: str) -> Path:
        folder = self.scratch / "partial" / check_path(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def commit(self, kind: Kind, workspace: Path, file_list: FileList, advance: Advance = silent) -> None:
        if self.file_list(kind, file_list.digest) is None:
            for file in file_list.files:
                self._commit_file(
                    f"{folder_key(kind, file_list.digest)}/{file.path}", workspace / file.path, file, advance
                )
            self.write(file_list_key(kind, file_list.digest), file_list.to_json())
        shutil.rmtree(workspace, ignore_errors=True)

    def folder(self, kind: Kind, digest: str, advance: Advance = silent) -> Path:
        file_list = self.require(kind, digest)
        folder = self.scratch / "models" / folder_key(kind, digest)
        self.download(kind, digest, file_list, folder, advance)
        return folder

    def download(self, kind: Kind, digest: str, file_list: FileList, folder: Path, advance: Advance = silent) -> None:
        """Copy a model's files into a folder, and check each; files that are already there and right are kept."""
        for file in file_list.files:
            target = folder / file.path
            if target.is_file() and target.stat().st_size == file.size and hash_file(target) == file.sha256:
                advance(file.size)
                continue
            self._download(f"{folder_key(kind, digest)}/{file.path}", target, advance)
            if target.stat().st_size != file.size or hash_file(target) != file.sha256:
                raise damaged(kind, digest, f"{file.path} has other content")

    def check_space(self, needed: int, what: str) -> None:
        """Check the scratch volume, through which the files pass; a bucket has no limit."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.scratch).free
        if needed * SPARE > free:
            raise no_space(needed, free, f"{what}, in the scratch volume,")

    def remove_stale(self, now: float) -> list[str]:
        """Do nothing: in a bucket nothing is ever written under partial/."""
        return []

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{check_path(key)}" if self.prefix else check_path(key)

    def _head(self, key: str) -> Any:
        with s3client.calling(self.bucket):
            try:
                return self.client.head_object(Bucket=self.bucket, Key=self._key(key))
            except botocore.exceptions.ClientError as error:
                if s3client.is_missing(error):
                    return None
                raise

    def _commit_file(self, key: str, path: Path, file: FileEntry, advance: Advance) -> None:
        head = self._head(key)
        if head and head["ContentLength"] == file.size and head.get("Metadata", {}).get(HASH_FIELD) == file.sha256:
            advance(file.size)
            return
        self._upload(key, path, {HASH_FIELD: file.sha256}, advance)

    def _upload(self, key: str, path: Path, metadata: dict[str, str], advance: Advance) -> None:
        self._call(
            self.client.upload_file, Filename=str(path), Key=self._key(key), ExtraArgs={"Metadata": metadata},
            Callback=advance,
        )  # fmt: skip

    def _download(self, key: str, target: Path, advance: Advance) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with s3client.calling(self.bucket):
            try:
                self.client.download_file(
                    Bucket=self.bucket, Key=self._key(key), Filename=str(target), Callback=advance
                )
            except botocore.exceptions.ClientError as error:
                if s3client.is_missing(error):
                    raise RefusalError(
                        "Damaged",
                        f"the store's bucket {self.bucket} has lost {self._key(key)}",
                        "restore it; or remove the manifest that names it, so that it is made again",
                    ) from error
                raise

    def _call(self, function: Any, **arguments: Any) -> None:
        with s3client.calling(self.bucket):
            function(Bucket=self.bucket, **arguments)
