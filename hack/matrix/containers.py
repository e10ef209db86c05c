"""The images of worker and engine as containers, and programs of this folder run inside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hack.cluster.progress import StepError
from hack.matrix.each import MARK
from images.build import build
from images.buildah import buildah
from images.targets import ROOT


@contextmanager
def container(image: str) -> Iterator[str]:
    """A container of an image that is built from what is checked out."""
    reference = build((image,))[image]
    made = subprocess.check_output(buildah("from", "--pull-never", reference), text=True).strip()
    try:
        yield made
    finally:
        subprocess.run(buildah("rm", made), check=False, capture_output=True)


def run_inside(
    made: str, program: str, *words: str, folder: Path, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run hack.matrix.<program> with `folder` at /work; what its marked lines say. Its log stays in the folder."""
    mounts = {folder: "/work", ROOT / "hack": "/app/hack:ro"}
    options = ["--isolation", "chroot", "--user", "0:0", "--env", "HOME=/tmp", "--env", "PYTHONPATH=/app"]
    options += [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}")]
    options += [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
    line = buildah("run", *options, made, "--", "python3", "-m", f"hack.matrix.{program}", *words)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    (folder / f"{program}.log").write_text(done.stdout + done.stderr)
    found: dict[str, Any] = {}
    for text in done.stdout.splitlines():
        if text.startswith(MARK):
            found |= json.loads(text.removeprefix(MARK))
    if not found:
        raise StepError(f"matrix {program}", (done.stdout + done.stderr)[-2000:])
    return found
