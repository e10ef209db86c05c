"""The S3 client of sources, datasets and the model store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from lowbit.api.paths import CA_BUNDLE_PATH, SECRETS_PATH
from lowbit.worker.refuse import RefusalError

MISSING = {"404", "NoSuchKey", "NotFound"}
PERMANENT = {"NoSuchBucket", "AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidBucketName"}


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
        retries={"mode": "standard", "max_attempts": 6},
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


def explain(error: Exception, bucket: str) -> Exception:
    """A refusal for a permanent error; the error itself if it may be transient."""
    if code(error) not in PERMANENT:
        return error
    return RefusalError(
        "BucketRefused",
        f"the bucket {bucket} cannot be used: {code(error)}",
        "check the bucket's name, the endpoint, and the keys accessKeyId and secretAccessKey of the Secret",
    )


def _secret(folder: Path, key: str) -> str:
    try:
        return (folder / key).read_text().strip()
    except FileNotFoundError:
        raise RefusalError(
            "SecretKeyMissing", f"the Secret {folder.name} has no key {key}", f"add {key} to the Secret {folder.name}"
        ) from None
