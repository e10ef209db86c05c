"""A prefix in an S3-compatible bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowbit.api.references import S3Location
from lowbit.worker import s3client
from lowbit.worker.errors.system import naming
from lowbit.worker.model.file_list import CHUNK, Advance, check_path
from lowbit.worker.refuse import RefusalError
from lowbit.worker.sources.base import RemoteFile, is_hidden, partial_path


def client_of(location: S3Location, secrets: Path) -> Any:
    """A client for a location."""
    reference = location.credentials_secret_ref
    return s3client.make_client(location.endpoint, location.region, reference.name if reference else None, secrets)


class S3Origin:
    """Every object below the prefix."""

    identity: str | None = None

    def __init__(self, location: S3Location, client: Any) -> None:
        self.client, self.bucket = client, location.bucket
        self.prefix = f"{location.path.strip('/')}/" if location.path else ""
        self.name = f"bucket {location.bucket}, prefix {self.prefix or '/'}"

    def files(self) -> list[RemoteFile]:
        found = []
        with s3client.calling(self.bucket):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Contents", []):
                    path = item["Key"][len(self.prefix) :]
                    if path and not path.endswith("/") and not is_hidden(path):
                        found.append(RemoteFile(check_path(path), item["Size"], item["ETag"]))
        if not found:
            raise RefusalError(
                "SourceMissing", f"{self.name} holds no object", "give the prefix below which the files lie"
            )
        return found

    def fetch(self, file: RemoteFile, target: Path, advance: Advance) -> None:
        download(self.client, self.bucket, self.prefix + file.path, file, target, advance)


def download(client: Any, bucket: str, key: str, file: RemoteFile, target: Path, advance: Advance) -> None:
    """Download one object to target, resuming an earlier attempt if the object is unchanged."""
    partial = partial_path(target)
    mark = partial.with_name(partial.name + ".version")
    if not (mark.is_file() and mark.read_text() == file.version):
        partial.unlink(missing_ok=True)
        mark.write_text(file.version)
    done = partial.stat().st_size if partial.is_file() else 0
    advance(done)
    if done < file.size:
        with s3client.calling(bucket), partial.open("ab") as writer:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={done}-", IfMatch=file.version)
            for chunk in answer["Body"].iter_chunks(CHUNK):
                with naming(partial):
                    writer.write(chunk)
                advance(len(chunk))
    partial.touch()
    if partial.stat().st_size != file.size:
        partial.unlink()
        raise s3client.changed(bucket, f"{key} came with another size than was listed")
    partial.replace(target)
    mark.unlink()
