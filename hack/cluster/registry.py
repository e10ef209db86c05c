"""An image registry on loopback (Debian's docker-registry), where containerd of the one-node cluster finds it, too."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from hack.cluster.processes import Process
from hack.cluster.progress import wait_until

HOST = "127.0.0.1"
READY_SECONDS = 60


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Its address (host:port), which speaks HTTP, while the block runs. What is pushed lies in `folder`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        address = f"{HOST}:{probe.getsockname()[1]}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(settings))
    process = Process("docker-registry", folder / "run", folder / "logs")
    process.start(["docker-registry", "serve", folder / "registry.yaml"])
    try:
        wait_until(
            "start the registry",
            lambda: _not_answering(address),
            timeout=READY_SECONDS,
            alive=process.alive,
            log=process.log,
        )
        yield address
    finally:
        process.stop()


def repositories(address: str) -> list[str]:
    """What has been pushed."""
    with urllib.request.urlopen(f"http://{address}/v2/_catalog", timeout=30) as answer:
        found: list[str] = json.load(answer)["repositories"]
    return found


def _not_answering(address: str) -> str | None:
    try:
        repositories(address)
    except (urllib.error.URLError, OSError) as error:
        return f"http://{address}/v2/ does not answer: {error}"
    return None
