"""Good manifests as files; bad ones as a change of a good one and the message that a person gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent


@dataclass(frozen=True)
class Bad:
    """One manifest that is refused."""

    name: str
    manifest: dict[str, Any]
    says: str
    findings: int = 1
    """More where a mistake cannot be made alone."""


def good(name: str) -> dict[str, Any]:
    """The manifest in good/<name>.yaml."""
    manifest: dict[str, Any] = yaml.safe_load((FOLDER / "good" / f"{name}.yaml").read_text())
    return manifest


def good_names() -> list[str]:
    return sorted(path.stem for path in (FOLDER / "good").glob("*.yaml"))


def bad() -> list[Bad]:
    """Every case in bad/*.yaml."""
    cases = [case for path in sorted((FOLDER / "bad").glob("*.yaml")) for case in yaml.safe_load(path.read_text())]
    return [
        Bad(
            case["name"], changed(good(case.get("base", "full")), case["set"]), case["says"], case.get("findings", 1)
        )
        for case in cases
    ]  # fmt: skip


def changed(manifest: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The manifest with fields set by their dotted path; None takes one away."""
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = manifest
        for part in parents:
            place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[int(last) if last.isdigit() else last] = value
    return manifest
