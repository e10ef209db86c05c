"""The S3 server of the tests speaks S3."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from hack.cluster.s3 import REGION, S3Server


def client(server: S3Server, secret_key: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key,
    )


def test_an_object_comes_back_as_it_was_put_and_only_with_the_right_key() -> None:
    with S3Server(access_key="test", secret_key="test-secret") as server:
        server.create_bucket("models")
        owner, stranger = client(server, "test-secret"), client(server, "wrong")
        owner.put_object(Bucket="models", Key="folder/file", Body=b"weights")
        assert owner.get_object(Bucket="models", Key="folder/file")["Body"].read() == b"weights"
        with pytest.raises(ClientError):
            stranger.get_object(Bucket="models", Key="folder/file")
    assert not server.folder.exists()
