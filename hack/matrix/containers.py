"""The images of worker and engine as containers, and programs of this folder run inside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from images.build import build
from images.buildah import buildah
from images.targets import ROOT

SECONDS = 900


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
    """Run hack.matrix.<program> with `folder` at /work; its last line, which is JSON. Its log stays in the folder."""
    mounts = {folder: "/work", ROOT / "hack": "/app/hack:ro"}
    options = ["--isolation", "chroot", "--user", "0:0", "--env", "HOME=/tmp", "--env", "PYTHONPATH=/app"]
    options += [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}")]
    options += [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
    line = buildah("run", *options, made, "--", "python3", "-m", f"hack.matrix.{program}", *words)
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"ok": False, "why": f"not done after {SECONDS} seconds"}
    (folder / f"{program}-{Path(words[-1]).name}.log").write_text(done.stdout + done.stderr)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    try:
        found: dict[str, Any] = json.loads(last)
    except ValueError:
        return {"ok": False, "why": f"ended with {done.returncode}: {last[-200:]}"}
    return found
