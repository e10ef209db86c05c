"""What is built from what, and the hash that names it: the same inputs have the same tag and are not built again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = "localhost"
ALL = ("operator", "worker", "engine", "guard")


@dataclass(frozen=True)
class Target:
    """One image: its Containerfile's folder under images/, what is copied into it, and the image it stands on."""

    name: str
    inputs: tuple[str, ...]
    parent: str
    parent_argument: str = "BASE"
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def containerfile(self) -> Path:
        return ROOT / "images" / self.name / "Containerfile"


# For the demo: no GPU is there, and two thirds of torch's size are CUDA's libraries.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target(
            "torch",
            (
                "images/install.sh",
                "images/torch/install_torch.sh",
                "images/torch/stub_cuda.py",
                "requirements/torch.txt",
            ),
            parent="base",
            arguments={"ACCELERATOR": "none"},
        ),
        Target(
            "operator",
            ("images/install.sh", "images/operator/lowbit.sh", "requirements/operator.txt", "operator/lowbit"),
            parent="base",
        ),
        Target(
            "worker",
            (
                "images/install.sh",
                "images/worker/gptqmodel_extension.py",
                "requirements/worker.txt",
                "operator/lowbit",
            ),
            parent="torch",
            parent_argument="TORCH",
        ),
        Target(
            "engine",
            (
                "images/install.sh",
                "images/engine/add_packages.py",
                "images/engine/lowbit_kernels",
                "requirements/engine-cpu.txt",
            ),
            parent="torch",
            parent_argument="TORCH",
        ),
        Target("guard", ("images/install.sh", "requirements/guard.txt"), parent="base"),
    )
}


def build_order(names: tuple[str, ...]) -> list[Target]:
    """The targets of these names and those they stand on, each after its parent."""
    ordered: dict[str, Target] = {}
    for name in names:
        target = TARGETS[name]
        if target.parent in TARGETS:
            ordered |= {parent.name: parent for parent in build_order((target.parent,))}
        ordered[name] = target
    return list(ordered.values())


def reference(target: Target, base: str) -> str:
    """The full name of the image, such as localhost/lowbit-worker:3f2a..., where `base` is the base's reference."""
    return f"{REGISTRY}/lowbit-{target.name}:{content_hash(target, base)}"


def content_hash(target: Target, base: str) -> str:
    """Twelve hex digits over everything that decides what is in the image."""
    parent = base if target.parent not in TARGETS else reference(TARGETS[target.parent], base)
    digest = hashlib.sha256(f"{parent}\n{sorted(target.arguments.items())}\n".encode())
    for path in _files(target):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode & 0o111}\0{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _files(target: Target) -> Iterator[Path]:
    yield target.containerfile
    for name in target.inputs:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(file for file in path.rglob("*") if _counts(file))


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
