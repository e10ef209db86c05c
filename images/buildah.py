"""buildah, as it works without a daemon, without namespaces and without a registry."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import paths
from hack.cluster.progress import StepError, step

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}


def folder() -> Path:
    """The folder of all that belongs to images: storage, logs, the cache of packages, refs.json."""
    return paths.cache() / "images"


def install_programs() -> None:
    """Install buildah and mmdebstrap where they are missing. Raises StepError."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise StepError("install " + " ".join(missing), "this needs root: run as root, or install them with apt-get")
    with step(f"install {' '.join(missing)}"):
        run("apt", ["apt-get", "update", "-qq"])
        run("apt", ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])


def buildah(*words: str | Path) -> list[str]:
    """The command line of buildah with our own storage."""
    storage = ["--root", str(folder() / "storage"), "--runroot", str(folder() / "run"), "--storage-driver", "overlay"]
    return ["buildah", *storage, *map(str, words)]


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the lock of the storage: builds and loads of two processes take turns. Not re-entrant."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("wait for another build or load of images"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def exists(reference: str) -> bool:
    """Whether an image of this name is in the storage."""
    command = buildah("inspect", "--type", "image", reference)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def mounts() -> list[str]:
    """What a build sees of the host and the image does not keep: certificates, uv, and the cache of packages."""
    cache = folder() / "uv"
    cache.mkdir(parents=True, exist_ok=True)
    options = ["-v", f"{cache}:/root/.cache/uv"]
    if CERTIFICATES.exists():
        options += ["-v", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
    beside = Path(sys.executable).with_name("uv")
    if uv := (str(beside) if beside.exists() else shutil.which("uv")):
        options += ["-v", f"{uv}:/usr/local/bin/uv:ro"]
    return options


def run(name: str, command: list[str]) -> None:
    """Run a command with its output in logs/NAME.log. Raises StepError with the last lines of the log."""
    log = folder() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise StepError(name, f"{command[0]} ended with exit code {done.returncode}", log)
