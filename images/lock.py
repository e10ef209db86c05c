"""Resolve the requirements of the images to exact versions with hashes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from hack.cluster.progress import StepError, step
from images.targets import ROOT

OPTIONS = (
    *("--quiet", "--upgrade", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"),
    *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_31"),
)


def lock() -> None:
    """Write requirements/*.txt. torch.txt comes last, from the versions that worker and engine agree on."""
    _compile("operator", "../pyproject.toml", "--override", "overrides.in")
    _compile("guard", "guard.in")
    _compile("worker", "worker.in", "--override", "harness-overrides.in")
    # The engine follows the worker where both have a package: they share a layer.
    _compile("engine-cpu", "engine-cpu.in", "--constraints", "worker.txt", "--override", "engine-cpu-overrides.in")
    _compile("torch", "torch.in", "--constraints", "worker.txt", "--constraints", "engine-cpu.txt")


def _compile(name: str, source: str, *options: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if not uv:
        raise StepError("lock", "uv is missing: run it from the development environment (make venv)")
    with step(f"lock requirements/{name}.txt"):
        command = [uv, "pip", "compile", *OPTIONS, source, *options, "-o", f"{name}.txt"]
        done = subprocess.run(command, check=False, cwd=ROOT / "requirements", capture_output=True, text=True)
        if done.returncode != 0:
            raise StepError(f"lock {name}", done.stderr.strip()[-1500:])
