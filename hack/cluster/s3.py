"""An S3 server over a folder (versitygw), for the s3 source and store."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from hack.cluster import paths
from hack.cluster.processes import Process
from hack.cluster.progress import wait_until

READY_SECONDS = 30
REGION = "us-east-1"


class S3Server:
    """versitygw on one address. Each folder directly below `data` is a bucket.

        with S3Server(access_key="test", secret_key="test-secret") as server:
            boto3.client("s3", endpoint_url=server.url, ...)

    On loopback it serves this machine; on the node's address (network.NODE_ADDRESS) pods reach it too.
    """

    def __init__(
        self, *, access_key: str, secret_key: str, host: str = "127.0.0.1", port: int = 0, folder: Path | None = None
    ) -> None:
        self.access_key, self.secret_key, self.host = access_key, secret_key, host
        self.port = port or _free_port(host)
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="lowbit-s3-"))
        self.data = self.folder / "data"
        self.process = Process("versitygw", self.folder / "run", self.folder / "logs")

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start it unless it runs. Raises StepError with the last lines of its log."""
        self.data.mkdir(parents=True, exist_ok=True)
        line: list[str | Path] = [
            paths.tools() / "versitygw",
            "--port",
            f"{self.host}:{self.port}",
            "--region",
            REGION,
            "--quiet",
        ]
        line += ["posix", self.data]
        # The keys go by the environment: a command line is there for everyone to read.
        self.process.start(line, {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key})
        wait_until(
            "start the S3 server",
            self._not_listening,
            timeout=READY_SECONDS,
            alive=self.process.alive,
            log=self.process.log,
        )
        return self

    def client(self) -> Any:
        """boto3's client with the server's own keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def create_bucket(self, name: str) -> Path:
        """Create a bucket; returns its folder."""
        bucket = self.data / name
        bucket.mkdir(parents=True, exist_ok=True)
        return bucket

    def stop(self) -> None:
        """End it; a temporary folder goes with it."""
        self.process.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _not_listening(self) -> str | None:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            return None
        return f"nothing listens on {self.host}:{self.port}"

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
