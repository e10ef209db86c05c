"""A file of a bucket, with the caller's own credentials."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.config
from botocore.exceptions import BotoCoreError, ClientError

from lowbit.api.modelstore import S3Store
from lowbit.cli.locate import NoReportError
from lowbit.desired.volumes import bucket_prefix


def has_credentials() -> bool:
    """Whether the AWS tools would find credentials here (environment, profile)."""
    try:
        return boto3.Session().get_credentials() is not None
    except BotoCoreError:
        return False


def read(store: S3Store, namespace: str, key: str, client: Any = None) -> bytes:
    """The file. Raises NoReportError. client: for tests."""
    whole = "/".join(part for part in (bucket_prefix(store, namespace), key) if part)
    try:
        made = client or make_client(store)
        data: bytes = made.get_object(Bucket=store.bucket, Key=whole)["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise NoReportError(
            f"s3://{store.bucket}/{whole} cannot be read with your credentials: {error}. Take them out of the "
            "environment (AWS_ACCESS_KEY_ID, AWS_PROFILE), and a Job in the namespace reads it with the store's own"
        ) from error
    return data


def make_client(store: S3Store) -> Any:
    """A client of the store's endpoint. Stores other than AWS address buckets by path."""
    config = botocore.config.Config(
        s3={"addressing_style": "path" if store.endpoint else "auto"}, connect_timeout=10, read_timeout=60,
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    return boto3.client("s3", endpoint_url=store.endpoint, region_name=store.region or "us-east-1", config=config)
