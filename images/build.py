"""Build what is not built yet."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.progress import step
from images.buildah import buildah, exclusive, exists, folder, install_programs, mounts, run
from images.targets import REGISTRY, ROOT, Target, build_order, reference

# What the base holds, beyond Debian's minimal system.
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates", "libgomp1", "libnuma1")
SUITE = "bookworm"
# Older builds of an image that stay, for going back and forth between two states of the code.
KEPT = 1


def build(names: tuple[str, ...], base: str | None = None) -> dict[str, str]:
    """Build these images and what they stand on; return their references by name, also kept in refs.json.

    base: the image to stand on; None makes one from Debian's packages, which needs no registry.
    Raises StepError with the last lines of the log that matters.
    """
    install_programs()
    with exclusive():
        return _build_all(names, base or build_base())


def _build_all(names: tuple[str, ...], base: str) -> dict[str, str]:
    references: dict[str, str] = {}
    for target in build_order(names):
        references[target.name] = reference(target, base)
        if not exists(references[target.name]):
            parent = references.get(target.parent, base)
            with step(f"build the {target.name} image"):
                _build(target, references[target.name], parent)
            _prune(references[target.name])
    wanted = {name: references[name] for name in names}
    _record(wanted)
    return wanted


def build_base() -> str:
    """Make the base image from Debian's packages; return its reference."""
    recipe = (ROOT / "images" / "base" / "Containerfile").read_text() + SUITE + ",".join(BASE_PACKAGES)
    name = f"{REGISTRY}/lowbit-base:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if exists(name):
        return name
    with step("build the base image"), tempfile.TemporaryDirectory(dir=folder()) as context:
        # Its temporary folder must be one that every user can enter.
        Path(context).chmod(0o755)
        options = [
            "--variant=minbase",
            f"--include={','.join(BASE_PACKAGES)}",
            "--aptopt=APT::Install-Recommends false",
        ]
        run("base-packages", ["mmdebstrap", "--quiet", *options, *_SLIM, SUITE, f"{context}/base.tar"])
        shutil.copy(ROOT / "images" / "base" / "Containerfile", context)
        run("base", buildah("bud", "--isolation", "chroot", "-t", name, context))
    return name


# Pages that nobody reads in a container.
_SLIM = [
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
]


def _build(target: Target, name: str, parent: str) -> None:
    arguments = {target.parent_argument: parent, **target.arguments}
    options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    ignore = ROOT / "images" / ".containerignore"
    run(
        target.name,
        buildah(
            "bud", "--isolation", "chroot", "--layers", "--pull-never", *mounts(), *options,
            "--ignorefile", ignore, "-f", target.containerfile, "-t", name, ROOT,
        ),
    )  # fmt: skip


def _prune(reference: str) -> None:
    """Remove the older builds of this image; each change of the code makes one."""
    repository = reference.rpartition(":")[0]
    listed = subprocess.run(
        buildah("images", "--format", "{{.Name}}:{{.Tag}}"), check=False, capture_output=True, text=True
    ).stdout.split()  # the newest first
    for old in [name for name in listed if name.startswith(f"{repository}:") and name != reference][KEPT:]:
        subprocess.run(buildah("rmi", old), check=False, capture_output=True)  # one in use stays


def _record(references: Mapping[str, str]) -> None:
    path = folder() / "refs.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | dict(references), indent=2) + "\n")
