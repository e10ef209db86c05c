"""The S3 client of sources, datasets and the model store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import BotoCoreError, ClientError

from lowbit.api.paths import CA_BUNDLE_PATH, SECRETS_PATH
from lowbit.worker.errors.network import unreachable
from lowbit.worker.errors.servers import BUCKET_FULL, Answer, passing
from lowbit.worker.refuse import LaterError, RefusalError, causes

ATTEMPTS = 6
"""Of each call, within about half a minute. What fails longer than that is tried again by the operator."""
MISSING = {"404", "NoSuchKey", "NotFound"}
THROTTLED = {
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded",
    "TooManyRequests", "RequestThrottled", "BandwidthLimitExceeded",
}  # fmt: skip
"""Codes by which stores say that there were too many requests; AWS answers 503 to that."""
FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"}
CHANGED = (412, 416)
"""Statuses of a read whose object is another one than before, or shorter."""
CHANGED_MEANWHILE = "S3DownloadFailedError"
"""Name of s3transfer's error for an object that was changed while it was downloaded."""
TRANSIENT = {"RequestTimeout", "RequestTimeTooSkewed", "InternalError", "ServiceUnavailable", "OperationAborted"}
"""Codes that may pass although some of them come with a 400."""


def make_client(
    endpoint: str | None, region: str | None, credentials: str | None, secrets: Path = Path(SECRETS_PATH)
) -> Any:
    """A boto3 client. credentials names the folder below secrets; without it the pod's own identity is used."""
    keys: dict[str, str] = {}
    if credentials:
        folder = secrets / credentials
        keys = {
            "aws_access_key_id": _secret(folder, "accessKeyId"),
            "aws_secret_access_key": _secret(folder, "secretAccessKey"),
        }
        if (folder / "sessionToken").is_file():
            keys["aws_session_token"] = _secret(folder, "sessionToken")
    config = botocore.config.Config(
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
        connect_timeout=10,
        read_timeout=60,
        # Stores other than AWS address buckets by path, and not all of them know the newer checksums.
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    bundle = CA_BUNDLE_PATH if Path(CA_BUNDLE_PATH).is_file() else os.environ.get("AWS_CA_BUNDLE")
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=region or "us-east-1", config=config, verify=bundle, **keys
    )


def code(error: Exception) -> str:
    """The S3 error code: NoSuchKey, AccessDenied, 404."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def is_missing(error: Exception) -> bool:
    """Whether the error says that the object does not exist."""
    return code(error) in MISSING


@contextmanager
def calling(bucket: str) -> Iterator[None]:
    """Calls of a client, whose errors say what happened to which bucket, and whether it may pass."""
    try:
        yield
    except RefusalError:
        raise
    except Exception as error:
        found = explain(error, bucket)
        if found is None:
            raise
        raise found from error


def explain(error: Exception, bucket: str) -> RefusalError | None:
    """A LaterError for what may pass, else a RefusalError. Libraries wrap the store's answer in errors of their own.

    None for an error of a file, or of the library itself: worker/errors names it in the end.
    """
    # What boto3 raises in the end of its retries holds the last error, and is not raised from it.
    chain = [each for one in (error, getattr(error, "last_exception", None)) for each in causes(one)]
    answered = next((each for each in chain if isinstance(each, ClientError)), None)
    if answered is not None:
        return _answered(answered, bucket)
    lost = next((found for each in chain if (found := unreachable(each, f"bucket {bucket}")) is not None), None)
    if lost is not None:
        return lost
    if type(error).__name__ == CHANGED_MEANWHILE:
        return changed(bucket, str(error))
    if not isinstance(error, BotoCoreError):
        return None
    return RefusalError(
        "BucketRefused",
        f"the bucket {bucket} cannot be used: {error}",
        "check the endpoint, the region, and the Secret or the identity of the pod that the credentials come from",
    )


def _answered(error: ClientError, bucket: str) -> RefusalError:
    """What a store has answered."""
    about = error.response.get("ResponseMetadata", {})
    name, message = code(error), str(error.response.get("Error", {}).get("Message", ""))
    status = int(about.get("HTTPStatusCode") or (name if name.isdigit() else 400))
    status = BUCKET_FULL if name in FULL else 503 if name in TRANSIENT else status
    if status in CHANGED:
        return changed(bucket, f"{name}: {message}")
    if is_missing(error):
        return RefusalError(
            "SourceMissing", f"bucket {bucket}: an object is not there any more: {message}", "put it there again"
        )
    answer = Answer(status, about.get("HTTPHeaders") or {}, f"{name}: {message}", name in THROTTLED)
    return passing(f"bucket {bucket}", answer, time.time()) or RefusalError(
        "BucketRefused",
        f"the bucket {bucket} cannot be used: {name}: {message}",
        "check the bucket's name, the endpoint, and the keys accessKeyId and secretAccessKey of the Secret",
    )


def changed(bucket: str, why: str) -> LaterError:
    """The error of an object that is another one than was listed."""
    return LaterError(
        "ContentDiffers",
        f"bucket {bucket}: an object was changed while it was read: {why}",
        "let nothing write below that prefix while it is read",
    )


def _secret(folder: Path, key: str) -> str:
    try:
        return (folder / key).read_text().strip()
    except FileNotFoundError:
        raise RefusalError(
            "SecretKeyMissing", f"the Secret {folder.name} has no key {key}", f"add {key} to the Secret {folder.name}"
        ) from None
