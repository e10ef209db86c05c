"""The Helm chart, rendered by helm itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.cluster import paths

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "lowbit"
Manifest = dict[str, Any]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """helm's process, finished."""
    binary = paths.tools() / "helm"
    if not binary.exists():
        message = "helm is not built: make tools"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return subprocess.run([binary, *words], capture_output=True, text=True, check=False)


def render(*settings: str, release: str = "lowbit", namespace: str = "lowbit-system") -> list[Manifest]:
    """Every manifest of the chart with these --set-json arguments."""
    arguments = [word for setting in settings for word in ("--set-json", setting)]
    done = helm("template", release, str(CHART), "--namespace", namespace, *arguments)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


Permission = tuple[str, str, str]
"""API group, resource (with /subresource), verb."""


def permissions(roles: list[Manifest]) -> set[Permission]:
    """Everything that these roles allow, one by one."""
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
